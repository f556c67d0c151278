"""The kinds of source that a weights card may name, and where each is looked for.

Each function returns a path or raises :class:`NotThere` with the reason and the next step.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from automl_transfer.errors import CardError

SAFETENSORS = "model.safetensors"
CONFIG = "config.json"
KINDS = ("package", "dir", "hf", "url")


class NotThere(Exception):
    """The weights are not in this place."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source of a card, taken apart at its first colon."""

    text: str
    kind: str
    where: str


def parse(text: str) -> Source:
    """Takes a source apart.

    Raises:
        CardError: It begins with none of the known kinds.
    """
    kind, colon, where = text.partition(":")
    if kind not in KINDS or not colon or not where:
        raise CardError(
            f"A source of weights must begin with one of {[f'{name}:' for name in KINDS]} and go "
            f"on with a place, but got {text!r}."
        )
    return Source(text=text, kind=kind, where=where)


def repository(where: str) -> tuple[str, str | None]:
    """``owner/name@revision`` as name and revision."""
    repo, _, revision = where.partition("@")
    return repo, revision or None


def tensor_file(path: Path) -> Path:
    """The file that holds the tensors of weights at ``path``, a file or a directory."""
    return path / SAFETENSORS if path.is_dir() else path


def in_package(where: str, requires: str | None) -> Path:
    """A file inside an installed package, which is not imported for it."""
    package, _, relative = where.partition("/")
    if not package.isidentifier() or not relative or ".." in Path(relative).parts:
        raise CardError(
            f"A 'package:' source must look like 'package:PACKAGE/PATH/TO/FILE' with a top-level "
            f"package and no '..', but got {where!r}."
        )
    hint = f"pip install '{requires or package.replace('_', '-')}'"
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise NotThere(f"the package {package!r} is not installed", hint)
    for root in spec.submodule_search_locations:
        path = Path(root, relative)
        if path.is_file():
            return path
    raise NotThere(f"the installed package {package!r} has no file {relative!r}", hint)


def in_directory(where: str) -> Path:
    """A file, or a directory with ``config.json`` and ``model.safetensors``."""
    path = Path(where).expanduser()
    hint = "check the path"
    if path.is_file():
        return path
    if not path.is_dir():
        raise NotThere("there is no such file or directory", hint)
    missing = [name for name in (CONFIG, SAFETENSORS) if not (path / name).is_file()]
    if missing:
        raise NotThere(f"the directory has no {' and no '.join(missing)}", hint)
    return path


def hub_cache() -> Path:
    """Directory of the Hugging Face cache, as the environment says now."""
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"]).expanduser()
    home = os.environ.get("HF_HOME") or _cache_home() / "huggingface"
    return Path(home).expanduser() / "hub"


def torch_cache() -> Path:
    """Directory of downloaded files of torch.hub, as the environment says now."""
    home = os.environ.get("TORCH_HOME") or _cache_home() / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def cached_hub_file(repo: str, revision: str | None, name: str) -> Path | None:
    """A file of a repository in the Hugging Face cache, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, name, cache_dir=hub_cache(), revision=revision)
    return Path(found) if isinstance(found, str) else None


def in_hub_cache(where: str) -> Path:
    """The snapshot in the Hugging Face cache, or its file of tensors if that is all it has."""
    repo, revision = repository(where)
    tensors = cached_hub_file(repo, revision, SAFETENSORS)
    if tensors is None:
        raise NotThere(f"no {SAFETENSORS} of it in the cache {hub_cache()}")
    return tensors.parent if (tensors.parent / CONFIG).is_file() else tensors


def in_torch_cache(where: str) -> Path:
    """A file that torch.hub, or a search before this one, has downloaded."""
    path = torch_cache() / url_file_name(where)
    if not path.is_file():
        raise NotThere(f"not in the cache {torch_cache()}")
    return path


def url_file_name(url: str) -> str:
    """The name under which torch.hub keeps what it downloads from ``url``."""
    return Path(url.partition("?")[0]).name


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())

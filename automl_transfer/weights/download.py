"""Fetching weights from the network, into the caches where they are looked for the next time."""

from __future__ import annotations

import os
import re
import tempfile
import urllib.parse
from pathlib import Path

from automl_transfer.weights.places import (
    CONFIG,
    SAFETENSORS,
    NotThere,
    hub_cache,
    repository,
    torch_cache,
    url_file_name,
)
from automl_transfer.weights.probe import HubProbe, origin_of

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[^.]+$")
_CHUNK = 1 << 20
_TIMEOUT = 30.0
"""Seconds without a byte after which a download is given up."""


def endpoint() -> str:
    """Address of the hub or of its mirror."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def hub_download(repo: str, revision: str | None, name: str, probe: HubProbe) -> Path:
    """Downloads one file of a repository into the Hugging Face cache.

    Raises:
        NotThere: The hub does not answer, or does not give the file.
    """
    reason = probe.why_not(endpoint())
    if reason is not None:
        raise NotThere(reason, "connect to the network, or set HF_ENDPOINT to a mirror")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        path = hf_hub_download(
            repo, name, revision=revision, cache_dir=hub_cache(), endpoint=endpoint()
        )
    except LocalEntryNotFoundError as error:
        cause = _one_line(error.__cause__ or error)
        # Each further file would wait for the same host through several retries.
        probe.give_up(endpoint(), f"{origin_of(endpoint())} stopped answering ({cause})")
        raise NotThere(f"the download of {name} failed ({cause})", "try again later") from error
    except GatedRepoError as error:
        hint = f"accept its terms on the page of {repo} and log in with `hf auth login`"
        raise NotThere("its owner gives access on request only", hint) from error
    except RepositoryNotFoundError as error:
        hint = "check the name; a private repository needs `hf auth login`"
        raise NotThere(f"{origin_of(endpoint())} knows no such repository", hint) from error
    except RevisionNotFoundError as error:
        raise NotThere(f"it has no revision {revision!r}", "check the revision") from error
    except EntryNotFoundError as error:
        raise NotThere(f"it has no file {name}", "choose a model with safetensors") from error
    except Exception as error:
        cause = _one_line(error)
        raise NotThere(f"the download of {name} failed ({cause})", "try again later") from error
    return Path(path)


def hub_snapshot(where: str, probe: HubProbe) -> Path:
    """Downloads ``config.json`` and ``model.safetensors`` of a repository, never a pickle."""
    repo, revision = repository(where)
    config: Path | None
    try:
        config = hub_download(repo, revision, CONFIG, probe)
    except NotThere:
        # The tensors alone will do for a family that knows the architecture by its name.
        config = None
    tensors = hub_download(repo, revision, SAFETENSORS, probe)
    return tensors.parent if config is not None else tensors


def url_download(url: str, sha256: str | None, probe: HubProbe) -> Path:
    """Downloads a file into torch.hub's cache, in one step as others see it.

    Its SHA-256 must begin with the digits in its name, if it bears any (torch.hub's convention).

    Raises:
        NotThere: The host does not answer, the file is cut off, or its hash is another.
    """
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise NotThere("a 'url:' source must be an http or https address")
    reason = probe.why_not(url)
    if reason is not None:
        raise NotThere(reason, "connect to the network")
    directory = torch_cache()
    temporary: Path | None = None
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=directory, prefix=".partial-")
        temporary = Path(name)
        found = _receive(url, handle)
        expected = sha256 or hash_in_name(url)
        if expected is not None and not found.startswith(expected):
            raise NotThere(
                f"the SHA-256 of the download must begin with {expected}, but it is {found}",
                "try again; if it stays, the file at that address has changed",
            )
        target = directory / url_file_name(url)
        os.replace(temporary, target)
        return target
    except OSError as error:
        cause = _one_line(getattr(error, "reason", None) or error)
        raise NotThere(f"the download failed ({cause})", "try again later") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def hash_in_name(name: str) -> str | None:
    """The first digits of the SHA-256 that torch.hub puts into names of files."""
    match = _HASH_IN_NAME.search(url_file_name(name))
    return match.group(1) if match else None


def _receive(url: str, handle: int) -> str:
    """Writes the contents of ``url`` to the open file and returns their SHA-256."""
    import hashlib  # with OpenSSL, which listing plugins does not need
    import urllib.request

    state = hashlib.sha256()
    received = 0
    opener = urllib.request.build_opener()
    with os.fdopen(handle, "wb") as file, opener.open(url, timeout=_TIMEOUT) as answer:
        announced = answer.headers.get("Content-Length")
        while chunk := answer.read(_CHUNK):
            state.update(chunk)
            file.write(chunk)
            received += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    if announced is not None and received != int(announced):
        raise OSError(f"{received} of {announced} bytes arrived")
    return state.hexdigest()


def _one_line(error: object) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    text = text.replace(endpoint(), origin_of(endpoint()))
    return text if len(text) <= 160 else f"{text[:157]}..."

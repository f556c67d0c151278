"""Writes the beginning of a plugin: ``plugins new``."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from automl_transfer.errors import PluginError, UsageError
from automl_transfer.gather import FIRST_PARTY_NAMESPACES

TEMPLATE = Path(__file__).parent.parent / "templates" / "plugin"
MEMBERS = {
    "backbone": "net",
    "head": "head",
    "strategy": "plan",
    "ranker": "score",
    "modality": "sound",
}
"""Kinds, and what a member is called if only the namespace is given."""
_TAKEN = {"net": "the network", "tones": "the sample data"}
"""Names that a new modality's other members have."""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Made:
    """A plugin that was written."""

    directory: Path
    id: str
    distribution: str


def scaffold(kind: str, name: str, parent: Path) -> Made:
    """Writes a package with a member that works, for its author to replace.

    Args:
        kind: One of :data:`MEMBERS`.
        name: ``acme`` or ``acme/net``.
        parent: Directory in which the package's own is made.

    Raises:
        UsageError: The name cannot be one, or there is something in its place.
        PluginError: The weights of the example could not be written.
    """
    # Not at the top: listing plugins, by the same module's commands, does without them.
    import shutil
    import subprocess

    from cookiecutter.main import cookiecutter

    namespace, _, member = name.partition("/")
    member = member or MEMBERS[kind]
    for part in (namespace, member):
        if not _NAME.fullmatch(part):
            raise UsageError(
                "The name of a new plugin must look like 'acme' or 'acme/net' (small letters, "
                f"digits and '-'), but got {name!r}."
            )
    if namespace in {reserved.rstrip("/:") for reserved in FIRST_PARTY_NAMESPACES}:
        raise UsageError(
            f"The namespace of a new plugin must be its own, but {namespace!r} is one of what "
            "automl-transfer ships. Choose another name."
        )
    if kind == "modality" and member in _TAKEN:
        raise UsageError(
            f"A new modality comes with {_TAKEN[member]} '{namespace}/{member}', so that it must "
            f"have another name, but got {name!r}."
        )
    distribution = f"automl-transfer-{namespace}"
    directory = parent / distribution
    if directory.exists():
        raise UsageError(
            f"A new plugin needs a place of its own, but {str(directory)!r} exists. Choose "
            "another name, or another directory with --output."
        )
    parent.mkdir(parents=True, exist_ok=True)
    cookiecutter(
        str(TEMPLATE),
        no_input=True,
        extra_context={"kind": kind, "namespace": namespace, "member": member},
        output_dir=str(parent),
    )
    for compiled in list(directory.rglob("__pycache__")):
        shutil.rmtree(compiled)  # of the template, where it was installed
    for file in list(directory.rglob("*.py")):
        if not file.read_text(encoding="utf-8").strip():
            file.unlink()  # of another kind of member
    maker = directory / "make_weights.py"
    if maker.exists():
        done = subprocess.run(
            [sys.executable, str(maker)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PluginError(
                f"The weights of the example could not be written; run {str(maker)!r}: "
                f"{(done.stderr.strip().splitlines() or ['?'])[-1]}"
            )
    return Made(directory=directory, id=f"{namespace}/{member}", distribution=distribution)

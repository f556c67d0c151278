"""Lays packages out as pip would, in an empty directory."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent


def install(
    site: Path, name: str, source: str | None = None, *, version="1.0", point=None, requires=()
):
    """Lays out what pip would: a module and the metadata of its distribution."""
    module = name.replace("-", "_")
    if source is not None:
        (site / f"{module}.py").write_text(dedent(source))
    info = site / f"{module}-{version}.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
    )
    (info / "entry_points.txt").write_text(f"[automl_transfer]\n{point or f'{name} = {module}'}\n")

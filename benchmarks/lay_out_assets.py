"""Lays out weights that come as JSON + safetensors as directories for ``--backbone local:``.

    python benchmarks/lay_out_assets.py WEIGHTS_DIR OUT_DIR [NAME...]

For each ``NAME.json`` in WEIGHTS_DIR that describes a plain architecture of timm (``builder`` is
``timm.create_model``), writes ``OUT_DIR/NAME/config.json`` and ``OUT_DIR/NAME/model.safetensors``
as timm's ``local-dir:`` has them. Without names, all of them; those with another builder are
skipped with a line that says so. Nothing that exists is written over.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

BUILDER = "timm.create_model"


def timm_config(spec: dict[str, Any]) -> dict[str, Any]:
    """The ``config.json`` of timm's layout for a description of weights."""
    import timm

    known = timm.get_pretrained_cfg(spec["timm_name"], allow_unregistered=True)
    classifier = known.to_dict().get("classifier") if known is not None else None
    pretrained = {
        "input_size": spec["input_size"],
        "mean": spec["mean"],
        "std": spec["std"],
        "interpolation": spec["interpolation"],
        "crop_pct": spec["crop_pct"],
        "num_classes": spec["num_classes"],
        "classifier": classifier,
        "license": spec["licence"].lower() if " " not in spec["licence"] else "unknown",
        "pretrained_on": spec["pretrained_on"],
        "origin_url": spec["origin"],
    }
    return {
        "architecture": spec["timm_name"],
        "num_classes": spec["num_classes"],
        "model_args": spec.get("timm_kwargs") or {},
        "pretrained_cfg": pretrained,
    }


def lay_out(description: Path, out: Path) -> Path:
    """Writes one directory and returns it.

    Raises:
        ValueError: The tensors are not those that the description was written for.
        FileExistsError: The directory exists.
    """
    spec = json.loads(description.read_text(encoding="utf-8"))
    tensors = description.with_name(spec["file"])
    found = hashlib.sha256(tensors.read_bytes()).hexdigest()
    if found != spec["sha256"]:
        raise ValueError(f"{tensors.name} must have SHA-256 {spec['sha256']}, but has {found}.")
    target = out / description.stem
    target.mkdir(parents=True)
    shutil.copyfile(tensors, target / "model.safetensors")
    text = json.dumps(timm_config(spec), indent=2)
    (target / "config.json").write_text(f"{text}\n", encoding="utf-8")
    return target


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("weights_dir", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args(arguments)
    descriptions = {file.stem: file for file in sorted(options.weights_dir.glob("*.json"))}
    unknown = [name for name in options.names if name not in descriptions]
    if unknown:
        print(f"No such weights: {unknown}. There are: {', '.join(descriptions)}", file=sys.stderr)
        return 2
    for name in options.names or descriptions:
        spec = json.loads(descriptions[name].read_text(encoding="utf-8"))
        if spec.get("builder", BUILDER) != BUILDER:
            print(f"skipped {name}: needs {spec['builder']}", file=sys.stderr)
        elif (options.out_dir / name).exists():
            print(f"kept {options.out_dir / name}: it exists", file=sys.stderr)
        else:
            print(lay_out(descriptions[name], options.out_dir))
    return 0


if __name__ == "__main__":
    sys.exit(main())

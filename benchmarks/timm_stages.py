"""Whether every network of timm becomes a backbone whose stages partition its tensors.

    python benchmarks/timm_stages.py --write

Each architecture that can be built without weights on the meta device and has at most 50 million
parameters is looked at; those of which the stages do not hold every parameter and buffer exactly
once, or of which there is one stage only, are listed with the reason.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from pathlib import Path

import _report
import timm
import torch

from automl_transfer.backbones.networks import Network
from automl_transfer.backbones.timm_stages import stages
from automl_transfer.cards import BackboneCard, WeightsCard
from automl_transfer.training.stages import stages_of

MOST = 50_000_000
CARD = BackboneCard(
    id="looked/at",
    factory="nowhere:build",
    modality="image",
    family="timm",
    weights=WeightsCard(sources=("dir:nowhere",)),
)


def look(name: str) -> tuple[str, str]:
    """What came of an architecture: a word, and a reason or where its stages are from."""
    try:
        with torch.device("meta"):
            module = timm.create_model(name, pretrained=False, num_classes=0)
    except Exception as error:
        return "not built", f"{type(error).__name__}: {error}".splitlines()[0][:100]
    if sum(tensor.numel() for tensor in module.parameters()) > MOST:
        return "too large", ""
    try:
        named = stages(module)
        found = stages_of(
            Network(module=module, forward=lambda network, batch: network(batch), stages=named),
            CARD,
        )
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}".splitlines()[0][:160]
    if len(found) < 2:
        return "failed", f"{len(found)} stage only"
    return "ok", "timm's groups" if named else "derived from the module tree"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", default="*", help="A pattern of architectures.")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = {name: look(name) for name in timm.list_models(options.names)}
    counts = Counter(word for word, _ in found.values())
    origins = Counter(why for word, why in found.values() if word == "ok")
    looked = counts["ok"] + counts["failed"]
    share = counts["ok"] / max(1, looked)
    where = ", ".join(f"{count} {why}" for why, count in origins.most_common())
    failures = [[f"`{name}`", why] for name, (word, why) in found.items() if word == "failed"]
    unbuilt = [[f"`{name}`", why] for name, (word, why) in found.items() if word == "not built"]
    text = _report.page(
        "Stages of timm's networks",
        f"Of {len(found)} architectures, {counts['too large']} have more than {MOST:,} parameters "
        f"and {counts['not built']} cannot be built without weights on the meta device. Of the "
        f"other {looked}, {counts['ok']} ({100 * share:.1f} %; bar: at least 97 %) have stages "
        f"that hold every parameter and buffer exactly once ({where}).",
        "## Those that do not",
        _report.table(["architecture", "reason"], failures) if failures else "None.",
        "## Those that cannot be built on the meta device",
        _report.table(["architecture", "reason"], unbuilt) if unbuilt else "None.",
    )
    _report.write(Path(__file__).with_suffix(".md"), text, wanted=options.write)


if __name__ == "__main__":
    main()

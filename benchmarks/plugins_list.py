"""What it costs to list many plugins: 50 packages with 10 cards each, and no torch for any of it.

    python benchmarks/plugins_list.py --write

Side by side, in turns, each a process of its own: ``python -c "import automl_transfer"``, the scan
for entry points, and ``automl-transfer plugins list --json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _report

PLUGIN = """
from automl_transfer import hookimpl
from automl_transfer.cards import BackboneCard, WeightsCard

@hookimpl
def automl_transfer_backbones():
    return [
        BackboneCard(
            id=f"{name}/net{{place}}", factory="{name}.network:build", modality="image",
            family="{name}", weights=WeightsCard(sources=("dir:nowhere",), license="MIT"),
        )
        for place in range({cards})
    ]
"""
IMPORT = [sys.executable, "-c", "import automl_transfer"]
SCAN = [
    sys.executable,
    "-c",
    "from importlib.metadata import entry_points; list(entry_points(group='automl_transfer'))",
]
LIST = [str(Path(sys.executable).with_name("automl-transfer")), "plugins", "list", "--json"]
LOOK = (
    "import sys; from automl_transfer.cli import main; main(['plugins', 'list', '--json']); "
    "print([name for name in ('torch', 'timm', 'transformers') if name in sys.modules], "
    "file=sys.stderr)"
)


def lay_out(site: Path, packages: int, cards: int) -> None:
    """What pip would install: a module and its metadata for each package."""
    for place in range(packages):
        name = f"made{place:02d}"
        (site / f"{name}.py").write_text(PLUGIN.format(name=name, cards=cards))
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: pluggy>=1\n"
        )
        (info / "entry_points.txt").write_text(f"[automl_transfer]\n{name} = {name}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=int, default=50)
    parser.add_argument("--cards", type=int, default=10)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        site = Path(place)
        lay_out(site, options.packages, options.cards)
        paths = (str(site), os.environ.get("PYTHONPATH", ""))
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

        def run(words: list[str]) -> tuple[float, subprocess.CompletedProcess[str]]:
            started = time.perf_counter()
            done = subprocess.run(
                words, env=environment, capture_output=True, text=True, check=True
            )
            return time.perf_counter() - started, done

        taken: dict[str, list[float]] = {"import": [], "scan": [], "list": []}
        for _ in range(options.turns):
            for name, words in (("import", IMPORT), ("scan", SCAN), ("list", LIST)):
                taken[name].append(run(words)[0])
        listed = json.loads(run(LIST)[1].stdout)
        heavy = run([sys.executable, "-c", LOOK])[1].stderr.strip().splitlines()[-1]
        # What Python itself takes to begin is in each of them, and counts once.
        begin = statistics.median(run([sys.executable, "-c", "pass"])[0] for _ in range(9))
    middle = {name: statistics.median(values) for name, values in taken.items()}
    both = middle["import"] + middle["scan"] - begin
    backbones = sum(row["kind"] == "backbone" for row in listed["members"])
    rows = [
        ['`python -c "import automl_transfer"`', f"{middle['import']:.3f}"],
        ["the scan for entry points alone", f"{middle['scan']:.3f}"],
        [f"both, Python's own beginning ({begin:.3f}) counted once", f"{both:.3f}"],
        ["`automl-transfer plugins list --json`", f"{middle['list']:.3f}"],
    ]
    text = _report.page(
        "Listing many plugins",
        f"{options.packages} installed packages with {options.cards} backbone cards each, beside "
        f"what we ship: {backbones} backbones listed, {len(listed['quarantined'])} set aside. "
        f"Medians of {options.turns} turns, each a process of its own. Listing takes "
        f"{middle['list'] / both:.2f} times as long as both (the bar: at most 2). Heavy libraries "
        f"that it imports: {heavy}.",
        _report.table(["process", "seconds"], rows),
    )
    _report.write(Path(__file__).with_suffix(".md"), text, wanted=options.write)


if __name__ == "__main__":
    main()

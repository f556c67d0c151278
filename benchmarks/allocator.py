"""What it gains on a CPU to keep freed memory, as `training.device.prepare_process` does.

    python benchmarks/allocator.py --write

Each variant runs in a process of its own, in turns (A, B, A, B ...), and the medians are compared:
the machine may be busy with other things. Writes `benchmarks/allocator.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

CASES = [("forward", 8), ("forward", 32), ("training", 8), ("training", 32)]
OUTPUT = Path(__file__).with_suffix(".md")
VARIANTS = {
    "freed memory given back": {"keep": False, "policy": "PASSIVE"},
    "freed memory kept": {"keep": True, "policy": "PASSIVE"},
}
SPINNING = {"kept, but idle threads spin": {"keep": True, "policy": "ACTIVE"}}


def measure(keep: bool, steps: int) -> dict[str, float]:
    """Milliseconds an image of each case, in this process."""
    import timm
    import torch

    from automl_transfer.training import device

    torch.set_num_threads(device.usable_cores())
    if keep:
        device._keep_freed_memory()
    torch.manual_seed(0)
    module = timm.create_model("tf_efficientnet_lite0", num_classes=0).to(
        memory_format=torch.channels_last
    )
    found = {}
    for what, size in CASES:
        batch = torch.randn(size, 3, 224, 224).to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.0)

        def step(what=what, batch=batch, optimizer=optimizer) -> None:
            if what == "forward":
                with torch.inference_mode():
                    module(batch)
            else:
                optimizer.zero_grad()
                module(batch).square().mean().backward()
                optimizer.step()

        module.train(what == "training")
        step()
        times = []
        for _ in range(steps):
            started = time.perf_counter()
            step()
            times.append(time.perf_counter() - started)
        found[f"{what} {size}"] = 1000 * statistics.median(times) / size
    return found


def run(variant: dict[str, object], steps: int) -> dict[str, float]:
    """One turn of one variant, in a fresh process."""
    root = Path(__file__).parent.parent
    environment = os.environ | {
        "OMP_WAIT_POLICY": str(variant["policy"]),
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
    }
    environment.pop("OMP_NUM_THREADS", None)
    words = [sys.executable, __file__, "--measure", "--steps", str(steps)]
    words += ["--keep"] if variant["keep"] else []
    answer = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Medians and ratios as Markdown."""
    import timm
    import torch

    medians = {
        name: {case: statistics.median(turn[case] for turn in turns) for case in turns[0]}
        for name, turns in results.items()
    }
    turns = len(next(iter(results.values())))
    lines = [
        "# Keeping freed memory",
        "",
        "Milliseconds an image of `tf_efficientnet_lite0` at 224 × 224, channels-last, random "
        f"weights: median of {turns} processes each, in turns, and in brackets the fastest of "
        "them. The ratios are how many times as fast as the first column, median and fastest.",
        "",
        "- **freed memory kept**: `mallopt` tells glibc not to give blocks back to the kernel "
        "(`training/device.py`).",
        "- Idle threads sleep (`OMP_WAIT_POLICY=PASSIVE`, as `training/__init__.py` sets it) "
        "unless the column says otherwise.",
        "",
        "| step, batch | " + " | ".join(f"{name} | ratio" for name in medians) + " |",
        "|---|" + "---:|" * (2 * len(medians)),
    ]
    fastest = {
        name: {case: min(turn[case] for turn in taken) for case in taken[0]}
        for name, taken in results.items()
    }
    first = next(iter(medians))
    for case in medians[first]:
        cells = [
            f"{medians[name][case]:.1f} ({fastest[name][case]:.1f}) | "
            f"{medians[first][case] / medians[name][case]:.2f} "
            f"({fastest[first][case] / fastest[name][case]:.2f})"
            for name in medians
        ]
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    lines += [
        "",
        f"Machine: {platform.machine()}, {os.cpu_count()} cores, "
        f"{' '.join(platform.libc_ver())}; load average at the end: {load} (other programs ran on "
        "it, so single figures vary; the turns spread that over the variants).",
        f"Versions: Python {platform.python_version()}, torch {torch.__version__}, "
        f"timm {timm.__version__}.",
        f"Command: `python {shlex.join(['benchmarks/allocator.py', *sys.argv[1:]])}`",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write allocator.md")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--spinning", action="store_true", help="also with threads that spin")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.keep, options.steps)))
        return
    variants = VARIANTS | (SPINNING if options.spinning else {})
    results: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    for _ in range(options.turns):
        for name, variant in variants.items():
            results[name].append(run(variant, options.steps))
            print(name, results[name][-1], file=sys.stderr)
    text = table(results)
    print(text)
    if options.write:
        OUTPUT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

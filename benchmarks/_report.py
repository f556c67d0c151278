"""What every table here says of itself: the machine, the versions, the command.

import _report
text = _report.page("Title", "What it shows.", _report.table(["case", "ratio"], rows))
_report.write(Path(__file__).with_suffix(".md"), text)
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("automl-transfer", "torch", "torchvision", "timm", "optuna")
_CPU_INFO = Path("/proc/cpuinfo")


def cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The CPU's name for people."""
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpus() -> str:
    """The GPUs, or ``no GPU``. Asks the driver's tool, so that torch need not be imported."""
    words = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "no GPU"
    return ", ".join(answer.stdout.split("\n")).strip(", ") or "no GPU"


def machine() -> str:
    """CPU, cores, load and GPU as one line."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    libc = " ".join(platform.libc_ver())
    return (
        f"Machine: {processor()} ({platform.machine()}), {os.cpu_count()} cores of which "
        f"{cores()} were used, {gpus()}, {platform.system()} {libc}; load average over 1, 5 and "
        f"15 minutes at the end: {load}."
    )


def versions(packages: Sequence[str] = PACKAGES) -> str:
    """Python and the packages as one line; one that is not installed is said to be missing."""
    found = [f"Python {platform.python_version()}"]
    for name in packages:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} missing")
    return f"Versions: {', '.join(found)}."


def command(arguments: Sequence[str] | None = None) -> str:
    """How to repeat it, as one line; paths outside the repository are shown by their last part.

    Args:
        arguments: Words after ``python``; those of this process when None.
    """
    root = Path(__file__).resolve().parent.parent
    words = list(sys.argv if arguments is None else arguments)
    return f"Command: `python {shlex.join(_shown(word, root) for word in words)}`"


def _shown(word: str, root: Path) -> str:
    path = Path(word.removeprefix("local:"))
    if not path.is_absolute() and not path.exists():
        return word
    full = path.resolve()
    return str(full.relative_to(root)) if full.is_relative_to(root) else path.name or word


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    lines = [
        "| " + " | ".join(header) + " |",
        "|---|" + "---:|" * (len(header) - 1),
    ]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def page(
    title: str,
    *paragraphs: str,
    packages: Sequence[str] = PACKAGES,
    arguments: Sequence[str] | None = None,
) -> str:
    """A whole Markdown page that ends with the machine, the versions and the command."""
    about = "  \n".join([machine(), versions(packages), command(arguments)])
    return "\n\n".join([f"# {title}", *(text.strip() for text in paragraphs), about]) + "\n"


def write(path: Path, text: str, *, wanted: bool = True) -> None:
    """Prints a page, and writes it to ``path`` if ``wanted`` (the scripts' ``--write``)."""
    print(text)
    if wanted:
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}", file=sys.stderr)

"""The systems of the comparison: what each is, and the command that runs it on one data set."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run: a system on a data set with a seed and a budget in seconds."""

    system: str
    data: Path
    seed: int
    budget: float
    split: Path
    backbones: tuple[Path, ...]
    constant: Path
    """The backbone of those that do not choose."""
    marks: tuple[float, ...] = ()
    """Moments at which an anytime system's answer is wanted."""
    autogluon: str = ""
    """The Python of AutoGluon's virtual environment."""

    @property
    def set(self) -> str:
        return self.data.name

    @property
    def title(self) -> str:
        return f"{self.system} {self.set} seed {self.seed} {self.budget:.0f} s"


ABOUT = {
    "ours": "`automl-transfer search`, cold: new study, empty cache, a process of its own "
    "(`compare_ours.py`).",
    "accurate": "The same with `--prefer accuracy`: of finalists that nothing tells apart the one "
    "that scored best, where the default gives up to a point for a faster one. What the others "
    "here do, which look at accuracy alone.",
    "frozen": "As ours with `--strategy frozen`: what the tune stage adds is the difference.",
    "plain": "The script that a good engineer would write with Optuna and timm: same backbones, "
    "no feature cache (`plain_optuna.py`). Learns from the training part only, as its like do; "
    "ours refits on training and validation part when the time allows it.",
    "constant": "Always the same backbone, default fine-tune on training and validation part "
    "together (`plain_default.py`).",
    "autogluon": "AutoGluon MultiModal's defaults with the constant's backbone "
    "(`compare_autogluon.py`).",
}
OURS: dict[str, list[str]] = {
    "ours": [],
    "accurate": ["--prefer", "accuracy"],
    "frozen": ["--strategy", "frozen"],
}
"""Searches of ours, and what they are asked for."""
ANYTIME = frozenset({"plain"})
"""One run with the largest budget holds the answers at all smaller ones."""

ENDS_BY_ITSELF = frozenset({"constant"})
"""A run that was complete before its budget is the answer at larger ones too."""


def command(job: Job, out: Path, started: float) -> list[str]:
    """The words that run a job and write its answer to ``out``."""
    common = [str(job.split), "--root", str(job.data), "--budget", str(job.budget)]
    common += ["--seed", str(job.seed), "--out", str(out), "--started", str(started)]
    backbones = ["--backbones", *map(str, job.backbones)]
    constant = ["--backbone", str(job.constant)]
    if job.system in OURS:
        script = [sys.executable, str(HERE / "compare_ours.py")]
        return [*script, *common, *backbones, *OURS[job.system]]
    if job.system == "plain":
        marks = ["--marks", *map(str, job.marks)]
        return [sys.executable, str(HERE / "plain_optuna.py"), *common, *backbones, *marks]
    if job.system == "constant":
        return [sys.executable, str(HERE / "plain_default.py"), *common, *constant]
    return [job.autogluon, str(HERE / "compare_autogluon.py"), *common, *constant]


def is_done(job: Job, runs: list[dict[str, object]]) -> bool:
    """Whether the runs that there are already tell what this one would."""
    for run in runs:
        if (run["system"], run["set"], run["seed"]) != (job.system, job.set, job.seed):
            continue
        if "error" in run:
            continue
        budget = float(str(run["budget"]))
        longer = job.system in ANYTIME and budget >= job.budget
        ended = job.system in ENDS_BY_ITSELF and run["complete"] and budget <= job.budget
        if budget == job.budget or longer or ended:
            return True
    return False

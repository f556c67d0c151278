"""What ``plugins check`` tells of a member."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from automl_transfer.report.blocks import Block, Heading, Paragraph, Table, columns
from automl_transfer.testing.kit.checking import Result, Subject


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A member, and what came of its checks."""

    subject: Subject
    results: tuple[Result, ...]

    @property
    def held(self) -> int:
        """How many checks it passed."""
        return sum(result.passed for result in self.results)

    @property
    def described(self) -> dict[str, Any]:
        """For programs."""
        weights = self.subject.weights
        return {
            "id": self.subject.card.id,
            "kind": self.subject.kind,
            "weights": None if weights is None else weights.source,
            "checks": [
                {
                    "name": result.check.name,
                    "level": result.check.level,
                    "rule": result.check.rule,
                    "passed": result.passed,
                    "reason": result.reason,
                    "seconds": result.seconds,
                }
                for result in self.results
            ],
        }


def blocks(one: Checked) -> Iterator[Block]:
    """For people."""
    subject, results = one.subject, one.results
    yield Heading(text=f"{subject.kind} {subject.card.id}")
    yield Paragraph(text=f"{one.held} of {len(results)} checks held{_weights(subject)}.")
    yield Table(
        columns=columns("check", "level", "result", "what"),
        rows=tuple(
            (
                result.check.name.replace("_", " "),
                result.check.level,
                "ok" if result.passed else "FAILED",
                result.reason or result.check.rule,
            )
            for result in results
        ),
    )


def _weights(subject: Subject) -> str:
    if subject.kind != "backbone":
        return ""
    if subject.weights is None:
        return ", with random weights: the pretrained ones are not on this machine"
    return f", with the weights of {subject.weights.source}"

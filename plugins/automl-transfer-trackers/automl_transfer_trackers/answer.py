"""The recommendation as a page of Markdown. Commands and provenance are left out: a server that
others read has no business with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from automl_transfer.recommendation import Recommendation

SHOWN = 10
"""Rows of the ranking."""


def markdown(answer: Recommendation) -> str:
    """The winner, how good and how sure it is, its settings, yardsticks and the ranking."""
    winner, test = answer.winner, answer.test
    lines = [
        f"## {winner.configuration.title}",
        "",
        f"- trial {winner.number} of {answer.trials_total}",
        f"- {answer.metric} {test.value:.4f} ({test.interval.low:.4f} to "
        f"{test.interval.high:.4f}), by {test.source}, {test.samples} samples",
        f"- {winner.value:.4f} on the validation part, on which it was chosen",
    ]
    if answer.confirmation is not None:
        lines.append(f"- {answer.confirmation.reason}")
    yardsticks = [
        (row.name, f"{row.value:.4f}") for row in answer.baselines if row.value is not None
    ]
    ranking = [
        (str(row.rank), str(row.number), row.configuration.title, f"{row.value:.4f}")
        for row in answer.ranking[:SHOWN]
    ]
    tables = (
        table(winner.configuration.params, "hyper-parameter"),
        rows(("yardstick", answer.metric), yardsticks),
        rows(("rank", "trial", "configuration", "validation"), ranking),
    )
    return "\n\n".join(["\n".join(lines), *filter(None, tables)])


def table(values: Mapping[str, object], name: str) -> str:
    """Names and values as a table of Markdown."""
    return rows((name, "value"), [(key, str(value)) for key, value in values.items()])


def rows(head: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    """A table of Markdown; nothing, if there are no lines."""
    if not lines:
        return ""
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        for line in (head, ("---",) * len(head), *lines)
    )

"""Everything about one trial."""

from __future__ import annotations

from collections.abc import Sequence

from automl_transfer.outcome import Outcome
from automl_transfer.report.blocks import Block, Heading, Paragraph, Table, columns
from automl_transfer.report.figures import NOTHING, duration, metric_words, score
from automl_transfer.report.ranking import epochs, trained

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float]) -> str:
    """A bar for each value, the lowest the smallest; all in the middle when they are equal."""
    if not values:
        return ""
    low, high = min(values), max(values)
    if high == low:
        return _BARS[3] * len(values)
    top = len(_BARS) - 1
    return "".join(_BARS[round(top * (value - low) / (high - low))] for value in values)


def trial_blocks(row: Outcome, metric: str) -> list[Block]:
    """One trial in full: what it was, what came of it, its learning curve."""
    blocks: list[Block] = [
        Heading(text=f"Trial {row.number}: {row.configuration.title}"),
        Table(columns=columns("what", "value"), rows=tuple(_facts(row, metric))),
    ]
    if row.configuration.params:
        blocks.append(
            Table(
                columns=columns("hyper-parameter", "value>"),
                rows=tuple(
                    (name, f"{value:.4g}" if isinstance(value, float) else str(value))
                    for name, value in sorted(row.configuration.params.items())
                ),
            )
        )
    if row.metrics:
        blocks.append(
            Table(
                columns=columns("metric (validation)", "value>"),
                rows=tuple(
                    (metric_words(name), score(name, value)) for name, value in row.metrics.items()
                ),
            )
        )
    if not row.curve:
        return [*blocks, Paragraph(text="It has no learning curve.")]
    values = [point.value for point in row.curve]
    return [
        *blocks,
        Paragraph(text=f"Learning curve: {sparkline(values)}"),
        Table(
            columns=columns("epoch>", f"{metric_words(metric)}>", "training loss>", "after>"),
            rows=tuple(
                (
                    str(point.epoch),
                    score(metric, point.value),
                    f"{point.loss:.4f}",
                    duration(point.seconds),
                )
                for point in row.curve
            ),
        ),
    ]


def _facts(row: Outcome, metric: str) -> list[tuple[str, str]]:
    facts = [
        ("state", row.state),
        ("reason", row.reason or ""),
        ("stage", row.stage),
        ("backbone", row.configuration.backbone),
        ("head", row.configuration.head),
        ("strategy", row.configuration.strategy),
        (f"{metric_words(metric)} (validation)", score(metric, row.value)),
        ("epochs", epochs(row)),
        ("time", duration(row.seconds)),
        ("started", row.started),
        ("device", row.device),
        ("seed", str(row.seed)),
        ("generation", str(row.generation)),
        ("weights (SHA-256)", row.weights or ""),
        *((f"provider of {member}", who) for member, who in row.providers.items()),
    ]
    if row.proof is not None:
        proof = row.proof
        facts += [
            ("trained parameters", trained(proof.trainable_parameters, proof.total_parameters)),
            ("frozen tensors that stayed as they were", str(proof.frozen_tensors)),
        ]
    return [(name, value) for name, value in facts if value and value != NOTHING]

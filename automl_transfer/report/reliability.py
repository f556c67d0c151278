"""Whether the winner is as sure as it is right."""

from __future__ import annotations

from automl_transfer.recommendation import HeldOutScore
from automl_transfer.report.blocks import Axis, Block, Chart, Heading, Paragraph, Series, Table
from automl_transfer.report.blocks import columns as heads
from automl_transfer.report.figures import score

_ERROR = ("ece", "neg_ece")
"""Names under which the expected calibration error is stored; the second has its sign turned."""


def reliability_section(test: HeldOutScore) -> list[Block]:
    """The reliability diagram and its figures (Guo et al., 2017, section 2); empty without."""
    bins = [row for row in test.reliability if row.count]
    if not bins:
        return []
    error = next((abs(test.metrics[name]) for name in _ERROR if name in test.metrics), None)
    words = (
        "Predictions by their confidence: where the winner is right less often than it is sure, "
        "its probabilities promise too much."
    )
    if error is not None:
        words += f" Expected calibration error: {score('accuracy', error)}."
    return [
        Heading(text="Reliability", level=3),
        Paragraph(text=words),
        Table(
            columns=heads("confidence>", "right>", "predictions>"),
            rows=tuple(
                (
                    score("accuracy", row.confidence),
                    score("accuracy", row.accuracy),
                    f"{row.count:,}",
                )
                for row in bins
            ),
        ),
        Chart(
            title="Reliability diagram",
            description="Share of right predictions by their mean confidence, as in the table "
            "above, beside the diagonal on which both are the same.",
            x=Axis(name="mean confidence", share=True),
            y=Axis(name="share that is right", share=True),
            series=(
                Series(name="as sure as right", kind="reference", x=(0.0, 1.0), y=(0.0, 1.0)),
                Series(
                    name="the winner",
                    kind="line",
                    x=tuple(row.confidence for row in bins),
                    y=tuple(row.accuracy for row in bins),
                ),
            ),
        ),
    ]

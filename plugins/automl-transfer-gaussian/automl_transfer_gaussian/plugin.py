"""The card. Nothing heavy is imported here."""

from __future__ import annotations

from automl_transfer import hookimpl
from automl_transfer.cards import HeadCard
from automl_transfer.space import Choice, Float, When

AUTOML_TRANSFER_API = (1, 0)

LDA = HeadCard(
    id="gaussian/lda",
    factory="automl_transfer_gaussian.lda:build",
    summary="linear discriminant analysis with a shrunk covariance",
    space=(
        Choice(
            name="shrinkage",
            choices=("leave-one-out", "ledoit-wolf", "fixed"),
            default="leave-one-out",
        ),
        Float(
            name="amount",
            low=0.01,
            high=1.0,
            default=0.6,
            when=When(parameter="shrinkage", equals=("fixed",)),
        ),
    ),
    closed_form=True,
    weighs_classes=True,
)


@hookimpl
def automl_transfer_heads() -> list[HeadCard]:
    """One: a Gaussian with a covariance of its own for each class is unsound where samples are
    fewer than features. Its log-determinant sums over all features, most of which then have the
    variance that shrinkage made up, so that the class with the smallest spread wins."""
    return [LDA]

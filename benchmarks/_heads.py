"""What the scripts about heads on frozen features share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from packed_heads import draw
from sklearn.model_selection import StratifiedKFold, train_test_split
from torch import nn

from automl_transfer.cards import HeadCard
from automl_transfer.registry import Registry
from automl_transfer.space import Space
from automl_transfer.training.packed import HeadRun

CPU = torch.device("cpu")
FOLDS = 5
DRAWN = 24
"""Heads of a kind, where there are hyper-parameters to draw."""
_RATES = ("lr", "weight_decay", "label_smoothing")


def options(about: str) -> argparse.Namespace:
    """Of the command line: ``data``, ``backbones``, ``write``.

    Args:
        about: The script's docstring.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbones", nargs="+", default=["bundled/efficientnet_lite0"])
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Places of the samples of one fold."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    """A fifth of the other folds."""
    test: NDArray[np.int64]
    """The fold."""

    @property
    def evaluated(self) -> NDArray[np.int64]:
        """The validation part, then the fold."""
        return np.concatenate([self.val, self.test])


def folds(labels: NDArray[np.int64]) -> Iterator[Parts]:
    """Each fold in turn."""
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels)
    for others, test in splits:
        train, val = train_test_split(
            others, test_size=1 / FOLDS, stratify=labels[others], random_state=0
        )
        yield Parts(train=train, val=val, test=test)


def drawn_runs(
    registry: Registry,
    card: HeadCard,
    width: int,
    classes: int,
    changed: Callable[[dict[str, float | int]], None] = lambda params: None,
) -> tuple[list[HeadRun], list[dict[str, float | int]]]:
    """Heads of a kind and their hyper-parameters: the defaults, then what is drawn.

    Args:
        registry: Of the plugins.
        card: The kind.
        width: Of the features.
        classes: That there are.
        changed: Changes what was drawn in place.
    """
    generator, runs, points = np.random.default_rng(0), [], []
    for place in range(DRAWN):
        params = Space(card.space).defaults()
        if place:
            params = params | draw(card, generator)
        changed(params)

        def build(params: dict = params, seed: int = place) -> nn.Module:
            torch.manual_seed(seed)
            head: nn.Module = registry.load(card)(width=width, classes=classes, params=params)
            return head

        rates = {name: params[name] for name in _RATES if name in params}
        runs.append(HeadRun(build=build, **rates))
        points.append(params)
    return runs, points


def percent(value: float) -> str:
    """Of a share, in a table."""
    return f"{100 * value:.1f}"

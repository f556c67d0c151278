"""A whole kind of data without pixels: vectors in a file, and two small networks for them.

It goes through the same door as every plugin (:data:`TOY_PLUGIN`), so that a complete search can
be tested in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.cards import BackboneCard, CostCard, ModalityCard, StageCard, WeightsCard
from automl_transfer.contracts import Batch, LocalWeights, Progress, Stage
from automl_transfer.dataset import DataOptions, Dataset, Quarantined, Recognition, Sample
from automl_transfer.errors import DataError
from automl_transfer.hookspecs import hookimpl
from automl_transfer.jsonable import digest
from automl_transfer.kinds import Kind
from automl_transfer.layouts.entry import Entry
from automl_transfer.layouts.labelling import labelled
from automl_transfer.space import Choice, Scalar

if TYPE_CHECKING:
    import torch
    from torch import nn

WIDTH = 8
"""Numbers in a toy sample."""


def write_toy_data(
    path: Path, n: int = 120, classes: int = 3, seed: int = 0, kind: Kind = "single-label"
) -> Path:
    """Writes a CSV file with a label and eight numbers a line; one cluster a class.

    The clusters lie on rings, so that a network with hidden units beats a linear one. Of labels
    one is the parity of the class, one a sign; a number is the length of the vector.
    """
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = np.random.default_rng(7).normal(size=(classes, 2, WIDTH)) * 1.5
    side = generator.integers(0, 2, size=n)
    values = centres[labels, side] + generator.normal(size=(n, WIDTH)) * 0.8
    texts = [f"class{label}" for label in labels]
    if kind == "regression":
        texts = [f"{10 * np.linalg.norm(row):.4f}" for row in values]
    elif kind == "multi-label":
        texts = [
            ";".join(["even"] * int(label % 2 == 0) + ["positive"] * int(row[0] > 0))
            for label, row in zip(labels, values, strict=True)
        ]
    lines = [
        f"{text}," + ",".join(f"{value:.6f}" for value in row)
        for text, row in zip(texts, values, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class _Encoder:
    def __init__(self, root: str, noise: float) -> None:
        lines = Path(root).read_text(encoding="utf-8").splitlines()
        self._lines = lines
        self._noise = noise

    @property
    def digest(self) -> str:
        return "toy-vectors-1"

    def prepare(self, sample: Sample) -> NDArray[Any]:
        return _numbers(self._lines[int(sample.source)])[1]

    def batch(
        self, rows: Sequence[NDArray[Any]], generator: torch.Generator | None = None
    ) -> Batch:
        import torch

        batch = torch.from_numpy(np.stack(rows))
        if generator is not None and self._noise:
            batch = batch + self._noise * torch.randn(batch.shape, generator=generator)
        return batch

    @property
    def views(self) -> int:
        return 0 if self._noise else 1

    def choose(self, count: int, generator: torch.Generator) -> torch.Tensor:
        import torch

        return torch.zeros(count, dtype=torch.int64)

    def view(self, rows: Sequence[NDArray[Any]], index: int) -> Batch:
        return self.batch(rows)


def _numbers(line: str) -> tuple[str, NDArray[np.float32]]:
    label, *rest = line.split(",")
    values = np.array([float(text) for text in rest], dtype=np.float32)
    if len(values) != WIDTH:
        raise ValueError(f"{len(values)} numbers instead of {WIDTH}")
    return label, values


class ToyModality:
    """Vectors: files named ``*.toy.csv``."""

    def recognise(self, path: Path, options: DataOptions) -> Recognition:
        """Says yes to ``*.toy.csv``."""
        if path.name.endswith(".toy.csv"):
            return Recognition(score=1.0, reason="a file of vectors")
        return Recognition(score=0.0, reason="looked for *.toy.csv")

    def open(self, path: Path, options: DataOptions, progress: Progress | None = None) -> Dataset:
        """Reads labels and checks each line."""
        found: list[tuple[int, str, NDArray[np.float32]]] = []
        broken = []
        for place, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            try:
                found.append((place, *_numbers(line)))
            except ValueError as error:
                broken.append(Quarantined(source=str(place), reason=str(error)))
        kind: Kind = "single-label" if options.task == "auto" else options.task
        labelling = labelled(
            [Entry(path=path, source=str(place), label=label) for place, label, _ in found],
            kind,
            options.label_column,
            options.label_separator,
        )
        classes = labelling.names
        if kind == "single-label" and len(classes) < 2:
            raise DataError(f"At least two classes are needed, but found {len(classes)}.")
        if progress is not None:
            progress(len(found), len(found))
        return Dataset(
            modality="vectors",
            root=str(path),
            classes=classes,
            kind=kind,
            samples=tuple(
                Sample(
                    id=digest([float(value) for value in values], 32),
                    source=str(place),
                    label=entry.stratum,
                    values=entry.values,
                )
                for (place, _, values), entry in zip(found, labelling.entries, strict=True)
            ),
            layout="lines of numbers",
            quarantined=tuple(broken),
        )

    def open_items(self, paths: Sequence[Path]) -> tuple[Dataset, Sequence[str | None]]:
        """One item a path ``FILE#LINE``."""
        roots = {str(path).rpartition("#")[0] for path in paths}
        root = roots.pop()
        samples = tuple(
            Sample(id=digest(str(path), 32), source=str(path).rpartition("#")[2], label=0)
            for path in paths
        )
        dataset = Dataset(
            modality="vectors", root=root, classes=("?",), samples=samples, layout="items"
        )
        return dataset, [None] * len(paths)

    def encoder(
        self, root: str, input: Mapping[str, Any], params: Mapping[str, Scalar]
    ) -> _Encoder:
        """Numbers as they are; noise in the training view."""
        return _Encoder(root, float(params.get("noise", 0.0)))

    def raw_features(self, dataset: Dataset, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The numbers themselves."""
        encoder = _Encoder(dataset.root, 0.0)
        rows = [encoder.prepare(dataset.samples[int(place)]) for place in positions]
        return np.stack(rows).astype(np.float32)


def modality() -> ToyModality:
    """The factory of :data:`MODALITY`."""
    return ToyModality()


MODALITY = ModalityCard(
    id="vectors",
    factory="automl_transfer.testing.toy:modality",
    summary="eight numbers a sample",
    space=(Choice(name="noise", choices=(0.0, 0.1), default=0.0),),
)


class ToyBackbone:
    """A small perceptron with batch norm and dropout: all that freezing must get right."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.stages: tuple[Stage, ...] = ()

    def features(self, batch: Batch) -> torch.Tensor:
        """Features of shape (n, width)."""
        found: torch.Tensor = self.module(batch)
        return found


def build(*, card: BackboneCard, weights: LocalWeights | None, seed: int) -> ToyBackbone:
    """Linear, batch norm, ReLU; twice. Weights from the file, or random from ``seed``."""
    import torch
    from safetensors.torch import load_file
    from torch import nn

    width = int(card.arguments["width"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential()
        for place, (before, after) in enumerate([(WIDTH, width), (width, width), (width, width)]):
            module.add_module(
                f"block{place}",
                nn.Sequential(
                    nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(0.1)
                ),
            )
    if weights is not None:
        module.load_state_dict(load_file(weights.path))
    return ToyBackbone(module)


def write_toy_weights(path: Path, width: int, seed: int = 1) -> Path:
    """Writes a weights file for :func:`card`: random, but the same each time."""
    from safetensors.torch import save_file

    backbone = build(card=card("any", width, path), weights=None, seed=seed)
    save_file(dict(backbone.module.state_dict()), path)
    return path


def card(name: str, width: int, weights: Path) -> BackboneCard:
    """The card of a toy network whose weights are in a file."""
    return BackboneCard(
        id=f"toy/{name}",
        factory="automl_transfer.testing.toy:build",
        modality="vectors",
        family="toy",
        weights=WeightsCard(sources=(f"dir:{weights}",), license="Apache-2.0"),
        input={"width": WIDTH},
        stages=tuple(
            StageCard(name=f"block{place}", tensors=(rf"block{place}\.",)) for place in range(3)
        ),
        cost=CostCard(params=WIDTH * width + 2 * width * width + 9 * width),
        arguments={"width": width},
    )


class ToyPlugin:
    """A plugin with the toy modality and some backbones; it can be handed to other processes."""

    __name__ = "toy"

    def __init__(self, cards: Sequence[BackboneCard]) -> None:
        self._cards = tuple(cards)

    @hookimpl
    def automl_transfer_modalities(self) -> Iterable[ModalityCard]:
        """Vectors."""
        return [MODALITY]

    @hookimpl
    def automl_transfer_backbones(self) -> Iterable[BackboneCard]:
        """Those that it was made with."""
        return list(self._cards)


def toy_plugin(directory: Path) -> ToyPlugin:
    """A plugin with the toy modality and two backbones, whose weights it writes there."""
    return ToyPlugin(
        [
            card(name, width, write_toy_weights(directory / f"{name}.safetensors", width))
            for name, width in (("small", 8), ("wide", 32))
        ]
    )

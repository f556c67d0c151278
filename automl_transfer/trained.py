"""The trained winner of a study, for use on new, unlabelled items."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.archives import unpacked
from automl_transfer.cards import BackboneCard, HeadCard, ModalityCard
from automl_transfer.configuration import Configuration
from automl_transfer.errors import PluginError, StudyError
from automl_transfer.jsonable import from_json
from automl_transfer.metrics import holding
from automl_transfer.plugins import load_registry
from automl_transfer.registry import Registry
from automl_transfer.space import Space
from automl_transfer.stages.context import cache_directory
from automl_transfer.target import Target

if TYPE_CHECKING:
    from automl_transfer.training.model import TransferModel


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the model says of one item."""

    source: str
    label: str | None
    """The most likely class; None when the item could not be read, and for other kinds."""
    probability: float | None
    probabilities: dict[str, float] = field(default_factory=dict)
    """Class or label to probability, most likely first."""
    labels: tuple[str, ...] | None = None
    """Of a multi-label model: those that are taken to hold, most likely first."""
    number: float | None = None
    """Of a regression model, in the unit of the targets."""
    error: str | None = None


class Model:
    """A trained model with its classes and preprocessing, as stored in ``model/``."""

    def __init__(self, description: dict[str, Any], network: TransferModel, registry: Registry):
        self.target = _target(description)
        """What it predicts."""
        self.classes: tuple[str, ...] = self.target.names
        """Names of its classes or labels; of numbers, their one name."""
        self.configuration = from_json(Configuration, description["configuration"])
        self.backbone = from_json(BackboneCard, description["backbone"])
        self.network = network
        """The torch module: encoded batch to class scores, before the temperature."""
        self.temperature = _temperature(description)
        """What the class scores are divided by before the softmax."""
        self._encoded = str(description.get("encoder", ""))
        self._made_by = _made_by(description)
        card = from_json(ModalityCard, description["modality"])
        self._modality = registry.load(card)()
        self._params = Space(card.space).defaults() | self.configuration.of("modality", card.id)

    @classmethod
    def load(cls, directory: str | Path, registry: Registry | None = None) -> Model:
        """Loads a model directory; works in a fresh process and on another machine.

        Args:
            directory: With ``model.json`` and ``model.safetensors``.
            registry: Plugins to take the backbone's and head's code from; the installed ones.

        Raises:
            StudyError: The directory holds no model, or a damaged one.
            PluginError: A plugin that the model needs is not installed.
        """
        from automl_transfer.training.link import link_of
        from automl_transfer.training.model import TransferModel
        from automl_transfer.training.model_file import load_state
        from automl_transfer.training.stage_outputs import StageOutputs, reading

        path = Path(directory)
        try:
            description = json.loads((path / "model.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise StudyError(
                f"A model directory holds model.json and model.safetensors, but {str(path)!r} "
                f"cannot be read: {error}."
            ) from error
        if description.get("schema") != 1:
            raise StudyError(
                f"This version reads models of schema 1, but {str(path)!r} has "
                f"{description.get('schema')!r}. Upgrade automl-transfer to use it."
            )
        registry = registry or load_registry()
        card = from_json(BackboneCard, description["backbone"])
        head_card = from_json(HeadCard, description["head"])
        configuration = from_json(Configuration, description["configuration"])
        target = _target(description)
        try:
            head = registry.load(head_card)(
                width=description["width"],
                classes=target.outputs,
                params=configuration.of("head", configuration.head),
            )
            backbone = registry.load(card)(card=card, weights=None, seed=0)
        except PluginError as error:
            raise PluginError(
                f"The model of {str(path)!r} was made with{_made_by(description)} what cannot be "
                f"had here: {error}"
            ) from error
        read = StageOutputs.stored(description.get("stage_outputs"))
        network = TransferModel(
            reading(backbone, read), head, description["width"], link_of(target)
        )
        load_state(path / "model.safetensors", network, sha256=description["sha256"])
        return cls(description, network, registry)

    def probabilities(
        self, paths: Sequence[str | Path], device: str = "auto"
    ) -> tuple[NDArray[np.float32], list[str | None]]:
        """Predictions, shape (n, c), and for each path None or why it has none: probabilities of
        classes or labels, or one column of numbers.

        They are at the temperature of the model. Rows of items that could not be read are NaN.
        """
        from automl_transfer.training.device import choose_device, prepare_process
        from automl_transfer.training.model_file import predict_probabilities
        from automl_transfer.training.rows import RowStore

        chosen = choose_device(device)
        prepare_process(chosen)
        dataset, errors = self._modality.open_items([Path(path) for path in paths])
        result = np.full((len(paths), len(self.classes)), np.nan, dtype=np.float32)
        if dataset.samples:
            encoder = self._modality.encoder(dataset.root, self.backbone.input, self._params)
            self._require_same(encoder.digest)
            readable = [place for place, error in enumerate(errors) if error is None]
            result[readable] = predict_probabilities(
                self.network.to(chosen),
                RowStore(encoder, dataset.samples),
                np.arange(len(dataset.samples)),
                chosen,
                self.temperature,
            )
        return result, list(errors)

    def _require_same(self, digest: str) -> None:
        # Models of earlier versions do not say how their samples were encoded.
        if self._encoded and digest != self._encoded:
            raise PluginError(
                "A model must be given samples that are encoded as those that it learnt from "
                f"({self._encoded}), but the plugin that is installed encodes them otherwise "
                f"({digest}): its answers would be wrong. Install what it was made with"
                f"{self._made_by}, or repeat the search."
            )

    def predict(self, paths: Sequence[str | Path], device: str = "auto") -> list[Prediction]:
        """One prediction for each path; a directory or an archive stands for the files in it, by
        name."""
        files = [pair for path in paths for pair in _files(Path(path))]
        matrix, errors = self.probabilities([file for _, file in files], device)
        return [
            Prediction(source=source, label=None, probability=None, error=error)
            if error is not None
            else _prediction(source, row, self.target)
            for (source, _), row, error in zip(files, matrix, errors, strict=True)
        ]


def _made_by(description: dict[str, Any]) -> str:
    """Who provided what a model was made of, in words: `` (acme-transfer 1.2)``."""
    names = dict.fromkeys(dict(description.get("providers") or {}).values())
    return f" ({', '.join(names)})" if names else ""


def _temperature(description: dict[str, Any]) -> float:
    """The one that was stored; models of earlier versions have none."""
    found = description.get("temperature", 1.0)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 < found < math.inf:
        raise StudyError(
            f"The temperature in model.json must be a positive number, but is {found!r}: the file "
            "is damaged. Repeat the search to make it again."
        )
    return float(found)


def _files(path: Path) -> list[tuple[str, Path]]:
    """What to call each file that ``path`` stands for, and where it is."""
    root = unpacked(path, cache_directory())
    if not root.is_dir():
        return [(str(path), path)]
    return [
        (str(path / file.relative_to(root)), file)
        for file in sorted(root.rglob("*"))
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(root).parts)
    ]


def _target(description: dict[str, Any]) -> Target:
    """The one that was stored; models of earlier versions know classes only."""
    if "target" in description:
        return from_json(Target, description["target"])
    return Target(names=tuple(description["classes"]))


def _prediction(source: str, row: NDArray[np.float32], target: Target) -> Prediction:
    if target.kind == "regression":
        return Prediction(source=source, label=None, probability=None, number=float(row[0]))
    order = np.argsort(-row, kind="stable").tolist()
    ranked = {target.names[place]: float(row[place]) for place in order}
    if target.kind == "multi-label":
        holds = holding(row)
        labels = tuple(target.names[place] for place in order if holds[place])
        return Prediction(
            source=source, label=None, probability=None, probabilities=ranked, labels=labels
        )
    return Prediction(
        source=source,
        label=target.names[order[0]],
        probability=float(row[order[0]]),
        probabilities=ranked,
    )

"""From samples to batches of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.dataset import Sample
from automl_transfer.errors import DataError, UsageError
from automl_transfer.jsonable import digest, to_json
from automl_transfer.modalities.image import CARD
from automl_transfer.modalities.image.input import ImageInput
from automl_transfer.modalities.image.plain_view import REVISION, plain_view
from automl_transfer.modalities.image.reading import content_id, decode, read_bytes
from automl_transfer.modalities.image.training_view import mirrored, training_view
from automl_transfer.space import Scalar, Space

if TYPE_CHECKING:
    import torch

_LATER = ("mean", "std")
"""Parts of the input that only :meth:`ImageEncoder.batch` looks at."""


@dataclass(frozen=True, kw_only=True)
class ImageEncoder:
    """Encodes the images below ``root`` for one backbone. Safe to share between threads."""

    root: str
    input: ImageInput
    augment: str

    @classmethod
    def make(
        cls, root: str, input: Mapping[str, Any], params: Mapping[str, Scalar]
    ) -> ImageEncoder:
        """Checks what a card and a configuration say.

        Args:
            root: What the sources of samples are relative to.
            input: ``BackboneCard.input``.
            params: Values of the modality's space; those that are missing are at their default.

        Raises:
            CardError: The input breaks a rule.
            UsageError: A parameter is unknown or has no such value.
        """
        space = Space(CARD.space)
        values = space.defaults() | dict(params)
        problems = space.problems(values)
        if problems:
            raise UsageError(
                f"The parameters of modality 'image' must be in its space: {'; '.join(problems)}."
            )
        return cls(root=root, input=ImageInput.from_card(input), augment=str(values["augment"]))

    @property
    def digest(self) -> str:
        """Identity of the plain view."""
        return digest({"input": to_json(self.input), "revision": REVISION})

    @property
    def rows_digest(self) -> str:
        """Identity of what :meth:`prepare` makes: nothing is normalised yet."""
        pixels = {key: value for key, value in to_json(self.input).items() if key not in _LATER}
        return digest({"pixels": pixels, "revision": REVISION})

    def prepare(self, sample: Sample) -> NDArray[np.uint8]:
        """The plain view of one sample, shape (h, w, channels), before it is normalised.

        Raises:
            DataError: The file cannot be read, or is not the one that the data set was made of.
        """
        path = Path(self.root) / sample.source
        try:
            content = read_bytes(path)
            # Rows and features are kept by the id of a sample, so it must be the same content.
            if content_id(content) != sample.id:
                raise DataError("its content has changed since it was listed; start again")
            return plain_view(decode(content), self.input)
        except DataError as error:
            raise DataError(f"{str(path)!r} cannot be used: {error}.") from error

    def batch(
        self, rows: Sequence[NDArray[Any]], generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Normalised images, shape (n, channels, h, w), float32, on the CPU.

        Args:
            rows: Of :meth:`prepare`, at least one.
            generator: On the CPU; with it, the training view that ``augment`` asks for.
        """
        images = _stacked(rows)
        if generator is not None and self.augment != "none":
            images = training_view(
                images,
                crop="crop" in self.augment,
                flip="flip" in self.augment,
                generator=generator,
            )
        return self._normalised(images)

    @property
    def views(self) -> int:
        """One, or two with mirror images; crops are without number."""
        return {"none": 1, "flip": 2}.get(self.augment, 0)

    def choose(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Which images to mirror (1) and which not (0), with the draws of :meth:`batch`."""
        import torch

        if self.augment == "none":
            return torch.zeros(count, dtype=torch.int64)
        return mirrored(count, generator).to(torch.int64)

    def view(self, rows: Sequence[NDArray[Any]], index: int) -> torch.Tensor:
        """Plain images (0) or their mirror images (1), as :meth:`batch` returns them."""
        images = _stacked(rows)
        return self._normalised(images.flip(-1) if index else images)

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        import torch

        shape = (1, -1, 1, 1)
        mean = torch.tensor(self.input.mean).reshape(shape)
        std = torch.tensor(self.input.std).reshape(shape)
        return images.div_(255).sub_(mean).div_(std)


def _stacked(rows: Sequence[NDArray[Any]]) -> torch.Tensor:
    import torch

    pixels = torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2)
    return pixels.to(torch.float32, memory_format=torch.contiguous_format)

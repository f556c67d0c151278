"""Small sets of images that registry packages carry, as class folders."""

from __future__ import annotations

import csv
import importlib.resources
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path

from automl_transfer.cards import SampleDataCard
from automl_transfer.sample_data import spread

CARDS = (
    SampleDataCard(
        id="digits",
        modality="image",
        factory="automl_transfer.modalities.image.samples:write_digits",
        title="Handwritten digits, 1,797 grey images of 8 x 8 pixels, written at 64 x 64",
        license="CC-BY-4.0",
        source="scikit-learn's load_digits; E. Alpaydin, C. Kaynak (1998), Optical Recognition of "
        "Handwritten Digits, UCI Machine Learning Repository, doi:10.24432/C50P49",
    ),
    SampleDataCard(
        id="textiles",
        modality="image",
        factory="automl_transfer.modalities.image.samples:write_textiles",
        title="Simulated textile faults, 2,000 images, 3 classes: nominal, local, global",
        license="MIT",
        requires="conformal-clip-data",
        source="conformal-clip-data; F. M. Megahed, Y.-J. Chen (2025)",
    ),
    SampleDataCard(
        id="solar-cells",
        modality="image",
        factory="automl_transfer.modalities.image.samples:write_solar_cells",
        title="Electroluminescence images of solar cells, 2,624 grey images of 300 x 300 pixels",
        license="CC-BY-NC-SA-4.0",
        labellings=("defect", "levels"),
        requires="elpv-dataset",
        source="elpv-dataset; S. Deitsch et al. (2019), Automatic classification of defective "
        "photovoltaic module cells in electroluminescence images, Solar Energy 185, "
        "doi:10.1016/j.solener.2019.02.067",
    ),
)
"""The cards of this modality's sample data."""

_SIDE = 64


def write_digits(*, directory: Path, labelling: str | None, per_class: int | None) -> int:
    """Writes ``0`` to ``9``: white on black, PNG.

    The 17 levels of grey are spread over 0 to 255 and the 8 x 8 pixels enlarged to 64 x 64 with
    bicubic interpolation: as they are, every backbone would enlarge them more, pixel by pixel.
    """
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.round(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    places = {f"digit_{place:04d}.png": place for place in range(len(labels))}
    by_class: dict[str, list[str]] = defaultdict(list)
    for name, place in places.items():
        by_class[str(labels[place])].append(name)
    count = 0
    for label, names in sorted(by_class.items()):
        (directory / label).mkdir()
        for name in spread(names, per_class):
            image = Image.fromarray(images[places[name]])
            image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).save(directory / label / name)
            count += 1
    return count


def write_textiles(*, directory: Path, labelling: str | None, per_class: int | None) -> int:
    """Writes ``global``, ``local`` and ``nominal``, the files as they are."""
    data = importlib.resources.files("conformal_clip_data") / "data"
    root = data / "textile_images" / "simulated"
    files = {
        label: [item for item in (root / label).iterdir() if item.name.endswith(".jpg")]
        for label in ("global", "local", "nominal")
    }
    return _copy(files, directory, per_class)


def write_solar_cells(*, directory: Path, labelling: str | None, per_class: int | None) -> int:
    """Writes the files as they are, into the class folders of a labelling.

    ``defect``: ``defective`` from a probability of one half on, else ``intact``. ``levels``: the
    four probabilities that experts gave, ``p000``, ``p033``, ``p067`` and ``p100`` in percent.
    """
    data = importlib.resources.files("elpv_dataset") / "data"
    files: dict[str, list[Traversable]] = defaultdict(list)
    lines = (data / "labels.csv").read_text(encoding="utf-8").splitlines()
    for name, probability, _ in csv.reader(
        (" ".join(line.split()) for line in lines if line.strip()), delimiter=" "
    ):
        value = float(probability)
        if labelling == "levels":
            label = f"p{round(100 * value):03d}"
        else:
            label = "defective" if value >= 0.5 else "intact"
        files[label].append(data.joinpath(*name.split("/")))
    return _copy(files, directory, per_class)


def _copy(
    files: Mapping[str, Sequence[Traversable]], directory: Path, per_class: int | None
) -> int:
    count = 0
    for label, items in sorted(files.items()):
        by_name = {item.name: item for item in items}
        (directory / label).mkdir()
        for name in spread(by_name, per_class):
            (directory / label / name).write_bytes(by_name[name].read_bytes())
            count += 1
    return count

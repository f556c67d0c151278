"""B12: faults that are planted into real data, and what the audit finds of them.

    python benchmarks/planted.py FOLDER [FOLDER...] [--write]

Each FOLDER holds class folders of images. Three things are done with each:

1. A fifth of each class becomes a given test part. Altered copies (encoded again at quality 60,
   half the size, brightness +10 % and -10 %, 3 % cropped, as PNG) of as many test images as are
   5 % of the whole are put into the training part under other names. Counted: copies that the
   audit names, and other test images that it names. Then a 5-nearest-neighbour classifier and
   ridge regression learn from the frozen features of the bundled backbone, with and without the
   copies: the difference of their test accuracies is what the copies would have pretended.
2. Ten kinds of files that cannot be used, one of each, a class whose name differs from another's
   in case only, and a class that the test part lacks. Counted: which of them the audit names.
3. 3 % of the labels are replaced by others, at random, five times. Confident learning is asked by
   exact leave-one-out ridge on the same features. Counted: precision and recall of all that it
   suspects, and the precision of the first as many as were replaced.
"""

from __future__ import annotations

import argparse
import io
import shutil
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _report

BACKBONE = "bundled/efficientnet_lite0"
TEST_SHARE = 0.2
COPIES = 0.05
FLIPPED = 0.03
REPEATS = 5


def altered() -> list[tuple[str, Callable[[Any], Any], str, dict[str, int]]]:
    """Name, change, ending and options of each kind of copy."""
    from PIL import ImageEnhance

    def crop(image: Any) -> Any:
        across, down = 0.015 * image.width, 0.015 * image.height
        return image.crop(
            (round(across), round(down), round(image.width - across), round(image.height - down))
        )

    return [
        ("quality 60", lambda image: image, ".jpg", {"quality": 60}),
        (
            "half size",
            lambda image: image.resize((image.width // 2, image.height // 2)),
            ".jpg",
            {"quality": 90},
        ),
        ("+10 %", lambda image: ImageEnhance.Brightness(image).enhance(1.1), ".jpg", {}),
        ("-10 %", lambda image: ImageEnhance.Brightness(image).enhance(0.9), ".jpg", {}),
        ("3 % cropped", crop, ".jpg", {"quality": 90}),
        ("PNG", lambda image: image, ".png", {}),
    ]


def lay_out(source: Path, target: Path) -> list[Path]:
    """Copies class folders into ``train`` and ``test``; returns the test files, by class."""
    import hashlib

    held = []
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        files = sorted(
            (path for path in folder.iterdir() if path.is_file()),
            key=lambda path: hashlib.sha256(path.name.encode()).digest(),
        )
        for place, file in enumerate(files):
            part = "test" if place < round(TEST_SHARE * len(files)) else "train"
            made = target / part / folder.name / file.name
            made.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, made)
            if part == "test":
                held.append(made)
    return held


def plant_copies(root: Path, held: list[Path], count: int) -> dict[Path, str]:
    """Puts altered copies of test files into train; returns which file has which."""
    import numpy as np
    from PIL import Image

    ways = altered()
    planted = {}
    for place, at in enumerate(np.random.default_rng(0).choice(len(held), count, replace=False)):
        file = held[int(at)]
        name, change, suffix, options = ways[place % len(ways)]
        target = root / "train" / file.parent.name / f"copy-{place:04d}{suffix}"
        with Image.open(file) as image:
            change(image.convert("RGB")).save(target, **options)
        planted[file] = name
    return planted


def broken(sample: bytes) -> dict[str, bytes]:
    """One file of each kind that cannot be used."""
    from PIL import Image

    png = io.BytesIO()
    with Image.open(io.BytesIO(sample)) as image:
        image.convert("RGB").save(png, "PNG")
    whole = png.getvalue()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    bomb = whole[:8] + chunk(b"IHDR", head) + chunk(b"IEND", b"")
    text = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(100_000_000)))
    return {
        "empty.jpg": b"",
        "cut-off.jpg": sample[: len(sample) // 2],
        "cut-off.png": whole[: len(whole) // 2],
        "flipped-bits.png": bytes(flipped),
        "page.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
        "text.png": b"this is no image",
        "pointer.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "heic.jpg": b"\x00\x00\x00\x18ftypheic" + bytes(64),
        "bomb.png": bomb,
        "text-bomb.png": whole[:33] + text + whole[33:],
    }


def audited(root: Path) -> Any:
    """The audit of a directory."""
    from automl_transfer.dataset import DataOptions
    from automl_transfer.generators import ended
    from automl_transfer.plugins import load_registry
    from automl_transfer.stages.checking import check

    return ended(check(root, DataOptions(), load_registry(third_party=False)))


def near_test(root: Path) -> set[str]:
    """Sources of the test images with a near copy in train, all of them."""
    from automl_transfer import audit

    before, audit.EXAMPLES = audit.EXAMPLES, sys.maxsize
    try:
        found = audited(root)
    finally:
        audit.EXAMPLES = before
    named = [one for one in found.findings if one.kind == "near-copies-test-in-train"]
    return {example.sources[0] for one in named for example in one.examples}


def features(root: Path, cache_directory: Path) -> tuple[Any, Any, list[Any], int]:
    """Frozen features, labels, samples and the number of classes."""
    import numpy as np

    from automl_transfer.dataset import DataOptions
    from automl_transfer.plugins import load_registry
    from automl_transfer.training.array_cache import ArrayCache
    from automl_transfer.training.device import choose_device, prepare_process
    from automl_transfer.training.features import FeatureKey, extract
    from automl_transfer.training.row_keeper import RowKeeper
    from automl_transfer.training.rows import RowStore
    from automl_transfer.weights import locate, shared_probe

    device = choose_device("auto")
    prepare_process(device)
    registry = load_registry(third_party=False)
    modality = registry.load(registry.modality("image"))()
    card = registry.backbone(BACKBONE)
    weights = locate(card.weights, offline=True, hub=shared_probe())
    cache = ArrayCache(cache_directory)
    dataset = modality.open_prepared(root, DataOptions(), [card.input], RowKeeper(cache))
    encoder = modality.encoder(dataset.root, card.input, {})
    found, _ = extract(
        backbone=registry.load(card)(card=card, weights=weights, seed=0),
        rows=RowStore(encoder, dataset.samples, cache),
        positions=np.arange(len(dataset.samples)),
        cache=cache,
        key=FeatureKey(weights=weights.sha256, card=card.id, encoder=encoder.digest),
        device=device,
    )
    return np.asarray(found), dataset.labels, list(dataset.samples), len(dataset.classes)


def accuracies(matrix: Any, labels: Any, classes: int, train: Any, test: Any) -> list[float]:
    """Of nearest neighbours and of ridge regression, on the test part, in per cent."""
    from automl_transfer.scoring import knn_predict
    from automl_transfer.training.ridge import ridge_path

    nearest = knn_predict(matrix[train], labels[train], matrix[test], classes)
    path = ridge_path(matrix[train], labels[train], classes)
    scores = path.predicted(matrix[test])
    return [
        100 * float((guess.argmax(axis=1) == labels[test]).mean()) for guess in (nearest, scores)
    ]


def copies_rows(source: Path, work: Path) -> tuple[list[object], list[object]]:
    """What is found of the copies, and what they would have pretended."""
    import numpy as np

    root = work / "copies"
    held = lay_out(source, root)
    total = sum(1 for path in root.rglob("*") if path.is_file())
    before = near_test(root)  # real sets have near copies of their own
    planted = plant_copies(root, held, round(COPIES * total))
    found = near_test(root)
    names = {file.relative_to(root).as_posix(): kind for file, kind in planted.items()}
    hit = found & names.keys()
    by_kind = ", ".join(
        f"{kind} {sum(names[name] == kind for name in hit)}/{list(names.values()).count(kind)}"
        for kind in dict.fromkeys(names.values())
    )
    matrix, labels, samples, classes = features(root, work / "cache")
    part = np.array([sample.part for sample in samples])
    copy = np.array(["/copy-" in sample.source for sample in samples])
    test = np.flatnonzero(part == "test")
    without = accuracies(matrix, labels, classes, np.flatnonzero((part == "train") & ~copy), test)
    within = accuracies(matrix, labels, classes, np.flatnonzero(part == "train"), test)
    clean = test[[sample.source not in names for sample in np.array(samples)[test]]]
    spared = accuracies(matrix, labels, classes, np.flatnonzero(part == "train"), clean)
    return (
        [
            source.name,
            len(names),
            f"{len(hit)} ({100 * len(hit) / len(names):.0f} %)",
            by_kind,
            len(found - names.keys() - before),
            len(before - names.keys()),
        ],
        [
            source.name,
            f"{len(names)} of {len(test)}",
            *(f"{a:.1f} / {b:.1f} ({b - a:+.1f})" for a, b in zip(without, within, strict=True)),
            f"{spared[0]:.1f} / {spared[1]:.1f}",
        ],
    )


def faults_row(source: Path, work: Path) -> list[object]:
    """Which of the other faults are named."""
    root = work / "faults"
    held = lay_out(source, root)
    names = sorted({file.parent.name for file in held})
    first, last = names[0], names[-1]
    shutil.rmtree(root / "test" / last)
    files = sorted((root / "train" / first).iterdir())
    twin = root / "train" / first.swapcase()
    twin.mkdir()
    for file in files[:8]:
        file.rename(twin / file.name)
    made = broken(files[-1].read_bytes())
    for name, content in made.items():
        (root / "train" / first / name).write_bytes(content)
    found = audited(root)
    quarantined = {
        Path(example.sources[0]).name
        for one in found.findings
        if one.kind.startswith("unreadable")
        for example in one.examples
    }
    kinds = {one.kind: one for one in found.findings}
    words = [
        example.words
        for kind in ("classes-spelt-alike", "classes-missing-from-part")
        if kind in kinds
        for example in kinds[kind].examples
    ]
    return [
        source.name,
        f"{len(quarantined & made.keys())} of {len(made)}",
        "yes" if any(repr(first.swapcase()) in text and " and " in text for text in words)
        else "NO",
        "yes" if any(text == f"{last!r} does not occur in the test part" for text in words)
        else "NO",
    ]  # fmt: skip


def flipped_row(source: Path, work: Path) -> list[object]:
    """Precision and recall of confident learning."""
    import numpy as np

    from automl_transfer.auditing.labels import suspects
    from automl_transfer.training.ridge import ridge_path

    matrix, true, _, classes = features(source, work / "cache")
    count = round(FLIPPED * len(true))
    precision, recall, first, accuracy, listed = [], [], [], [], []
    for seed in range(REPEATS):
        generator = np.random.default_rng(seed)
        changed = generator.choice(len(true), count, replace=False)
        labels = true.copy()
        labels[changed] = (true[changed] + generator.integers(1, classes, count)) % classes
        path = ridge_path(matrix, labels, classes)
        found = [one.position for one in suspects(path.predictions, labels)]
        wrong = set(changed.tolist())
        hits = len(wrong & set(found))
        precision.append(hits / max(len(found), 1))
        recall.append(hits / count)
        first.append(len(wrong & set(found[:count])) / count)
        accuracy.append(float((path.predictions.argmax(axis=1) == true).mean()))
        listed.append(len(found))

    def shown(values: list[float]) -> str:
        return (
            f"{100 * np.mean(values):.0f} % ({100 * min(values):.0f} to {100 * max(values):.0f})"
        )

    return [
        source.name,
        f"{100 * np.mean(accuracy):.0f} %",
        count,
        f"{np.mean(listed):.0f}",
        shown(precision),
        shown(recall),
        shown(first),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    copies, inflation, faults, flipped = [], [], [], []
    for folder in options.folders:
        print(f"{folder.name}...", file=sys.stderr)
        with tempfile.TemporaryDirectory() as directory:
            work = Path(directory)
            one, other = copies_rows(folder, work)
            copies.append(one)
            inflation.append(other)
            faults.append(faults_row(folder, work))
            flipped.append(flipped_row(folder, work))
    text = _report.page(
        "Planted faults, and what the audit finds",
        (__doc__ or "").partition("\n\n    python")[2].partition("\n\n")[2],
        "## Altered copies across parts",
        _report.table(
            ["set", "planted", "found", "by kind", "named though not planted", "real ones before"],
            copies,
        ),
        "The real ones are near copies that the sets have by themselves between these two parts.",
        "## What they would have pretended",
        _report.table(
            [
                "set",
                "test images with a copy in train",
                "5 nearest, without / with copies (accuracy, %)",
                "ridge, without / with copies",
                "both with copies, on the other test images",
            ],
            inflation,
        ),
        "## Other faults",
        _report.table(
            ["set", "broken files", "case collision", "class missing from test"], faults
        ),
        "## Flipped labels",
        _report.table(
            [
                "set",
                "leave-one-out accuracy",
                "flipped",
                "suspected",
                "precision",
                "recall",
                "precision of the first",
            ],
            flipped,
        ),
        f"Mean over {REPEATS} draws, and the range. Labels that were wrong before count as false "
        "alarms.",
    )
    _report.write(Path(__file__).with_suffix(".md"), text, wanted=options.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())

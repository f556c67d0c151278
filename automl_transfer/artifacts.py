"""The directory of a study: plain files, each written whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from cattrs import BaseValidationError
from numpy.typing import NDArray

from automl_transfer.dataset import PARTS, Dataset, Splits
from automl_transfer.errors import StudyError
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.recommendation import SCHEMA, Recommendation
from automl_transfer.request import SearchRequest, hide_password

STUDY_TOML = "study.toml"
MANIFEST = "manifest.parquet"
RECOMMENDATION = "recommendation.json"
DATABASE = "study.db"
MODEL = "model"
HELD_OUT = "held_out.npz"
MAP = "map.npz"
STILLS = "stills.parquet"
WRONG_LABELS = "mislabelled.json"
_STILLS_TOGETHER = 32
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_MEDIA = re.compile(r"[a-z]+/[a-z0-9.+-]+")


def changed(path: Path) -> int:
    """Another number when a file is another; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def no_formula(cell: object) -> object:
    """A cell of a CSV file that no spreadsheet takes for a formula: what looks like one gets an
    apostrophe before it."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell


class StudyDirectory:
    """Names and forms of what lies in ``studies/<name>/``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether a study is here."""
        return (self.path / STUDY_TOML).is_file()

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the study's own SQLite file."""
        return f"sqlite:///{(self.path / DATABASE).absolute()}"

    @property
    def model(self) -> Path:
        """Directory of the trained model."""
        return self.path / MODEL

    @property
    def report(self) -> Path:
        """The report as Markdown."""
        return self.path / "report.md"

    @property
    def page(self) -> Path:
        """The report as one HTML file."""
        return self.path / "report.html"

    def write_text(self, path: Path, text: str) -> None:
        """Writes a text whole or not at all; what UTF-8 cannot say, as an escape sequence."""
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")

    def write_request(self, request: SearchRequest, provenance: dict[str, Any]) -> None:
        """Writes ``study.toml``: what was asked, by which versions. No secrets."""
        import tomli_w

        asked = to_json(request)
        if request.storage:
            asked["storage"] = hide_password(request.storage)
        document = {
            "schema": 1,
            "name": request.name,
            "command": request.command,
            "request": _without_none(asked),
            "provenance": _without_none(provenance),
        }
        with replacing(self.path / STUDY_TOML) as temporary:
            temporary.write_text(tomli_w.dumps(document), encoding="utf-8")

    def read_toml(self) -> dict[str, Any]:
        """The whole of ``study.toml``.

        Raises:
            StudyError: There is none, or it cannot be read.
        """
        path = self.path / STUDY_TOML
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StudyError(
                f"A study is a directory with a {STUDY_TOML}, but {str(self.path)!r} has none. "
                "List the studies with `automl-transfer studies`."
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise StudyError(f"{str(path)!r} cannot be read: {error}.") from error
        if document.get("schema") != 1:
            raise StudyError(
                f"This version reads studies of schema 1, but {str(path)!r} has "
                f"{document.get('schema')!r}. Upgrade automl-transfer to open it."
            )
        return document

    def read_request(self) -> SearchRequest:
        """What was asked."""
        return from_json(SearchRequest, self.read_toml()["request"])

    def write_manifest(self, dataset: Dataset, splits: Splits) -> None:
        """Writes ``manifest.parquet``.

        Its columns: id, source, class (the labels of such data as one text, or the number), part,
        group, and unit, the number of the samples that stay together in every split; of data with
        labels also labels, a list.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        part = np.empty(len(dataset.samples), dtype=object)
        for name in PARTS:
            part[splits.of(name)] = name
        labels = (
            {"labels": [dataset.label_names(sample) for sample in dataset.samples]}
            if dataset.kind == "multi-label"
            else {}
        )
        table = pa.table(
            {
                "id": [sample.id for sample in dataset.samples],
                "source": [sample.source for sample in dataset.samples],
                "class": [dataset.label_text(sample) for sample in dataset.samples],
                "part": list(part),
                "group": [sample.group for sample in dataset.samples],
                "unit": splits.units if len(splits.units) else range(len(dataset.samples)),
                **labels,
            }
        )
        with replacing(self.path / MANIFEST) as temporary:
            pq.write_table(table, temporary)

    def write_quarantined(self, dataset: Dataset) -> None:
        """Writes ``quarantined.csv``: what cannot be used, and why; see :func:`no_formula`."""
        with (
            replacing(self.path / "quarantined.csv") as temporary,
            temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(["source", "reason"])
            for item in dataset.quarantined:
                writer.writerow([no_formula(item.source), no_formula(item.reason)])

    def read_manifest(self) -> dict[str, list[Any]]:
        """The columns that :meth:`write_manifest` has written, one entry a sample; older versions
        wrote ``id``, ``source``, ``class`` and ``part`` only."""
        import pyarrow.parquet as pq

        columns: dict[str, list[Any]] = pq.read_table(self.path / MANIFEST).to_pydict()
        return columns

    def predictions(self, number: int) -> Path:
        """The file with what a trial predicted."""
        return self.path / "predictions" / f"{number:06d}.npy"

    def write_predictions(self, number: int, probabilities: NDArray[np.float32]) -> None:
        """Keeps what a trial predicted for the validation part, shape (n_val, c)."""
        with replacing(self.predictions(number)) as temporary:
            np.save(temporary, probabilities.astype(np.float32), allow_pickle=False)

    def read_predictions(self, number: int) -> NDArray[np.float32] | None:
        """What :meth:`write_predictions` kept, or None."""
        try:
            stored = np.load(self.predictions(number), allow_pickle=False)
            return np.asarray(stored, dtype=np.float32)
        except Exception:  # there is none, or it is damaged in one of many ways
            return None

    def write_held_out(
        self, positions: NDArray[np.int64], probabilities: NDArray[np.float32]
    ) -> None:
        """Keeps what the winner predicted for the samples that it was scored on.

        Args:
            positions: Rows of the manifest, shape (n,).
            probabilities: Of them, shape (n, c).
        """
        self._write_arrays(HELD_OUT, positions, probabilities=probabilities)

    def read_held_out(self) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """What :meth:`write_held_out` kept, or None."""
        return self._read_arrays(HELD_OUT, "probabilities")

    def write_map(self, positions: NDArray[np.int64], points: NDArray[np.float32]) -> None:
        """Keeps a map of samples.

        Args:
            positions: Rows of the manifest, shape (n,).
            points: Their places in the plane, shape (n, 2).
        """
        self._write_arrays(MAP, positions, points=points)

    def read_map(self) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """What :meth:`write_map` kept, or None."""
        found = self._read_arrays(MAP, "points")
        return found if found is not None and found[1].shape[1] == 2 else None

    def _write_arrays(
        self, name: str, positions: NDArray[np.int64], **rows: NDArray[np.float32]
    ) -> None:
        arrays = {key: found.astype(np.float32) for key, found in rows.items()}
        with replacing(self.path / name) as temporary:
            np.savez(temporary, positions=positions.astype(np.int64), **arrays)  # type: ignore[arg-type]

    def _read_arrays(
        self, name: str, key: str
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """Positions, and a row of numbers for each; None if they are not there."""
        try:
            with (
                (self.path / name).open("rb") as file,
                np.load(file, allow_pickle=False) as stored,
            ):
                positions, rows = stored["positions"], stored[key]
        # A damaged archive fails in a dozen ways: as encrypted, of an unknown version, too large.
        except Exception:
            return None
        fits = positions.ndim == 1 and rows.ndim == 2 and len(positions) == len(rows)
        if not fits or positions.dtype.kind not in "iu" or rows.dtype.kind != "f":
            return None
        if len(positions) and positions.min() < 0:
            return None
        return positions.astype(np.int64), rows.astype(np.float32)

    def write_stills(self, stills: Mapping[int, tuple[str, bytes]]) -> None:
        """Keeps small views of samples.

        Args:
            stills: Media type and content, by row of the manifest.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = sorted(stills)
        table = pa.table(
            {
                "sample": pa.array(rows, pa.int64()),
                "media": pa.array([stills[row][0] for row in rows], pa.string()),
                "content": pa.array([stills[row][1] for row in rows], pa.binary()),
            }
        )
        with replacing(self.path / STILLS) as temporary:
            # In small groups, so that a few views are read without the others.
            pq.write_table(table, temporary, row_group_size=_STILLS_TOGETHER)

    def read_stills(self, samples: Iterable[int]) -> dict[int, tuple[str, bytes]]:
        """Those of the samples that :meth:`write_stills` kept, by row of the manifest."""
        import pyarrow.parquet as pq

        wanted = set(samples)
        found: dict[int, tuple[str, bytes]] = {}
        if not wanted:
            return found
        try:
            # Not by `filters` and not in threads: in a damaged file they wait for each other.
            with pq.ParquetFile(self.path / STILLS) as file:
                for group in range(file.num_row_groups):
                    known = file.read_row_group(group, columns=["sample"], use_threads=False)
                    if wanted.isdisjoint(known["sample"].to_pylist()):
                        continue
                    rows = file.read_row_group(group, use_threads=False).to_pylist()
                    found |= {
                        int(row["sample"]): (row["media"], row["content"])
                        for row in rows
                        if row["sample"] in wanted and is_view(row["media"], row["content"])
                    }
        except Exception:  # damaged in one of many ways
            return {}
        return found

    def known_stills(self) -> list[int]:
        """Rows of the manifest of which a view is kept, ascending."""
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path / STILLS) as file:
                stored = file.read(columns=["sample"], use_threads=False)
            return [int(sample) for sample in stored["sample"].to_pylist()]
        except Exception:  # damaged in one of many ways
            return []

    def read_wrong_labels(self) -> list[dict[str, Any]]:
        """Labels that may be wrong, the surest first; empty where none were looked for."""
        try:
            rows = json.loads(
                (self.path / WRONG_LABELS).read_text(encoding="utf-8", errors="surrogateescape")
            )
        except (OSError, ValueError):
            return []
        return [row for row in rows if _is_suspicion(row)] if isinstance(rows, list) else []

    def write_json(self, name: str, value: Any, *, durably: bool = False) -> None:
        """Writes ``name`` with ``value`` as indented JSON.

        Args:
            name: Below the directory.
            value: What to write.
            durably: Wait until it is on the disk.
        """
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        with (
            replacing(self.path / name) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape") as file,
        ):
            file.write(text)
            if durably:
                file.flush()
                os.fsync(file.fileno())

    def write_recommendation(self, recommendation: Recommendation) -> None:
        """Writes ``recommendation.json``."""
        self.write_json(RECOMMENDATION, to_json(recommendation))

    def read_recommendation(self) -> Recommendation | None:
        """The stored answer, or None before there is one. What an older schema does not have is
        filled with defaults.

        Raises:
            StudyError: It is damaged, or of a newer version.
        """
        path = self.path / RECOMMENDATION
        try:
            data = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
        except FileNotFoundError:
            return None
        except json.JSONDecodeError as error:
            raise StudyError(f"{str(path)!r} is damaged: {error}.") from error
        schema = data.get("schema") if isinstance(data, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise StudyError(
                f"This version reads answers up to schema {SCHEMA}, but {str(path)!r} has "
                f"{schema}. Upgrade automl-transfer to open it."
            )
        try:
            return from_json(Recommendation, data)
        except BaseValidationError as error:
            raise StudyError(
                f"{str(path)!r} is damaged, or of another version: {error}. Repeat the search to "
                "make it again."
            ) from error


def labels_of(manifest: Mapping[str, list[Any]]) -> list[list[str]]:
    """The labels of each sample of :meth:`StudyDirectory.read_manifest`. Older versions kept them
    as one text only, from which labels that hold ``;`` cannot be told apart."""
    kept = manifest.get("labels")
    if kept is not None:
        return kept
    return [[name for name in text.split("; ") if name] for text in manifest["class"]]


def is_view(media: object, content: object) -> bool:
    """Whether this is a media type and a content that may be kept as a view of a sample."""
    return isinstance(media, str) and bool(_MEDIA.fullmatch(media)) and isinstance(content, bytes)


def _is_suspicion(row: object) -> bool:
    return (
        isinstance(row, dict)
        and all(isinstance(row.get(key), str) for key in ("source", "label", "suggested"))
        and type(row.get("confidence")) in (int, float)
    )


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(item) for item in value]
    return value

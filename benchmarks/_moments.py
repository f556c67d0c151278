"""The best model of a running search as time goes by, scored after the clock has stopped.

A search of ours keeps the best model so far in ``checkpoint/``, each written whole and put in
place by a rename. A thread links what it finds there under another name, which costs the search
nothing: no byte is read until the search has ended.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

EVERY = 0.1
"""Seconds between two looks."""


class Watcher:
    """Links each new best model of a study below ``folder``; use as a context."""

    def __init__(self, study: Path, folder: Path) -> None:
        self.seen: list[tuple[float, Path]] = []
        """``time.time()`` and where the model lies, in order."""
        self._checkpoint, self._folder = study / "checkpoint", folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watcher:
        self._folder.mkdir(parents=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        last = None
        while not self._stop.wait(EVERY):
            note = self._checkpoint / "trial.json"
            try:
                now = note.stat().st_ino, note.stat().st_mtime_ns
                if now == last:
                    continue
                place = self._folder / str(len(self.seen))
                place.mkdir(exist_ok=True)
                for name in ("trial.json", "model.safetensors"):
                    (place / name).unlink(missing_ok=True)
                    os.link(self._checkpoint / name, place / name)
            except OSError:  # not there yet
                continue
            last = now
            self.seen.append((time.time(), place))


def scored(
    watcher: Watcher, study: Any, paths: list[Path], started: float
) -> list[dict[str, Any]]:
    """Answers as those of the other systems; a model of which a part was missed is left out.

    Args:
        watcher: After the search.
        study: The finished study.
        paths: Of the test part.
        started: When the clock did.
    """
    from safetensors import safe_open

    from automl_transfer.jsonable import to_json
    from automl_transfer.plugins import load_registry
    from automl_transfer.trained import Model

    registry = load_registry()
    template = json.loads((study.files.model / "model.json").read_text(encoding="utf-8"))
    trials = {trial.number: trial for trial in study.trials}
    answers = []
    for when, place in watcher.seen:
        note = json.loads((place / "trial.json").read_text(encoding="utf-8"))
        trial = trials[note["number"]]
        chosen = trial.configuration
        with safe_open(place / "model.safetensors", "pt") as file:
            width = file.get_slice("scaler.mean").get_shape()[0]
        described = template | {
            "trial": trial.number,
            "configuration": to_json(chosen),
            "backbone": to_json(registry.backbone(chosen.backbone)),
            "head": to_json(registry.head(chosen.head)),
            "width": width,
            "encoder": "",  # the template's is the winner's, and no plugin has changed since
            "sha256": note["sha256"],
        }
        (place / "model.json").write_text(json.dumps(described), encoding="utf-8")
        try:
            matrix, _ = Model.load(place, registry).probabilities(paths)
        except Exception as error:
            print(f"moment {place.name} is left out: {error}", file=sys.stderr)
            continue
        answers.append(
            {
                "at": when - started,
                "validation": trial.value,
                "what": f"{chosen.backbone.rpartition('/')[2]} + {chosen.head}, {chosen.strategy}",
                "predicted": np.argmax(matrix, axis=1).tolist(),
            }
        )
    return answers

"""What one session of a search leaves for the next: a small file in the study's directory.

The host tells of a trial once. A session that goes on with it later must know what it is, how far
its curve has been written, and under which identity: a name alone may come again, in another
directory or on another machine that writes to the same server.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from automl_transfer.jsonable import from_json, to_json
from automl_transfer_trackers.trials import Trial

FILE = "trackers.json"

_LOG = logging.getLogger(__name__)


@dataclass(kw_only=True)
class OpenTrial:
    """A trial that has begun and not ended."""

    trial: Trial
    x: int = 0
    """Where on its curve the last point is that trackers were told of; 0: none was."""


@dataclass(kw_only=True)
class Memory:
    """What is known of a study."""

    identity: str
    """No other study has it."""
    best: float | None = None
    """The best value of a finished trial."""
    trials: dict[int, OpenTrial] = field(default_factory=dict)
    """Those that are open, by number."""
    screened: dict[str, int] = field(default_factory=dict)
    """A score of a backbone, by its name, to the samples that the latest one told is of."""
    answered: int | None = None
    """Trials that had ended when the latest recommendation was told."""


def recall(directory: Path) -> Memory:
    """What the last session has left; a new identity where there was none."""
    place = directory / FILE
    try:
        return from_json(Memory, json.loads(place.read_text(encoding="utf-8")))
    except FileNotFoundError:
        pass
    except Exception as error:
        _LOG.warning("%s cannot be read (%r): trackers begin a new search.", place, error)
    return Memory(identity=uuid.uuid4().hex[:16])


def keep(directory: Path, memory: Memory) -> None:
    """Writes it, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    written = directory / f"{FILE}.new"
    written.write_text(json.dumps(to_json(memory)), encoding="utf-8")
    os.replace(written, directory / FILE)

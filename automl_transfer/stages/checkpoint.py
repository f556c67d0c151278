"""The best model so far, kept on disk so that it need not be trained again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from automl_transfer.outcome import finished
from automl_transfer.stages.context import Context

if TYPE_CHECKING:
    from automl_transfer.training.model import TransferModel

_DIRECTORY = "checkpoint"
_MODEL = "model.safetensors"


def keep_best(context: Context, number: int, model: Callable[[], TransferModel]) -> None:
    """Writes the model of a finished trial if it is the best so far; only then is it made.

    A disk that is full costs the copy, not the search: the winner is trained again at the end.
    """
    from automl_transfer.training.model_file import save_model

    if finished(context.outcomes)[0].number != number:
        return
    try:
        digest = save_model(context.files.path / _DIRECTORY / _MODEL, model())
        context.files.write_json(f"{_DIRECTORY}/trial.json", {"number": number, "sha256": digest})
    except Exception as error:
        text = (
            f"The best model so far could not be kept ({error}); it is trained again if it wins."
        )
        if text not in context.notes:
            context.notes.append(text)


def kept(context: Context, number: int) -> Path | None:
    """The kept model of a trial, or None when it is another's or damaged."""
    return context.files.path / _DIRECTORY / _MODEL if kept_number(context) == number else None


def kept_number(context: Context) -> int | None:
    """The trial whose model is kept; None where there is none, or it is damaged.

    The whole file is read for that.
    """
    directory = context.files.path / _DIRECTORY
    try:
        note = json.loads((directory / "trial.json").read_text(encoding="utf-8"))
        content = (directory / _MODEL).read_bytes()
    except (OSError, json.JSONDecodeError):
        return None
    if hashlib.sha256(content).hexdigest() != note.get("sha256"):
        return None
    number: int | None = note.get("number")
    return number

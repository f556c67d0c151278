"""A trained model as a safetensors file, and its use."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from automl_transfer.errors import StudyError
from automl_transfer.tempering import tempered
from automl_transfer.training.inference import predict
from automl_transfer.training.model import TransferModel
from automl_transfer.training.rows import RowStore


def save_model(path: Path, model: TransferModel) -> str:
    """Writes all parameters and buffers, whole or not at all; returns the file's SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Shared tensors are written under each of their names: safetensors refuses aliases.
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        save_file(state, temporary)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def load_state(path: Path, model: TransferModel, sha256: str | None = None) -> None:
    """Loads what :func:`save_model` wrote.

    Raises:
        StudyError: The file is missing, damaged, or of another architecture.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StudyError(
            f"The model file {str(path)!r} must be there and readable, but {error}. Repeat the "
            "search to make it again."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise StudyError(
            f"The model file {str(path)!r} must have SHA-256 {sha256}, but has {found}: it is "
            "damaged or another's. Repeat the search to make it again."
        )
    try:
        model.load_state_dict(load(content), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise StudyError(
            f"The model file {str(path)!r} must hold the tensors of its description, but {error}. "
            "Repeat the search to make it again."
        ) from error


def predict_probabilities(
    model: TransferModel,
    rows: RowStore,
    positions: NDArray[np.int64],
    device: torch.device,
    temperature: float = 1.0,
) -> NDArray[np.float32]:
    """Predictions of the plain view at a temperature, shape (n, c)."""
    found = predict(model.to(device), rows, positions, device)
    return tempered(found, temperature, model.link.target.kind)

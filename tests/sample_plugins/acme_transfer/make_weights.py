"""Writes the weights that the package carries: ``python make_weights.py``."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from safetensors.torch import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from acme_transfer.network import make  # noqa: E402

if __name__ == "__main__":
    target = HERE / "acme_transfer" / "weights.safetensors"
    module = make(seed=0)
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, target)
    print(
        hashlib.sha256(target.read_bytes()).hexdigest(),
        sum(p.numel() for p in module.parameters()),
    )

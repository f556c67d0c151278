{%- if cookiecutter.kind in ("backbone", "modality") -%}
"""Writes the weights that the package carries: ``python make_weights.py``."""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from {{ cookiecutter.module }}.backbone import make  # noqa: E402

if __name__ == "__main__":
    module = make(seed=0)
    state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    save_file(state, HERE / "{{ cookiecutter.module }}" / "weights.safetensors")
{% endif -%}

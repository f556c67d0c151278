{%- if cookiecutter.kind == "head" -%}
"""A linear layer after dropout."""

from __future__ import annotations

from torch import nn


def build(*, width: int, classes: int, params) -> nn.Module:
    """Features of shape (n, width) to scores of shape (n, classes)."""
    return nn.Sequential(nn.Dropout(float(params["dropout"])), nn.Linear(width, classes))
{% endif -%}

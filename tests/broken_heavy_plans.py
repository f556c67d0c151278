"""A freeze strategy in a module that imports what it must not."""

from __future__ import annotations

import torch

from tests.broken_plans import good

__all__ = ["good", "torch"]

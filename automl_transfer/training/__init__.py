"""The torch behind the search: features, freezing, the training of one configuration."""

from __future__ import annotations

import os

# OpenMP reads this when torch is loaded. Its threads else spin at every layer's end, waiting for
# one that another program keeps off its core: on two busy cores that multiplies the time of a
# pass (`python benchmarks/allocator.py --spinning` measures it).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

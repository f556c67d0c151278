"""Where pretrained weights are, on this machine or beyond it.

:func:`locate` looks for the sources of a :class:`~automl_transfer.cards.WeightsCard` in a fixed
order: installed packages, local directories, local caches, and only then the network. A
:class:`HubProbe` asks once, and fast, whether a host answers at all, so that many models that
cannot be had cost one wait and not many. Importing this package loads no heavy library.
"""

from __future__ import annotations

from automl_transfer.weights.locating import hub_file, locate
from automl_transfer.weights.places import SAFETENSORS, tensor_file
from automl_transfer.weights.probe import HubProbe, shared_probe

__all__ = ["SAFETENSORS", "HubProbe", "hub_file", "locate", "shared_probe", "tensor_file"]

"""``torch.compile`` for a training, module by module, and back to plain where it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from automl_transfer.training.boundary import Boundary
from automl_transfer.training.run import Run

T = TypeVar("T")


class Compiled:
    """The network's modules, or those behind a boundary, compiled one by one.

    A block at a time compiles faster than a whole network, and blocks of one kind share the code.
    """

    def __init__(self, run: Run, boundary: Boundary | None) -> None:
        """Marks the modules; they are compiled when they are first called."""
        named = dict(run.model.network.named_modules())
        before = () if boundary is None else boundary.modules
        self._run = run
        self._tried = False
        self._modules: list[nn.Module] = [
            named[path] for path in run.units if named[path] not in before
        ]
        for module in self._modules:
            module.compile()

    def first(self, forward: Callable[[], T]) -> T:
        """Runs ``forward``; if its first run fails, once more without compilation."""
        if self._tried:
            return forward()
        self._tried = True
        try:
            return forward()
        except Exception as error:  # compilers fail in any way
            self.undo()
            lines = str(error).strip().splitlines() or [repr(error)]
            self._run.notes.append(f"not compiled: {lines[0]}")
            return forward()

    def undo(self) -> None:
        """Makes the modules plain again."""
        for module in self._modules:
            module._compiled_call_impl = None

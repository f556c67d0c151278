"""Freeze strategies that are broken in one way each. Free of torch, as they have to be."""

from __future__ import annotations

import itertools
from typing import Any

from automl_transfer.plan import FreezePlan, Phase

_COUNT = itertools.count(1)


def _last(stages: Any, lr: float = 1e-2, **more: float) -> FreezePlan:
    phase = Phase(name="last", share=1.0, trains={stages[-1].name: 1.0} | more)
    return FreezePlan(phases=(phase,), lr=lr)


def good(*, stages: Any, params: Any) -> FreezePlan:
    return _last(stages)


def imaginative(*, stages: Any, params: Any) -> FreezePlan:
    return _last(stages, neck=1.0)


def idle(*, stages: Any, params: Any) -> FreezePlan:
    return FreezePlan(phases=(Phase(name="head", share=0.0),))


def fickle(*, stages: Any, params: Any) -> FreezePlan:
    return _last(stages, lr=1e-2 / next(_COUNT))


def asleep(*, stages: Any, params: Any) -> FreezePlan:
    return _last(stages, lr=0.0)

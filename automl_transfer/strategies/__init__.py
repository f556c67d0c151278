"""Freeze strategies: which part of a backbone trains, when and how fast.

A strategy is a ``StrategyCard`` and a pure function ``plan(*, stages, params) -> FreezePlan``
(``contracts.MakePlan``), free of torch. The host applies the plan and proves that what it declared
frozen did not move."""

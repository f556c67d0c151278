"""Pruners: stop fine-tuning trials that are behind.

A pruner is a ``PrunerCard`` and a function ``build(*, rungs) -> optuna.pruners.BasePruner``
(``contracts.BuildPruner``). Trials report the study's metric at steps of the optimiser, not at
epochs: an epoch of little data says nothing."""

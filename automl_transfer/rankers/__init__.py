"""Rankers: order backbones before any training, from their frozen features.

A ranker is a ``RankerCard`` and a function ``score(*, features, labels, classes, seed) -> float``
(``contracts.Rank``); higher is better. Features may be memory-mapped: read them in blocks. Scores
of one ranker are compared with each other alone."""

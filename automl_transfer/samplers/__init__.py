"""Samplers: propose hyper-parameters, given what came of earlier trials.

A sampler is a ``SamplerCard`` and a function ``build(*, seed, startup) ->
optuna.samplers.BaseSampler`` (``contracts.BuildSampler``). It is built afresh for each proposal,
so that a resumed search proposes what an uninterrupted one would have. Which backbone and which
strategy are tried next is the search's own choice, by expected gain per cost; the sampler fills in
the rest."""

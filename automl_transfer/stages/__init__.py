"""The steps of a search, in order: load, screen, heads, tune, recommend.

Each stage is a generator: it yields events, keeps what later stages need in the
:class:`~automl_transfer.stages.context.Context`, and never prints.
"""

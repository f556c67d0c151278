"""What a study says to people, as pure functions.

The functions of :mod:`~automl_transfer.report.answer`, :mod:`~automl_transfer.report.ranking` and
their neighbours turn nouns into :mod:`~automl_transfer.report.blocks`: headings, sentences and
tables.
Blocks hold untrusted text (names of classes, files, plugins) as it is; whoever renders them makes
it inert: :mod:`~automl_transfer.report.markdown` for files, ``cli`` for terminals.
"""

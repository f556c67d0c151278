"""Kinds of data.

A modality knows all that the core does not: how to recognise data, how to open them, how to turn a
sample into a batch for a backbone. To add one, write a module with

- a ``ModalityCard``, whose ``space`` says how the training view of a
  sample may be varied, and whose ``factory`` is a function without arguments that returns
- an object with the methods of ``contracts.Modality``, whose ``encoder`` returns a
  ``contracts.Encoder``; for data in files :mod:`automl_transfer.layouts` does most of it,

and return the card from the hook ``automl_transfer_modalities``. Listing cards must be cheap:
import heavy libraries inside the methods that need them.

What the core relies on:

- ``Sample.id`` is a hash of the content: equal content, equal id. Splits and caches go by it.
- ``open`` returns samples in the order of their source, sets broken ones aside with a reason, and
  never writes to the user's folder.
- ``Encoder.prepare`` is deterministic; all chance is in ``Encoder.batch`` and comes from its
  generator. ``Encoder.digest`` changes whenever the plain view of any sample does.

What may be there as well, for speed: ``open_prepared`` (``contracts.OpensPrepared``), which opens
an item and prepares it in one go; ``raw_input`` (``contracts.RawRows``); ``Encoder.rows_digest``.
"""

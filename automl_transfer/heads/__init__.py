"""Heads: from features of shape (n, width) to scores of shape (n, classes).

A head is a ``HeadCard`` and a factory ``build(*, width, classes, params) -> torch.nn.Module``
(``contracts.BuildHead``). The features that it gets are centred, and brought to unit size by one
common factor, by the host. A parameter named ``lr``, ``weight_decay`` or ``label_smoothing`` in
the card's space is what the host trains the head with while the backbone is frozen. Its card names
the ``kinds`` of targets that it is for (:mod:`automl_transfer.target`), by default classes alone.

Two ways to be fast. A head with ``fit`` and ``closed_form`` is set by a formula, and chooses what
there is to choose by itself (``ridge``, ``prototype``). Heads that train are trained many at a
time: linear layers, cosine classifiers and perceptrons are recognised by their structure and
stacked, others are vectorised where they differ in the values of their parameters alone, and are
trained one by one where that fails; nothing has to be declared for it.
"""

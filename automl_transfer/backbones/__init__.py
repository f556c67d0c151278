"""Backbones: pretrained networks that turn a batch of inputs into features.

A member is a ``BackboneCard``, free of torch, and the function that its ``factory`` names::

    def build(*, card: BackboneCard, weights: LocalWeights | None, seed: int) -> Backbone: ...

``build`` returns an object with ``module`` (the network without its classifier), ``stages``
(parts from input to output that hold every parameter and buffer once, or empty: the host derives
them) and ``features(batch)``, shape (n, width). With ``weights=None`` the network is random, the
same for the same ``seed``. The host has found the weights before it calls ``build``, which needs
no network.

A family too large to list has a function ``resolve(id)`` that turns a name into a card, or returns
None when the name is not one of its own.

========================  =====================================================================
``bundled.py``            the network that works with no network at all
``timm.py``               ``timm/NAME[.TAG][@SIZE]``
``torchvision.py``        ``torchvision/NAME[.WEIGHTS]``
``transformers.py``       ``hf/REPOSITORY[@REVISION]``
``local.py``              ``local:PATH``, a directory as timm or Transformers lays it out
``portfolio.py``          the defaults, by size
========================  =====================================================================
"""

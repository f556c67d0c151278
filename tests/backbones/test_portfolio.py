"""The default portfolio."""

from __future__ import annotations

import subprocess
import sys

import pytest

from automl_transfer.backbones import bundled, timm
from automl_transfer.backbones.networks import Network
from automl_transfer.backbones.portfolio import SIZES, portfolio
from automl_transfer.cards import BackboneCard
from automl_transfer.errors import UsageError

FREE = {"Apache-2.0", "MIT", "BSD-3-Clause"}


@pytest.mark.parametrize("size", SIZES)
def test_a_size_is_complete_and_diverse(size):
    cards = portfolio(size)
    assert 4 <= len(cards) <= 7
    assert cards[0] == bundled.CARD
    assert {"supervised", "self-supervised", "image-text"} <= {c.tags[0] for c in cards}
    for card in cards:
        assert card.weights.license in FREE
        assert card.weights.pretrained_on
        assert card.cost.params > 0 and card.features.width > 0
        assert len(card.input["size"]) == 3
    assert len({card.id for card in cards}) == len(cards)


def test_sizes_grow():
    largest = [max(card.cost.params for card in portfolio(size)) for size in SIZES]
    assert largest == sorted(largest)
    assert largest[0] < 10e6 < largest[1] < 40e6 < largest[2] < 100e6


def test_an_unknown_size_is_refused():
    with pytest.raises(UsageError, match="but got 'smal'. Did you mean 'small'"):
        portfolio("smal")


def listed(size: str) -> list[BackboneCard]:
    return list(portfolio(size)[1:])


@pytest.mark.parametrize("card", listed("tiny")[:2], ids=lambda card: card.id)
def test_a_listed_card_is_what_its_name_resolves_to(card):
    assert timm.resolve(card.id) == card


@pytest.mark.slow
@pytest.mark.parametrize(
    "card",
    [card for size in SIZES for card in listed(size)],
    ids=lambda card: card.id,
)
def test_every_listed_card_is_what_its_name_resolves_to(card):
    # Resolving builds the network and counts its parameters.
    assert timm.resolve(card.id) == card


def test_a_listed_card_builds():
    card = next(card for card in portfolio("tiny") if "convnext" in card.id)
    network = timm.build(card=card, weights=None, seed=0)
    assert isinstance(network, Network)
    assert sum(t.numel() for t in network.module.parameters()) == card.cost.params


def test_listing_loads_nothing_heavy(repository):
    code = (
        "import sys\n"
        "from automl_transfer.backbones import bundled, local, portfolio, timm, torchvision, "
        "transformers\n"
        "assert all(portfolio.portfolio(size) for size in portfolio.SIZES)\n"
        "assert timm.resolve('acme/x') is None and transformers.resolve('acme/x') is None\n"
        "heavy = {'torch', 'timm', 'torchvision', 'transformers', 'safetensors', 'PIL'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository)

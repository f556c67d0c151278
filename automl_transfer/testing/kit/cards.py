"""Checks of what a member declares: no torch, no factory."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

from automl_transfer.cards import BackboneCard
from automl_transfer.constraints import is_license
from automl_transfer.entries import OURS
from automl_transfer.jsonable import canonical, digest, from_json, to_json
from automl_transfer.plugins import NO_PLUGINS, ONLY
from automl_transfer.space import Choice, Scalar, Space
from automl_transfer.testing.kit.checking import KindOfMember, Subject, check, require
from automl_transfer.weights.places import NotThere, in_package, parse

_ALL: tuple[KindOfMember, ...] = ("backbone", "head", "strategy", "ranker", "modality")
_HEAVY = ("torch", "timm", "transformers", "torchvision")
_LOOK = """
import json, sys, socket
tried = []
def refuse(*words, **options):
    tried.append(repr(words)[:120])
    raise OSError("there is no network while a plugin is listed or imported")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
from automl_transfer.plugins import load_registry
registry = load_registry()
heavy = [name for name in {heavy!r} if name in sys.modules]
found = [entry.card
         for kind in ("backbones", "heads", "strategies", "rankers", "modalities")
         for entry in getattr(registry, kind).values() if entry.card.id == {id!r}]
for card in found:
    registry.load(card)
print(json.dumps(dict(heavy=heavy, tried=tried, found=len(found))))
"""


@check("card", *_ALL)
def card_survives_json(subject: Subject) -> None:
    """A card is the same after a round trip through JSON, and so is its digest."""
    card = subject.card
    text = canonical(to_json(card))
    again = from_json(type(card), json.loads(text))
    require(
        again == card and digest(to_json(again)) == digest(to_json(card)),
        f"The card of {card.id!r} must be equal after a round trip through JSON, but is not: give "
        "mappings and tuples of text, numbers and truth values only.",
    )


@check("card", "backbone", "head", "strategy", "ranker")
def id_has_a_namespace(subject: Subject) -> None:
    """A plugin's id has a namespace of its own, like ``acme/name``."""
    from automl_transfer.gather import is_reserved

    if subject.distribution in ("", OURS):
        return
    require(
        not is_reserved(subject.card.id),
        f"The id of a plugin's member must look like 'acme/name', but is {subject.card.id!r}, "
        "which is reserved for what automl-transfer ships.",
    )


@check("card", "backbone")
def licence_is_told(subject: Subject) -> None:
    """The licence of the weights is an SPDX expression or ``LicenseRef-...``."""
    card = subject.card
    assert isinstance(card, BackboneCard)
    license = card.weights.license
    require(
        license is not None and is_license(license),
        f"WeightsCard.license of {card.id!r} must be an SPDX expression like 'Apache-2.0', or "
        f"'LicenseRef-...', but is {license!r}: without it --license permissive leaves the "
        "backbone out.",
    )


@check("card", "backbone")
def packaged_weights_are_there(subject: Subject) -> None:
    """Weights that an installed package should carry are in it."""
    card = subject.card
    assert isinstance(card, BackboneCard)
    missing = []
    for source in map(parse, card.weights.sources):
        package = source.where.partition("/")[0]
        if source.kind != "package" or importlib.util.find_spec(package) is None:
            continue
        try:
            in_package(source.where, card.weights.requires)
        except NotThere:
            missing.append(source.text)
    require(
        not missing,
        f"The package that WeightsCard.sources of {card.id!r} names must have the file, but "
        f"{', '.join(missing)} is not in the one that is installed. Write it, and see that the "
        "build takes it into the wheel.",
    )


@check("card", *_ALL)
def listing_imports_nothing_heavy(subject: Subject) -> None:
    """Listing a plugin's members does not import torch or its companions."""
    heavy = _alone(subject).get("heavy", [])
    require(
        not heavy,
        f"A plugin must be listed without {', '.join(_HEAVY)}, but that of {subject.card.id!r} "
        f"imports {', '.join(heavy)}. Import them in the module of the factory, which the entry "
        "point must not import.",
    )


@check("card", *_ALL)
def import_needs_no_network(subject: Subject) -> None:
    """Neither listing a plugin nor importing a factory opens a connection."""
    tried = _alone(subject).get("tried", [])
    require(
        not tried,
        f"Importing what provides {subject.card.id!r} must open no connection, but it tried "
        f"{tried[:1]}. Look for weights in the factory, or leave it to the sources of the card.",
    )


def points(space: Space) -> list[dict[str, Scalar]]:
    """The defaults, and for each parameter each choice, or both ends of its range.

    Parameters that depend on the changed one follow.
    """
    found = [space.defaults()]
    for param in space.params:
        if param.name not in found[0]:
            continue
        values = param.choices if isinstance(param, Choice) else (param.low, param.high)
        for value in values:
            point: dict[str, Scalar] = {}
            for other in space.params:
                if other.when is None or other.when.holds(point):
                    point[other.name] = value if other.name == param.name else other.default
            found.append(point)
    return found


def _alone(subject: Subject) -> dict[str, Any]:
    """What a process of its own sees that lists this plugin alone and imports the factory."""
    if not subject.distribution:
        return {}
    if "alone" not in subject.kept:
        first_party = subject.distribution == OURS
        variable = {NO_PLUGINS: "1"} if first_party else {ONLY: subject.distribution}
        code = _LOOK.format(heavy=_HEAVY, id=subject.card.id)
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | variable,
            capture_output=True,
            text=True,
            check=False,
        )
        require(
            done.returncode == 0,
            f"What provides {subject.card.id!r} must be listed and its factory imported without "
            f"a network, but that failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}",
        )
        subject.kept["alone"] = json.loads(done.stdout.splitlines()[-1])
    found: dict[str, Any] = subject.kept["alone"]
    return found

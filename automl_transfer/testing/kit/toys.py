"""A small network, for checks of members that need one."""

from __future__ import annotations

from dataclasses import replace

from automl_transfer.cards import BackboneCard, WeightsCard
from automl_transfer.plugins import load_registry
from automl_transfer.testing.kit.checking import Subject
from automl_transfer.testing.toy import ToyPlugin


def toy_subject(subject: Subject) -> Subject:
    """A toy backbone of eight numbers a sample, with the members of a subject's registry."""
    if "toy" not in subject.kept:
        registry = subject.registry
        if "vectors" not in registry.modalities:
            sources = registry.sources
            registry = load_registry(
                disabled=sources.disabled,
                extra=(*sources.extra, ToyPlugin([])),
                builtin=sources.builtin,
                third_party=sources.third_party,
                strict=False,
            )
        card = BackboneCard(
            id="toy/checked",
            factory="automl_transfer.testing.toy:build",
            modality="vectors",
            family="toy",
            weights=WeightsCard(sources=("dir:nowhere",), license="Apache-2.0"),
            arguments={"width": 8},
        )
        subject.kept["toy"] = replace(subject, card=card, registry=registry, weights=None, kept={})
    found: Subject = subject.kept["toy"]
    return found

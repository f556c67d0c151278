"""What configurations cost to use here, and what is slower than the user allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from automl_transfer.cards import BackboneCard
from automl_transfer.configuration import Configuration
from automl_transfer.contracts import Backbone, Batch
from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import Cost
from automl_transfer.stages.context import Bench, Candidate, Context
from automl_transfer.stages.head_building import head_builder

if TYPE_CHECKING:
    from torch import nn

    from automl_transfer.training.costs import Measured
    from automl_transfer.training.model import TransferModel

LATENCIES = "latencies"
"""Document of the study: device, and seconds by backbone. Measured once, so that a search that is
resumed does not find a backbone too slow that it has tried before."""


def cost_of(
    context: Context, outcome: Outcome, candidate: Candidate, model: TransferModel | None = None
) -> Cost:
    """What the model of a trial costs on the device of the search, as it would be delivered.

    Nothing of a freeze strategy is left in a delivered model: adapters are merged into the
    weights. So the network is measured once for each backbone, and once more where the outputs of
    its stages are read as well, with the first head that comes; of other heads only what they
    themselves take is measured, and put in its place.

    Args:
        context: Of the search; keeps what is measured.
        outcome: A finished trial.
        candidate: Its backbone.
        model: The model, if it is there; else one of the same form is built.
    """
    from automl_transfer.training.costs import HOW, less, measure, plus
    from automl_transfer.training.device import describe
    from automl_transfer.training.model import TransferModel

    configuration = outcome.configuration
    build = head_builder(context, configuration)
    head = model.head if model is not None else build(candidate.width)
    whole, own = (candidate.card.id, candidate.widths), (candidate.card.id, _form(head))
    if whole not in context.costs:
        network = model or TransferModel(candidate.build(), head, candidate.width, context.link)
        found = measure(
            network,
            network.predictions,
            lambda count: _batch(context, candidate.card, configuration, count),
            context.device,
        )
        context.costs[own] = _of_head(context, candidate, head, found.batch)
        context.costs[whole] = less(found, context.costs[own])
    network_alone = context.costs[whole]
    if own not in context.costs:
        context.costs[own] = _of_head(context, candidate, head, network_alone.batch)
    total = plus(network_alone, context.costs[own])
    return Cost(
        latency=total.latency,
        latency_batch=total.latency_batch,
        batch=total.batch,
        bytes=total.bytes,
        memory=total.memory,
        parameters=total.parameters,
        training=outcome.seconds,
        device=describe(context.device),
        statistic=HOW,
    )


def _of_head(context: Context, candidate: Candidate, head: nn.Module, batch: int) -> Measured:
    from automl_transfer.training.costs import measure_head

    return measure_head(head, candidate.width, context.device, batch)


def over_limit(context: Context, cost: Cost) -> str | None:
    """Why a model may not be the answer; None if it is fast enough."""
    return _over(context.request.max_latency, cost.latency)


def ruled_out(context: Context, outcome: Outcome, name: str) -> str | None:
    """Why a trial's model may not be the answer, said in the *why not* table as well.

    Args:
        context: Of the search.
        outcome: A finished trial whose backbone is there.
        name: What the table calls it.

    Returns:
        None if it is fast enough, or nobody has asked.
    """
    if context.request.max_latency is None:
        return None
    candidate = context.candidate_of(outcome.configuration)
    slow = over_limit(context, cost_of(context, outcome, candidate))
    if slow is not None:
        context.exclude(name, slow)
    return slow


def too_slow(context: Context, card: BackboneCard, backbone: Backbone) -> str | None:
    """Why a backbone is not tried; None if it is fast enough, or nobody has asked."""
    from automl_transfer.training.costs import latency
    from automl_transfer.training.device import describe

    limit = context.request.max_latency
    if limit is None:
        return None
    device = describe(context.device)
    known = context.store.get(LATENCIES, {})
    seconds = dict(known["seconds"]) if known.get("device") == device else {}
    if card.id not in seconds:
        backbone.module.to(context.device).eval()
        batch = _batch(context, card, None, 1)
        seconds[card.id] = latency(backbone.features, batch, context.device)
        context.store.put(LATENCIES, {"device": device, "seconds": seconds})
    return _over(limit, seconds[card.id])


def _over(limit: float | None, seconds: float) -> str | None:
    if limit is None or seconds <= limit:
        return None
    return (
        f"{1000 * seconds:.3g} ms for a batch of one on this device, more than --max-latency "
        f"{1000 * limit:.3g}ms"
    )


def _form(head: nn.Module) -> tuple[object, ...]:
    """What two heads share that cost the same: their layers and the shapes of their tensors."""
    layers = tuple((name, type(child).__name__) for name, child in head.named_modules())
    return (*layers, *((name, tuple(value.shape)) for name, value in head.state_dict().items()))


def _batch(
    context: Bench, card: BackboneCard, configuration: Configuration | None, count: int
) -> Batch:
    params = {} if configuration is None else configuration.of("modality", context.task.modality)
    encoder = context.encoder(card, params)
    positions = np.resize(context.splits.development, count)
    return encoder.batch(context.rows(encoder).rows(positions))

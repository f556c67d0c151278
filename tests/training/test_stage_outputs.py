"""Pooled outputs of stages: which are read of a network, and what is made of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from automl_transfer.contracts import Stage
from automl_transfer.target import Target
from automl_transfer.training import stage_outputs as module_under_test
from automl_transfer.training.link import link_of
from automl_transfer.training.model import FeatureScaler, TransferModel
from automl_transfer.training.stage_outputs import (
    StageOutput,
    StageOutputs,
    WithStageOutputs,
    stage_outputs,
)
from automl_transfer.training.stages import tensor_names

BATCH = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class _Net(nn.Module):
    """Named parts, each a stage of its own; ``flow`` says how a batch goes through them."""

    def __init__(self, flow: Callable[[Any, torch.Tensor], torch.Tensor], **parts: nn.Module):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.flow = flow

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.flow(self, batch)


def network(flow: Callable[[Any, Any], torch.Tensor], **parts: nn.Module) -> Any:
    torch.manual_seed(0)
    module = _Net(flow, **parts).eval()
    stages = tuple(
        Stage(
            name=name,
            tensors=tuple(one for one in tensor_names(module) if one.startswith(f"{name}.")),
        )
        for name in parts
    )
    return SimpleNamespace(module=module, stages=stages, features=module)


def convolutions(**more: nn.Module) -> dict[str, nn.Module]:
    torch.manual_seed(1)
    return {"stem": nn.Conv2d(3, 5, 3), "body": nn.Conv2d(5, 7, 3), **more}


def places(maps: torch.Tensor) -> torch.Tensor:
    return maps.mean(dim=(2, 3))


def read(found: StageOutputs | None) -> list[tuple[str, int, int]]:
    return [] if found is None else [(one.path, one.axis, one.width) for one in found.outputs]


def looked_at(backbone: Any, batch: Any = BATCH) -> StageOutputs | None:
    fewer = batch[:2].clone() if isinstance(batch, torch.Tensor) else batch
    return stage_outputs(backbone, backbone.stages, batch, fewer)


def test_features_come_first_and_then_each_stage_averaged_over_its_places() -> None:
    backbone = network(lambda net, x: places(net.body(net.stem(x))) ** 2, **convolutions())
    found = looked_at(backbone)
    assert read(found) == [("stem", 1, 5), ("body", 1, 7)]
    assert found is not None and found.widths == (7, 5, 7)
    with torch.no_grad():
        values = WithStageOutputs(backbone, found).features(BATCH)
        stem = backbone.module.stem(BATCH)
        body = backbone.module.body(stem)
    expected = torch.cat([places(body) ** 2, places(stem), places(body)], dim=1)
    torch.testing.assert_close(values, expected)


def test_what_the_features_are_already_is_not_read_again() -> None:
    backbone = network(lambda net, x: places(net.body(net.stem(x))), **convolutions())
    assert read(looked_at(backbone)) == [("stem", 1, 5)]


def test_of_a_stage_whose_last_module_gives_the_features_the_largest_is_read() -> None:
    last = nn.Sequential(nn.Conv2d(7, 6, 1), nn.BatchNorm2d(6))
    parts = convolutions(conv=last[0], norm=last[1])
    backbone = network(lambda net, x: places(net.norm(net.conv(net.body(net.stem(x))))), **parts)
    stem, body, conv, norm = backbone.stages
    backbone.stages = (stem, Stage(name="end", tensors=body.tensors + conv.tensors + norm.tensors))
    assert read(looked_at(backbone)) == [("stem", 1, 5), ("body", 1, 7)]


def test_maps_with_the_features_last_are_averaged_over_their_places() -> None:
    class Last(nn.Conv2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input).permute(0, 2, 3, 1)

    backbone = network(
        lambda net, x: net.head(net.stem(x).mean(dim=(1, 2))),
        stem=Last(3, 5, 3),
        head=nn.Linear(5, 2),
    )
    assert read(looked_at(backbone)) == [("stem", 3, 5)]


def test_tokens_are_averaged() -> None:
    backbone = network(
        lambda net, x: net.block(net.embed(x.flatten(2).transpose(1, 2)))[:, 0],
        embed=nn.Linear(3, 6),
        block=nn.Linear(6, 6),
    )
    assert read(looked_at(backbone)) == [("embed", 2, 6), ("block", 2, 6)]


def test_what_depends_on_the_other_samples_of_a_batch_is_not_read() -> None:
    class Across(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            found = super().forward(input)
            return found - found.mean(dim=0)

    backbone = network(
        lambda net, x: net.body(net.stem(x.mean(dim=(2, 3))) * 0 + x.mean(dim=(2, 3))),
        stem=Across(3, 3),
        body=nn.Linear(3, 2),
    )
    assert read(looked_at(backbone)) == []


def test_a_module_that_runs_twice_is_not_read() -> None:
    backbone = network(
        lambda net, x: net.end(net.twice(net.twice(net.once(x.mean(dim=(2, 3)))))),
        once=nn.Linear(3, 3),
        twice=nn.Linear(3, 3),
        end=nn.Linear(3, 2),
    )
    assert read(looked_at(backbone)) == [("once", 1, 3)]


def test_of_a_tuple_the_first_is_read() -> None:
    class Pair(nn.Linear):
        def forward(self, input: torch.Tensor) -> Any:
            return super().forward(input), None

    backbone = network(
        lambda net, x: net.end(net.pair(x.mean(dim=(2, 3)))[0]),
        pair=Pair(3, 3),
        end=nn.Linear(3, 2),
    )
    found = looked_at(backbone)
    assert found is not None and read(found) == [("pair", 1, 3)]
    assert WithStageOutputs(backbone, found).features(BATCH).shape == (4, 5)


def test_sequences_with_the_features_first_are_averaged_over_time() -> None:
    backbone = network(
        lambda net, x: net.body(net.stem(x.flatten(2))).mean(dim=2),
        stem=nn.Conv1d(3, 5, 3),
        body=nn.Sequential(nn.Conv1d(5, 7, 3), nn.ReLU()),
    )
    assert read(looked_at(backbone)) == [("stem", 1, 5)]


def test_maps_need_not_be_square() -> None:
    backbone = network(lambda net, x: places(net.body(net.stem(x))) ** 2, **convolutions())
    assert read(looked_at(backbone, torch.rand(4, 3, 8, 12))) == [("stem", 1, 5), ("body", 1, 7)]


def test_square_maps_of_several_layers_are_read() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 3, 3)

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.one(input), self.two(input)], dim=1)

    backbone = network(
        lambda net, x: net.end(places(net.both(x))), both=Both(), end=nn.Linear(5, 2)
    )
    assert read(looked_at(backbone)) == [("both", 1, 5)]


def test_what_is_the_same_for_all_samples_is_not_read() -> None:
    class Query(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return self.bias.expand(len(input), -1)

    backbone = network(
        lambda net, x: net.end(x.mean(dim=(2, 3))) + net.query(x),
        query=Query(3, 2),
        end=nn.Linear(3, 2),
    )
    assert "query" not in [path for path, _, _ in read(looked_at(backbone))]


def test_what_a_later_layer_writes_into_an_output_is_not_read() -> None:
    backbone = network(
        lambda net, x: places(net.body(torch.relu_(net.stem(x)))) ** 2, **convolutions()
    )
    found = looked_at(backbone)
    assert found is not None
    with torch.no_grad():
        values = WithStageOutputs(backbone, found).features(BATCH)
        torch.testing.assert_close(values[:, 7:12], places(backbone.module.stem(BATCH)))


def test_threads_do_not_mix_their_samples() -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def flow(net: Any, x: torch.Tensor) -> torch.Tensor:
        stem = net.stem(x)
        if threading.current_thread().name == "slow":
            arrived.set()
            go_on.wait(10)
        return places(net.body(stem)) ** 2

    backbone = network(flow, **convolutions())
    read_ = looked_at(backbone)
    assert read_ is not None
    whole = WithStageOutputs(backbone, read_)
    with torch.no_grad():
        one, other = whole.features(BATCH), whole.features(BATCH + 1)
        found: list[torch.Tensor] = []
        slow = threading.Thread(
            name="slow", target=lambda: found.append(_without_gradients(whole, BATCH))
        )
        slow.start()
        assert arrived.wait(10)
        torch.testing.assert_close(whole.features(BATCH + 1), other)
        go_on.set()
        slow.join()
    torch.testing.assert_close(found[0], one)


def _without_gradients(backbone: WithStageOutputs, batch: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return backbone.features(batch)


def test_of_filled_up_sequences_nothing_is_read() -> None:
    backbone = network(lambda net, x: net.stem(x["ids"]), stem=nn.Linear(3, 2))
    assert looked_at(backbone, {"ids": torch.rand(4, 3)}) is None


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30), st.integers(100, 2000))
def test_of_a_wide_network_stages_at_even_distances_are_read(widths: list[int], most: int) -> None:
    outputs = [
        StageOutput(path=str(place), axis=1, width=width) for place, width in enumerate(widths)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module_under_test, "WIDEST", most)
        chosen = module_under_test._narrowed(outputs)
    found = [int(one.path) for one in chosen]
    assert found == sorted(set(found)) and sum(one.width for one in chosen) <= most
    fit = [place for place, width in enumerate(widths) if width <= most]
    if sum(widths[place] for place in fit) <= most:
        assert found == fit
    if fit:
        assert found[-1] == fit[-1], "the last one is always among them"
        gaps = np.diff([-1, *(fit.index(place) for place in found)])
        assert gaps.max() - gaps.min() <= 1


def test_no_hook_stays_behind() -> None:
    backbone = network(lambda net, x: places(net.body(net.stem(x))) ** 2, **convolutions())
    found = looked_at(backbone)
    assert found is not None
    WithStageOutputs(backbone, found).features(BATCH)
    assert all(not one._forward_hooks for one in backbone.module.modules())


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
    st.integers(0, 10_000),
)
def test_each_group_of_features_has_the_same_variance(widths: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    scales = np.repeat(10.0 ** generator.uniform(-3, 3, len(widths)), widths)
    values = (generator.normal(size=(50, sum(widths))) * scales + scales).astype(np.float32)
    scaler = FeatureScaler(sum(widths), widths)
    scaler.fit(torch.from_numpy(values))
    found = scaler(torch.from_numpy(values)).double().numpy()
    groups = [group.var(axis=0).sum() for group in np.split(found, np.cumsum(widths)[:-1], axis=1)]
    assert np.allclose(groups, groups[0], rtol=1e-3)
    assert found.var(axis=0).mean() == pytest.approx(1.0, rel=1e-3)


def test_a_group_that_never_varies_stays_as_it_is() -> None:
    values = torch.cat([torch.rand(10, 2), torch.full((10, 3), 4.0)], dim=1)
    scaler = FeatureScaler(5, (2, 3))
    scaler.fit(values)
    found = scaler(values)
    assert torch.isfinite(found).all() and (found[:, 2:] == 0).all()


def test_the_model_of_such_a_backbone_has_a_scale_for_each_group() -> None:
    backbone = network(lambda net, x: places(net.body(net.stem(x))) ** 2, **convolutions())
    found = looked_at(backbone)
    assert found is not None
    whole = WithStageOutputs(backbone, found)
    model = TransferModel(whole, nn.Linear(19, 3), 19, link_of(Target(names=("a", "b", "c"))))
    assert model.scaler.scale.shape == (19,)
    assert model(BATCH).shape == (4, 3)
    own = TransferModel(backbone, nn.Linear(7, 3), 7, link_of(Target(names=("a", "b", "c"))))
    assert own.scaler.scale.shape == ()

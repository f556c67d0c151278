"""One trial through its public door: reports, seeds, budgets, failures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from automl_transfer.errors import DivergedError, OutOfMemoryError
from automl_transfer.plan import FreezePlan, Phase
from automl_transfer.training.inference import pooled, predict
from automl_transfer.training.model import FeatureScaler
from automl_transfer.training.model_file import load_state, save_model
from automl_transfer.training.reset import reset
from automl_transfer.training.schedule import factor
from automl_transfer.training.trial import OutOfTimeError, Settings, epochs_of
from tests.training.workshop import (
    CPU,
    HEADS,
    STRATEGIES,
    backbone,
    moved,
    row_store,
    state,
    toy_backbone,
    train,
)

BY_ID = {card.id: card for card in STRATEGIES}
HEAD_BY_ID = {card.id: card for card in HEADS}


def frozen_features(network, n: int = 12) -> np.ndarray:
    rows = row_store(n=n)
    network.module.eval()
    return pooled(network.features, rows, np.arange(n), CPU)


@pytest.mark.parametrize("strategy", ["last-stages", "full", "norm-bias", "lora"])
def test_a_fine_tune_starts_from_the_probe(strategy: str) -> None:
    probe = train(toy_backbone(), BY_ID["frozen"])
    tuned = train(toy_backbone(), BY_ID[strategy], params={"lr": 1e-12})
    np.testing.assert_allclose(
        tuned.reports[0].probabilities, probe.result.probabilities, atol=1e-5
    )


@pytest.mark.parametrize("strategy", ["frozen", "full", "lora", "scratch"])
def test_the_seed_decides_and_nothing_else(strategy: str) -> None:
    head = HEAD_BY_ID["mlp"]

    def probabilities(seed: int) -> np.ndarray:
        settings = Settings(epochs=2, head_epochs=3, batch_size=4, seed=seed)
        ended = train(toy_backbone(), BY_ID[strategy], head=head, noise=0.1, settings=settings)
        return ended.result.probabilities

    first = probabilities(1)
    torch.rand(7)
    np.testing.assert_array_equal(first, probabilities(1))
    assert not np.array_equal(first, probabilities(2))


@pytest.mark.parametrize("strategy", [card.id for card in STRATEGIES])
@pytest.mark.parametrize("head", HEADS, ids=lambda card: card.id)
def test_every_head_goes_with_every_strategy(head, strategy: str) -> None:
    ended = train(toy_backbone(), BY_ID[strategy], head=head)
    found = ended.result.probabilities
    assert found.shape == (4, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(found, ended.reports[-1].probabilities)


def test_cached_features_and_passes_through_the_network_give_one_answer() -> None:
    cached = train(
        toy_backbone(), BY_ID["frozen"], features=frozen_features(toy_backbone())
    ).result
    passed = train(toy_backbone(), BY_ID["frozen"]).result
    np.testing.assert_allclose(cached.probabilities, passed.probabilities, atol=1e-6)


def test_the_network_is_not_run_when_all_features_are_known() -> None:
    network = toy_backbone()
    features = frozen_features(network)
    network.module.register_forward_pre_hook(lambda *_: pytest.fail("a forward pass"))
    assert train(network, BY_ID["frozen"], features=features).result.epochs == 0


def test_reports_count_the_epochs_that_were_asked_for() -> None:
    settings = Settings(epochs=4, head_epochs=25)
    tuned = train(toy_backbone(), BY_ID["full"], settings=settings)
    assert [report.epoch for report in tuned.reports] == [1, 2, 3, 4]
    assert {report.epochs for report in tuned.reports} == {4}
    assert tuned.result.epochs == 4
    probe = train(toy_backbone(), BY_ID["frozen"], settings=settings)
    assert len(probe.reports) <= 10
    assert probe.reports[-1].epoch == probe.reports[-1].epochs == 25


def test_training_learns_what_can_be_learned() -> None:
    labels = np.arange(60)[40:] % 3
    settings = Settings(epochs=4, head_epochs=20, batch_size=8)
    for strategy in ("frozen", "full", "lora"):
        found = train(toy_backbone(), BY_ID[strategy], n=60, settings=settings).result
        assert (found.probabilities.argmax(axis=1) == labels).mean() > 0.8, strategy
    shuffled = train(toy_backbone(), BY_ID["scratch"], n=60, settings=settings).result
    assert shuffled.probabilities.std() > 0.01


def test_without_a_part_to_evaluate_nothing_is_reported() -> None:
    ended = train(toy_backbone(), BY_ID["full"], evaluate=False)
    assert ended.reports == []
    assert ended.result.probabilities.shape == (0, 3)
    assert not ended.result.model.training


@pytest.mark.parametrize("strategy", ["frozen", "full", "scratch"])
def test_the_end_of_the_budget_breaks_the_trial_off(strategy: str) -> None:
    with pytest.raises(OutOfTimeError, match="The budget ended"):
        train(toy_backbone(), BY_ID[strategy], should_stop=lambda: True)
    assert OutOfTimeError.kind == "out-of-time"


class Failing(nn.Module):
    """Says of a batch of more than ``most`` samples what torch says of too large a one."""

    def __init__(
        self,
        most: int,
        text: str = "DefaultCPUAllocator: can't allocate memory",
        only_training: bool = False,
    ) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.most = most
        self.text = text
        self.only_training = only_training

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > self.most and (torch.is_grad_enabled() or not self.only_training):
            raise RuntimeError(self.text)
        return self.layer(batch)


def test_too_little_memory_has_a_name() -> None:
    with pytest.raises(OutOfMemoryError, match="A batch of 4 must fit into memory, but does not"):
        train(backbone(Failing(0, only_training=True)), BY_ID["full"])


def test_other_errors_keep_theirs() -> None:
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(backbone(Failing(1, "shapes do not match")), BY_ID["full"])


def test_a_loss_that_explodes_is_divergence() -> None:
    with pytest.raises(DivergedError, match="must be finite"):
        train(
            backbone(nn.Linear(8, 8)),
            BY_ID["full"],
            params={"lr": 1e25},
            settings=Settings(epochs=3, batch_size=4),
        )


def test_features_that_are_not_numbers_are_divergence() -> None:
    module = nn.Linear(8, 8)
    nn.init.constant_(module.weight, float("nan"))
    with pytest.raises(DivergedError, match="Every feature must be finite"):
        train(backbone(module), BY_ID["frozen"])


def test_a_batch_size_of_one_still_trains() -> None:
    built = toy_backbone()
    before = state(built.module)
    train(built, BY_ID["scratch"], settings=Settings(epochs=1, batch_size=1))
    assert moved(before, state(built.module))


@given(
    shares=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=4),
    epochs=st.integers(1, 40),
    probe=st.booleans(),
)
def test_phases_share_the_epochs(shares: list[float], epochs: int, probe: bool) -> None:
    total = sum(shares)
    phases = [
        Phase(name=str(place), share=share / total, trains={"a": 1.0})
        for place, share in enumerate(shares)
    ]
    head = [Phase(name="head", share=0.0)] if probe else []
    given_out = epochs_of(FreezePlan(phases=(*head, *phases)), epochs)
    trained = given_out[len(head) :]
    assert sum(given_out) == max(epochs, len(shares))
    assert min(trained) >= 1
    if epochs >= 4 * len(shares):
        for phase, have in zip(phases, trained, strict=True):
            assert have == 1 or abs(have - phase.share * epochs) < len(shares)


@given(st.integers(1, 5000))
def test_the_schedule_rises_stays_and_falls(steps: int) -> None:
    values = [factor(step, steps) for step in range(steps)]
    assert all(0 < value <= 1 for value in values)
    peak = values.index(max(values))
    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)
    if steps >= 10:
        assert max(values) == 1.0
        assert values[-1] < 0.5


def test_an_early_value_does_not_depend_on_the_length_of_the_run() -> None:
    assert factor(60, 100) == factor(60, 100 * 5) == 1.0


def test_the_scaler_centres_each_feature_and_divides_all_by_one_deviation() -> None:
    scaler = FeatureScaler(3)
    features = torch.tensor([[1.0, 5.0, 100.0], [3.0, 5.0, 300.0]])
    torch.testing.assert_close(scaler(features), features)
    scaler.fit(features)
    scaled = scaler(features)
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(3))
    torch.testing.assert_close(scaled.var(dim=0, unbiased=False).mean(), torch.tensor(1.0))
    torch.testing.assert_close(scaled[1] / scaled[1, 2], torch.tensor([0.01, 0.0, 1.0]))
    scaler.fit(torch.ones(4, 3))  # nothing varies: nothing is blown up
    torch.testing.assert_close(scaler(torch.ones(4, 3)), torch.zeros(4, 3))


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto"])
def test_a_reset_network_has_nothing_left_of_its_weights(name: str) -> None:
    import timm

    options = {"img_size": 32} if name.startswith("vit") else {}
    torch.manual_seed(3)
    module = timm.create_model(name, num_classes=0, **options)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.add_(torch.rand_like(tensor))
        for buffer in module.buffers():
            if buffer.is_floating_point():
                buffer.add_(1)
    before = state(module)
    reset(module, 5)
    after = state(module)
    parameters = {name for name, _ in module.named_parameters()}
    statistics = {name for name in before if name.endswith(("running_mean", "running_var"))}
    assert moved(before, after) >= parameters | statistics
    biases = [after[name] for name in parameters if name.endswith("norm1.bias")]
    assert all(not bias.any() for bias in biases)
    reset(module, 5)
    assert not moved(after, state(module))
    reset(module, 6)
    assert moved(after, state(module))
    module.train()
    with torch.no_grad():
        assert torch.isfinite(module(torch.randn(2, 3, 32, 32))).all()


def test_reset_knows_frozen_batch_norm_and_embeddings() -> None:
    from torchvision.ops import FrozenBatchNorm2d

    norm = FrozenBatchNorm2d(2)
    for buffer in norm.buffers():
        buffer.add_(3)
    attention = nn.MultiheadAttention(4, 2)
    nn.init.ones_(attention.in_proj_bias)
    module = nn.ModuleList([norm, nn.Embedding(100, 50), attention])
    reset(module, 0)
    assert norm.running_mean.tolist() == norm.bias.tolist() == [0.0, 0.0]
    assert norm.running_var.tolist() == norm.weight.tolist() == [1.0, 1.0]
    assert module[1].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not attention.in_proj_bias.any()


def test_a_model_survives_its_file(tmp_path) -> None:
    trained = train(toy_backbone(), BY_ID["full"]).result.model
    path = tmp_path / "model.safetensors"
    digest = save_model(path, trained)
    fresh = train(toy_backbone(seed=9), BY_ID["frozen"]).result.model
    load_state(path, fresh, sha256=digest)
    rows = row_store(n=5)
    np.testing.assert_array_equal(
        predict(fresh, rows, np.arange(5), CPU), predict(trained, rows, np.arange(5), CPU)
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_tensors_under_two_names_are_saved_and_loaded(tmp_path) -> None:
    from tests.training.test_freezing import Tied

    trained = train(backbone(Tied()), BY_ID["full"]).result.model
    save_model(tmp_path / "model", trained)
    fresh = train(backbone(Tied()), BY_ID["frozen"]).result.model
    load_state(tmp_path / "model", fresh)
    assert not moved(state(trained), state(fresh))


def test_a_model_file_that_is_missing_damaged_or_anothers_is_refused(tmp_path) -> None:
    from automl_transfer.errors import StudyError

    model = train(toy_backbone(), BY_ID["frozen"]).result.model
    path = tmp_path / "model"
    with pytest.raises(StudyError, match="must be there and readable"):
        load_state(path, model)
    digest = save_model(path, model)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StudyError, match=f"must have SHA-256 {digest}"):
        load_state(path, model, sha256=digest)
    path.write_bytes(bytes(content[:40]))
    with pytest.raises(StudyError, match="must hold the tensors of its description"):
        load_state(path, model)
    save_model(path, train(backbone(nn.Linear(8, 4)), BY_ID["frozen"]).result.model)
    with pytest.raises(StudyError, match="must hold the tensors of its description"):
        load_state(path, model)


def test_predictions_of_nothing_are_nothing() -> None:
    model = train(toy_backbone(), BY_ID["frozen"]).result.model
    assert len(predict(model, row_store(), np.arange(0), CPU)) == 0

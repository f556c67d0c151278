"""Files of weights that mean harm, and plugins that end the process: none of it gets its way."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors
import torch

from automl_transfer import hookimpl
from automl_transfer.backbones.local import resolve
from automl_transfer.backbones.tensors import read_tensors
from automl_transfer.cards import BackboneCard, HeadCard, RankerCard, StrategyCard
from automl_transfer.cli import main
from automl_transfer.contracts import LocalWeights
from automl_transfer.errors import (
    AutomlTransferError,
    EmptySpaceError,
    NothingUsableError,
    PluginError,
    UsageError,
    WeightsUnavailableError,
)
from automl_transfer.events import StageStarted
from automl_transfer.plugins import load_registry
from automl_transfer.testing.toy import card, write_toy_weights
from automl_transfer.weights import HubProbe, locate
from tests.chaos import leaving_members
from tests.installing import install
from tests.toy_search import ToySearch

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(90)]

MEMBERS = "tests.chaos.leaving_members"


# Files.


class Payload:
    """What a pickle of it does to who loads it: it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def zipped(mark: Path) -> bytes:
    file = io.BytesIO()
    torch.save({"weight": torch.zeros(2), "evil": Payload(mark)}, file)
    return file.getvalue()


def legacy(mark: Path) -> bytes:
    file = io.BytesIO()
    torch.save({"evil": Payload(mark)}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def whole_module(mark: Path) -> bytes:
    """A checkpoint as ``torch.save(model)`` writes it, which says what its classes are."""
    module = torch.nn.Linear(2, 2)
    module.extra = Payload(mark)  # type: ignore[assignment]
    file = io.BytesIO()
    torch.save(module, file)
    return file.getvalue()


PICKLES: dict[str, Callable[[Path], bytes]] = {
    "zipped": zipped,
    "legacy": legacy,
    "whole-module": whole_module,
    "plain": lambda mark: pickle.dumps({"evil": Payload(mark)}),
}


def held(header: dict[str, Any] | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file: the length of the header, the header, the data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(begin: int, end: int, shape: Iterable[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


SAFETENSORS = {
    "empty": b"",
    "only-a-length": struct.pack("<Q", 16),
    "huge-header": held({"a": tensor(0, 16, [4])}, bytes(16), length=2**63 - 1),
    "header-past-the-end": held({"a": tensor(0, 16, [4])}, bytes(16), length=10_000),
    "overlapping": held({"a": tensor(0, 16, [4]), "b": tensor(8, 24, [4])}, bytes(24)),
    "the-same-bytes": held({"a": tensor(0, 16, [4]), "b": tensor(0, 16, [4])}, bytes(16)),
    "past-the-end": held({"a": tensor(0, 16_000, [4000])}, bytes(16)),
    "backwards": held({"a": tensor(16, 0, [4])}, bytes(16)),
    "of-another-size": held({"a": tensor(0, 16, [2**30])}, bytes(16)),
    "overflowing": held({"a": tensor(0, 16, [2**62, 2**62])}, bytes(16)),
    "negative": held({"a": tensor(0, 16, [-4])}, bytes(16)),
    "of-no-type": held({"a": tensor(0, 16, [4], "PICKLE")}, bytes(16)),
    "deep": held(b"[" * 100_000),
    "no-object": held(b"[1, 2]"),
    "cut-off": held({"a": tensor(0, 16, [4])}, bytes(7)),
    "with-a-tail": held({"a": tensor(0, 16, [4])}, bytes(64)),
}


def at(path: Path) -> LocalWeights:
    return LocalWeights(path=path, source=f"dir:{path}", sha256="0")


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors", ""])
def test_a_pickle_is_refused_and_never_runs(name: str, suffix: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(PICKLES[name](mark))
    if name == "plain":
        pickle.loads(path.read_bytes())
    else:
        torch.load(io.BytesIO(path.read_bytes()), weights_only=False)
    assert mark.exists(), "it does what it is feared for"
    mark.unlink()
    with pytest.raises(WeightsUnavailableError, match="must be a readable file of tensors"):
        read_tensors(at(path))
    assert not mark.exists()


@pytest.mark.parametrize("name", SAFETENSORS)
def test_a_broken_file_of_tensors_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(SAFETENSORS[name])
    with pytest.raises(safetensors.SafetensorError), safetensors.safe_open(path, "pt"):
        pass
    with pytest.raises(WeightsUnavailableError, match="must be a readable file of tensors"):
        read_tensors(at(path))


def test_a_huge_header_takes_no_memory(tmp_path: Path) -> None:
    """In a process that has 600 MB more than it needs to begin with."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(held({"a": tensor(0, 16, [4])}, bytes(16), length=2**40))
    program = dedent("""
        import resource, sys
        from pathlib import Path
        import torch, safetensors.torch
        from automl_transfer.backbones.tensors import read_tensors
        from automl_transfer.contracts import LocalWeights
        from automl_transfer.errors import WeightsUnavailableError
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + 600_000_000,) * 2)
        try:
            read_tensors(LocalWeights(path=Path(sys.argv[1]), source="dir:x", sha256="0"))
        except WeightsUnavailableError as error:
            print(error)
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "must be a readable file of tensors" in done.stdout


def test_a_directory_with_nothing_but_a_pickle_is_no_backbone(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "config.json").write_text('{"architecture": "resnet18"}')
    (tmp_path / "pytorch_model.bin").write_bytes(zipped(mark))
    with pytest.raises(UsageError, match=r"pickled files such as pytorch_model\.bin are never"):
        resolve(f"local:{tmp_path}")
    assert not mark.exists()


# Searches over them.


def read_by_us(*, card: Any, weights: Any, seed: int) -> Any:
    """A toy network whose weights are read as those of our own backbones."""
    from automl_transfer.testing import toy

    made = toy.build(card=card, weights=None, seed=seed)
    if weights is not None:
        made.module.load_state_dict(read_tensors(weights))
    return made


def hostile(name: str, path: Path, sha256: str | None = None) -> BackboneCard:
    plain = card(name, 8, path)
    return replace(
        plain,
        factory="tests.chaos.test_hostile_weights:read_by_us",
        weights=replace(plain.weights, sha256=sha256),
    )


def plugin(
    backbones: Iterable[BackboneCard] = (),
    heads: Iterable[HeadCard] = (),
    strategies: Iterable[StrategyCard] = (),
    rankers: Iterable[RankerCard] = (),
) -> object:
    """A plugin that offers these."""
    found = (list(backbones), list(heads), list(strategies), list(rankers))

    class Plugin:
        @hookimpl
        def automl_transfer_backbones(self) -> Iterable[BackboneCard]:
            return found[0]

        @hookimpl
        def automl_transfer_heads(self) -> Iterable[HeadCard]:
            return found[1]

        @hookimpl
        def automl_transfer_freeze_strategies(self) -> Iterable[StrategyCard]:
            return found[2]

        @hookimpl
        def automl_transfer_rankers(self) -> Iterable[RankerCard]:
            return found[3]

    return Plugin()


def reasons(search: ToySearch) -> dict[str, str]:
    """What the study says of what was left out."""
    return {row["what"]: row["reason"] for row in search.study().document("why_not")}


def test_a_search_goes_on_without_hostile_weights(tmp_path: Path) -> None:
    search = ToySearch(tmp_path)
    mark = tmp_path / "mark"
    files = {name: make(mark) for name, make in PICKLES.items()} | {
        name: SAFETENSORS[name] for name in ("huge-header", "overlapping", "cut-off")
    }
    cards = []
    for name, content in files.items():
        path = tmp_path / (f"{name}.safetensors" if name in SAFETENSORS else f"{name}.pt")
        path.write_bytes(content)
        cards.append(hostile(name, path))
    right = write_toy_weights(tmp_path / "right.safetensors", 8)
    cards.append(hostile("another-sum", right, hashlib.sha256(b"another").hexdigest()))
    cards.append(hostile("right", right, hashlib.sha256(right.read_bytes()).hexdigest()))
    search.run(plugins=[plugin(cards)])
    found = reasons(search)
    for name in files:
        assert "must be a readable file of tensors" in found[f"toy/{name}"]
    assert "the SHA-256 of" in found["toy/another-sum"]
    assert "toy/right" not in found
    assert not mark.exists()
    study = search.study()
    assert study.status["state"] == "finished"
    tried = {trial.configuration.backbone for trial in study.trials}
    assert tried and tried <= {"toy/small", "toy/wide", "toy/right"}
    assert study.recommendation is not None


def test_a_search_over_nothing_else_is_a_clear_error(tmp_path: Path) -> None:
    search = ToySearch(tmp_path)
    mark = tmp_path / "mark"
    (tmp_path / "evil.pt").write_bytes(zipped(mark))
    evil = hostile("evil", tmp_path / "evil.pt")
    with pytest.raises(EmptySpaceError, match="toy/evil") as caught:
        search.run(search.request(backbones=("toy/evil",)), [plugin([evil])])
    assert caught.value.exit_code == 5
    assert not mark.exists()


def test_weights_that_change_after_they_were_checked_in(tmp_path: Path) -> None:
    """The sum is of what is there now, not of what was there at the last search."""
    path = write_toy_weights(tmp_path / "right.safetensors", 8)
    promised = hashlib.sha256(path.read_bytes()).hexdigest()
    weights = hostile("right", path, promised).weights
    assert locate(weights, offline=True, hub=HubProbe()).sha256 == promised
    mark = tmp_path / "mark"
    path.write_bytes(zipped(mark))
    with pytest.raises(WeightsUnavailableError, match=f"must begin with {promised}"):
        locate(weights, offline=True, hub=HubProbe())
    assert not mark.exists()


def test_the_model_of_a_study_is_no_pickle_either(tmp_path: Path) -> None:
    search = ToySearch(tmp_path)
    search.run(search.request(trials=2, hold_out="no"))
    mark = tmp_path / "mark"
    model = search.study().files.model / "model.safetensors"
    assert model.is_file()
    model.write_bytes(zipped(mark))
    study = search.study()
    with pytest.raises(AutomlTransferError):
        _ = study.model
    assert not mark.exists()


# Plugins that end the process.


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToySearch:
    monkeypatch.chdir(tmp_path)
    return ToySearch(tmp_path)


def left() -> set[str]:
    """The moments at which members have tried to end this process."""
    trace = leaving_members.TRACE
    return set(trace.read_text(encoding="utf-8").splitlines()) if trace.exists() else set()


def leaving_backbone(moment: str, path: Path) -> BackboneCard:
    return replace(card(f"leaving-{moment}", 8, path), factory=f"{MEMBERS}:backbone_in_{moment}")


@pytest.mark.parametrize("moment", ["factory", "forward"])
def test_a_backbone_that_leaves_is_left_out(search: ToySearch, moment: str) -> None:
    weights = write_toy_weights(search.directory / "leaving.safetensors", 8)
    search.run(plugins=[plugin([leaving_backbone(moment, weights)])])
    assert left() == {f"backbone {moment}"}
    assert "SystemExit" in reasons(search)[f"toy/leaving-{moment}"]
    assert search.study().status["state"] == "finished"


def test_a_backbone_that_leaves_in_training_fails_its_trials(search: ToySearch) -> None:
    weights = write_toy_weights(search.directory / "leaving.safetensors", 8)
    request = search.request(strategies=("full",), trials=4)
    search.run(request, [plugin([leaving_backbone("training", weights)])])
    assert left() == {"backbone training"}
    study = search.study()
    assert study.status["state"] == "finished"
    failed = [row for row in study.trials if row.state == "failed"]
    assert failed
    assert all("SystemExit" in (row.reason or "") for row in failed)
    assert {row.configuration.backbone for row in failed} == {"toy/leaving-training"}


def test_a_finalist_that_leaves_is_not_recommended(search: ToySearch) -> None:
    weights = write_toy_weights(search.directory / "leaving.safetensors", 8)
    request = search.request(
        backbones=("toy/leaving-confirm",), strategies=("frozen", "full"), trials=12
    )
    plugins = [plugin([leaving_backbone("confirm", weights)])]
    for event in search.events(request, plugins):
        if isinstance(event, StageStarted) and event.stage == "confirm":
            leaving_members.LATE.touch()
    assert left() == {"backbone confirm"}
    study = search.study()
    assert study.status["state"] == "finished"
    assert all(row.state != "failed" for row in study.trials)
    answer = study.recommendation
    assert answer is not None
    assert any("SystemExit" in note for note in answer.notes)


@pytest.mark.parametrize("moment", ["factory", "forward"])
def test_a_head_that_leaves_fails_its_trials(search: ToySearch, moment: str) -> None:
    head = HeadCard(id="chaos/leaving", factory=f"{MEMBERS}:head_in_{moment}")
    request = search.request(heads=("linear", "chaos/leaving"), strategies=("frozen",))
    search.run(request, [plugin(heads=[head])])
    assert left() == {f"head {moment}"}
    study = search.study()
    assert study.status["state"] == "finished"
    by_head = {(row.configuration.head, row.state) for row in study.trials}
    assert ("linear", "finished") in by_head
    assert ("chaos/leaving", "failed") in by_head
    assert ("chaos/leaving", "finished") not in by_head
    assert study.recommendation is not None


def test_a_strategy_that_leaves_is_left_out_or_fails_its_trials(search: ToySearch) -> None:
    strategy = StrategyCard(id="chaos/leaving", factory=f"{MEMBERS}:strategy")
    request = search.request(strategies=("full", "chaos/leaving"), trials=6)
    search.run(request, [plugin(strategies=[strategy])])
    assert left() == {"strategy"}
    study = search.study()
    assert study.status["state"] == "finished"
    states = {(row.configuration.strategy, row.state) for row in study.trials}
    assert ("full", "finished") in states
    assert ("chaos/leaving", "finished") not in states


def test_a_ranker_that_leaves_is_a_clear_end(search: ToySearch) -> None:
    ranker = RankerCard(id="chaos/leaving", factory=f"{MEMBERS}:ranker")
    request = search.request(ranker="chaos/leaving")
    try:
        search.run(request, [plugin(rankers=[ranker])])
    except (PluginError, EmptySpaceError, NothingUsableError) as error:
        assert "chaos/leaving" in str(error) or "SystemExit" in str(error)
    assert left() == {"ranker"}


def test_all_of_them_alone_end_with_nothing_usable(search: ToySearch) -> None:
    head = HeadCard(id="chaos/leaving", factory=f"{MEMBERS}:head_in_forward")
    request = search.request(heads=("chaos/leaving",), strategies=("frozen",), trials=3)
    with pytest.raises((NothingUsableError, EmptySpaceError), match="SystemExit|no trial") as end:
        search.run(request, [plugin(heads=[head])])
    assert end.value.exit_code in (1, 5)
    assert search.study().status["state"] == "failed"


def test_a_hook_that_leaves_takes_its_plugin_alone(search: ToySearch) -> None:
    class Leaving:
        __name__ = "leaving"

        @hookimpl
        def automl_transfer_heads(self) -> Iterable[HeadCard]:
            leaving_members.leave("hook")
            return ()

    registry = load_registry(extra=[Leaving()], third_party=False)
    assert "linear" in {entry.card.id for entry in registry.heads.values()}
    (aside,) = registry.quarantined
    assert (aside.stage, "SystemExit" in aside.reason) == ("call", True)
    search.run(search.request(trials=2), [Leaving()])
    assert left() == {"hook"}
    assert search.study().status["state"] == "finished"


@pytest.mark.parametrize("status", [0, None, 141, "goodbye"])
def test_where_nobody_expects_it_the_command_says_so(
    status: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ended without a word, and with the code of a reader that has gone away."""

    def leaving(_: object) -> None:
        raise SystemExit(status)

    monkeypatch.setattr("automl_transfer.study.list_studies", leaving)
    assert main(["studies"]) == PluginError.exit_code == 3
    told = capsys.readouterr().err
    assert f"one raised SystemExit: {status}" in told
    assert "--disable-plugin" in told


IMPORTS = {
    "leaving-at-import": "import sys\nopen('left', 'a').write('import ')\nsys.exit(0)",
    "leaving-in-hook": """
        import sys
        from automl_transfer import hookimpl

        @hookimpl
        def automl_transfer_heads():
            open('left', 'a').write('hook ')
            sys.exit(0)
    """,
    "leaving-quietly": "open('left', 'a').write('quietly ')\nraise SystemExit",
}


def test_a_command_survives_plugins_that_leave(
    site: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``sys.exit(0)`` would look like success: it must be neither that nor the end."""
    for name, source in IMPORTS.items():
        install(site, name, dedent(source))
    monkeypatch.setenv("PYTHONPATH", f"{site}:{repository}")

    def run(*words: str) -> SimpleNamespace:
        done = subprocess.run(
            [sys.executable, "-m", "automl_transfer", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    listed = run("plugins", "list", "--json")
    assert listed.code == 0, listed.err
    document = json.loads(listed.out)
    assert "linear" in {row["id"] for row in document["members"]}
    assert set((tmp_path / "left").read_text().split()) == {"import", "hook", "quietly"}
    assert all(name in listed.out for name in IMPORTS)
    strict = run("--strict-plugins", "plugins", "list")
    assert strict.code == 3
    assert "Traceback" not in strict.err

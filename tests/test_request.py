from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_transfer.budget import parse_duration
from automl_transfer.constraints import parse_latency
from automl_transfer.dataset import DataOptions
from automl_transfer.errors import UsageError
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.request import SearchRequest, hide_password, parse_devices

PLAIN = SearchRequest(data="/data/my images", trials=5)
FULL = SearchRequest(
    data="/data/my images",
    study="a-study",
    studies="else where",
    storage="postgresql://me:secret@host/rows",
    budget_seconds=5400.0,
    trials=7,
    seed=3,
    device="cpu",
    devices=("cpu", "cpu"),
    metric="macro_f1",
    backbones=("timm/*", "local:/x y"),
    heads=("linear",),
    strategies=("full", "lora"),
    exclude=("*tiny*",),
    portfolio="tiny",
    max_params=10**7,
    max_latency=0.0125,
    license="permissive",
    prefer="training-time",
    offline=True,
    epochs=4,
    options=DataOptions(
        path_column="file",
        label_column="kind",
        split_column="part",
        root=Path("/images"),
        modality="image",
    ),
)


def read_back(command: str) -> SearchRequest:
    """The request that a command line stands for, read by rules of its own."""
    words = shlex.split(command)
    assert words[:2] == ["automl-transfer", "search"]
    single: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    place, offline = 2, False
    while place < len(words):
        if words[place] == "--offline":
            offline, place = True, place + 1
            continue
        if words[place] in ("--backbone", "--head", "--strategy", "--exclude"):
            several.setdefault(words[place], []).append(words[place + 1])
        else:
            single[words[place]] = words[place + 1]
        place += 2
    root = single.get("--root")
    budget = single.get("--budget")
    trials, epochs = single.get("--trials"), single.get("--epochs")
    limit = single.get("--max-params")
    return SearchRequest(
        data=single["--data"],
        study=single["--study"],
        studies=single.get("--studies", "studies"),
        storage=single.get("--storage"),
        budget_seconds=None if budget is None else parse_duration(budget),
        trials=None if trials is None else int(trials),
        seed=int(single.get("--seed", 0)),
        device=single.get("--device", "auto"),
        devices=tuple(single["--devices"].split(",")) if "--devices" in single else (),
        metric=single.get("--metric", "auto"),
        backbones=tuple(several.get("--backbone", ())),
        heads=tuple(several.get("--head", ())),
        strategies=tuple(several.get("--strategy", ())),
        exclude=tuple(several.get("--exclude", ())),
        portfolio=single.get("--portfolio", "small"),
        max_params=None if limit is None else int(limit),
        max_latency=parse_latency(single["--max-latency"]) if "--max-latency" in single else None,
        license=single.get("--license", "any"),  # type: ignore[arg-type]
        prefer=single.get("--prefer", "latency"),  # type: ignore[arg-type]
        offline=offline,
        epochs=None if epochs is None else int(epochs),
        options=DataOptions(
            path_column=single.get("--path-column", "path"),
            label_column=single.get("--label-column", "label"),
            split_column=single.get("--split-column"),
            root=None if root is None else Path(root),
            modality=single.get("--modality"),
        ),
    )


@pytest.mark.parametrize("request_", [PLAIN, FULL], ids=["plain", "full"])
def test_the_command_says_all_that_was_asked_but_no_secret(request_: SearchRequest) -> None:
    found = read_back(request_.command)
    shown = None if request_.storage is None else hide_password(request_.storage)
    assert found == replace(request_, study=request_.name, storage=shown)
    assert "secret" not in request_.command


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({"license": "permisive"}, "--license must be one of any, permissive.*permissive"),
        ({"prefer": "speed"}, "--prefer must be one of accuracy, latency"),
        ({"max_latency": 0.0}, "--max-latency must be a time above 0"),
        ({"max_latency": float("nan")}, "--max-latency must be a time above 0"),
    ],
)
def test_other_constraints_are_refused(changes: dict[str, Any], trouble: str) -> None:
    with pytest.raises(UsageError, match=trouble):
        replace(PLAIN, **changes)


def test_what_decides_about_the_answer_belongs_to_a_study() -> None:
    for changes in ({"license": "permissive"}, {"max_latency": 0.02}, {"prefer": "size"}):
        other = replace(PLAIN, **changes)  # type: ignore[arg-type]
        assert len(other.differences(PLAIN)) == 1 and other.name != PLAIN.name


def test_a_request_survives_json() -> None:
    assert from_json(SearchRequest, to_json(FULL)) == FULL


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0,1", ("cuda:0", "cuda:1")),
        ("cuda:1, cuda:0", ("cuda:1", "cuda:0")),
        ("cuda", ("cuda:0",)),
        ("cpu,cpu", ("cpu", "cpu")),
        ("mps", ("mps",)),
    ],
)
def test_devices_have_one_name_each(text: str, names: tuple[str, ...]) -> None:
    request = replace(PLAIN, devices=parse_devices(text))
    assert request.devices == replace(PLAIN, devices=tuple(text.split(","))).devices == names
    assert request.first_device == names[0] and PLAIN.first_device == "auto"
    assert request.name == PLAIN.name and not request.differences(PLAIN)


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("0,cuda:0", "cuda:0 2 times"),
        ("mps,mps", "mps 2 times"),
        ("cpu,0", "got cpu and cuda"),
        ("", "but got ''"),
        ("0,,1", "but got ''"),
        ("gpu0", "'gpu0'"),
        ("-1", "'-1'"),
        ("auto", "'auto'"),
    ],
)
def test_other_devices_are_refused(text: str, trouble: str) -> None:
    with pytest.raises(UsageError, match=f"--devices must .*{trouble}"):
        parse_devices(text)


@pytest.mark.parametrize(("device", "fits"), [("cuda", True), ("cuda:0", True), ("auto", True),
                                              ("cuda:1", False), ("cpu", False)])  # fmt: skip
def test_one_device_beside_several_is_their_first(device: str, fits: bool) -> None:
    if fits:
        assert replace(PLAIN, device=device, devices=("0", "1")).first_device == "cuda:0"
    else:
        with pytest.raises(UsageError, match="first of --devices"):
            replace(PLAIN, device=device, devices=("0", "1"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql+psycopg://me:s:e:c@host/db", "postgresql+psycopg://me:***@host/db"),
        ("mysql://:secret@host/db", "mysql://:***@host/db"),
        ("sqlite:////tmp/rows.db", "sqlite:////tmp/rows.db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql://me:p@ss@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:p/ss@host/db", "postgresql://me:***@host/db"),
        ("mysql://me@corp:secret@host/db?x=a@b", "mysql://me@corp:***@host/db?x=a@b"),
        (
            "postgresql://host/db?user=me&password=a@b:c&ssl=1",
            "postgresql://host/db?user=me&password=***&ssl=1",
        ),
        ("mysql://host/db?PassWD=x&PWD=y", "mysql://host/db?PassWD=***&PWD=***"),
        ("x://h/d?sslpassword=x&token=y&a=b", "x://h/d?sslpassword=***&token=***&a=b"),
        ("x://h/d?client_secret=x", "x://h/d?client_secret=***"),
        ("postgresql://me@h/d?passfile=/x", "postgresql://me@h/d?passfile=/x"),
        (
            "mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Dsecret",
            "mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3D***",
        ),
        (
            "before postgresql://me:secret@host/db after",
            "before postgresql://me:***@host/db after",
        ),
    ],
)
def test_a_password_is_not_shown(url: str, shown: str) -> None:
    assert hide_password(url) == shown


@given(st.text("abcXYZ019%:!$&'()*+,;=-._~", min_size=4, max_size=12))
def test_no_part_of_a_password_is_shown(password: str) -> None:
    shown = hide_password(f"postgresql://me:{password}@host/db")
    assert shown == "postgresql://me:***@host/db"


def test_the_name_is_made_of_the_data_and_the_options() -> None:
    assert PLAIN.name.startswith("my-images-")
    assert PLAIN.name == replace(PLAIN, trials=9, device="cpu").name
    assert PLAIN.name != replace(PLAIN, seed=1).name
    assert FULL.name == "a-study"
    assert replace(PLAIN, data="/...").name.startswith("data-")


def test_what_forbids_to_resume_is_listed() -> None:
    assert replace(PLAIN, trials=50, budget_seconds=60.0).differences(PLAIN) == []
    assert replace(PLAIN, seed=4, metric="accuracy").differences(PLAIN) == [
        "seed: 0 then, 4 now",
        "metric: 'auto' then, 'accuracy' now",
    ]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"portfolio": "smal"}, "--portfolio must be one of .* but got 'smal'. Did you mean"),
        ({"study": "../up"}, "A study name is 1 to 100 letters.* but got '../up'"),
        ({"study": ".hidden"}, "starting with a letter or digit, but got '.hidden'"),
        ({"study": "_hidden"}, "starting with a letter or digit, but got '_hidden'"),
        ({"seed": -1}, "--seed must be a whole number from 0 to 4294967295, but got -1"),
        ({"seed": 2**32}, "--seed must be .* but got 4294967296"),
        (
            {"metric": "acuracy"},
            "metric must be one of auto, .*, but got 'acuracy'. Did you mean 'accuracy'",
        ),
        ({"max_params": 0}, "--max-params must be at least 1, but got 0"),
        ({"epochs": 0}, "--epochs must be at least 1, but got 0"),
    ],
)
def test_a_request_that_breaks_a_rule_says_so(change: dict, rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        replace(PLAIN, **change)


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_ends_of_the_seeds_may_be_used(seed: int) -> None:
    assert replace(PLAIN, seed=seed).seed == seed


def test_paths_mean_the_same_from_any_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = SearchRequest(
        data="pets.csv",
        trials=5,
        backbones=("local:net", "timm/a/b", "local:"),
        exclude=("local:other", "local:*"),
        options=DataOptions(root=Path("images")),
    )
    assert made.data == str(tmp_path / "pets.csv")
    assert made.studies == str(tmp_path / "studies")
    assert made.backbones == (f"local:{tmp_path / 'net'}", "timm/a/b", "local:")
    assert made.exclude == (f"local:{tmp_path / 'other'}", "local:*")
    assert made.options.root == tmp_path / "images"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert read_back(made.command) == replace(made, study=made.name)
    absolute = replace(made, backbones=(f"local:{tmp_path}/net", "timm/a/b", "local:"))
    assert absolute.identity == made.identity


@pytest.mark.parametrize("seconds", [5400.0, 5445.0, 90061.0, 30.25])
def test_the_command_gives_the_same_budget(seconds: float) -> None:
    request = replace(PLAIN, budget_seconds=seconds)
    assert read_back(request.command).budget_seconds == seconds


@pytest.mark.parametrize("studies", ["studies", "images/a/b", "images", "linked", "../w/images"])
def test_studies_never_lie_in_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, studies: str
) -> None:
    (tmp_path / "w" / "images").mkdir(parents=True)
    (tmp_path / "w" / "linked").symlink_to("images", target_is_directory=True)
    within = studies == "studies"
    monkeypatch.chdir(tmp_path / "w" / "images" if within else tmp_path / "w")
    with pytest.raises(
        UsageError, match="data are never written to: --studies must .*; give --studies DIR"
    ):
        SearchRequest(data="." if within else "images", trials=5, studies=studies)


def test_studies_may_lie_beside_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "pets.csv").write_text("path,label")
    monkeypatch.chdir(tmp_path)
    for data in ("images", "pets.csv"):
        for studies in ("studies", "images-studies"):
            made = SearchRequest(data=data, trials=5, studies=studies)
            assert made.studies == str(tmp_path / studies)
    stored = to_json(SearchRequest(data="images", trials=5))
    monkeypatch.chdir(tmp_path / "images")
    assert from_json(SearchRequest, stored).studies == str(tmp_path / "studies")

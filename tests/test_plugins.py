"""Installed plugins: found by their entry point, let in or set aside."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from automl_transfer.cards import HeadCard
from automl_transfer.errors import PluginError, UsageError
from automl_transfer.hookspecs import hookimpl
from automl_transfer.plugins import load_registry
from tests.installing import install

GOOD = """
    from automl_transfer import hookimpl
    from automl_transfer.cards import HeadCard

    @hookimpl
    def automl_transfer_heads():
        return [HeadCard(id="good/head", factory="good.head:build")]
"""


def loaded(**options):
    return load_registry(builtin=False, **options)


def test_a_plugin_is_found_by_its_entry_point(site):
    install(site, "good", GOOD, version="2.5")
    registry = loaded()
    assert registry.provider("heads", "good/head") == "good 2.5"
    assert registry.quarantined == ()
    assert loaded(third_party=False).heads == {}


@pytest.mark.parametrize(
    ("source", "stage", "reason"),
    [
        ("raise RuntimeError('other planet')", "import", "RuntimeError: other planet"),
        ("import sys; sys.exit(7)", "import", "SystemExit: 7"),
        ("raise ValueError('value')", "import", "ValueError: value"),
        ("import acme_is_not_installed", "import", "No module named 'acme_is_not_installed'"),
        ("x = (", "import", "SyntaxError"),
        ("AUTOML_TRANSFER_API = (2, 0)", "contract", r"plug-in contract 2.0, but .* has 1.0"),
        ("AUTOML_TRANSFER_API = (1, 1)", "contract", r"plug-in contract 1.1, but .* has 1.0"),
        ("AUTOML_TRANSFER_API = '1.0'", "contract", r"a pair like \(1, 0\), but got '1.0'"),
        (
            """
            from automl_transfer import hookimpl
            @hookimpl
            def automl_transfer_head():
                return []
            """,
            "hooks",
            "no hook 'automl_transfer_head'. Did you mean 'automl_transfer_heads'",
        ),
        (
            """
            from automl_transfer import hookimpl
            @hookimpl
            def automl_transfer_veto(backbon):
                return None
            """,
            "hooks",
            r"Argument\(s\) {'backbon'} are declared in the hookimpl but can not be found",
        ),
        (
            """
            from automl_transfer import hookimpl
            @hookimpl(wrapper=True)
            def automl_transfer_heads():
                return (yield)
            """,
            "hooks",
            "must not be a wrapper",
        ),
        ("def automl_transfer_heads(): return []", "hooks", "must be marked with @hookimpl"),
        ("", "hooks", "implements no hook"),
    ],
)
def test_a_plugin_that_cannot_be_let_in_is_set_aside(site, source, stage, reason):
    install(site, "bad", source, version="0.3")
    install(site, "good", GOOD)
    registry = loaded()
    (row,) = registry.quarantined
    assert (row.distribution, row.version, row.plugin, row.stage) == ("bad", "0.3", "bad", stage)
    assert re.search(reason, row.reason)
    assert list(registry.heads) == ["good/head"]
    (line,) = registry.warnings()
    assert re.fullmatch(
        r"Plugin bad \(bad 0\.3\) is set aside: .*[.!?] Upgrade or uninstall bad, or set "
        r"AUTOML_TRANSFER_DISABLE_PLUGINS=bad\.",
        line,
    )
    assert row.reason in line


def test_what_a_broken_plugin_offered_is_an_error_only_when_it_is_named(site):
    install(site, "acme-transfer", "raise OSError('libacme')", point="acme = acme_transfer")
    registry = loaded()
    with pytest.raises(PluginError, match=r"plugin acme \(acme-transfer 1.0\).*OSError: libacme"):
        registry.head("acme/head")
    with pytest.raises(PluginError, match="acme-transfer"):
        registry.backbone("acme/net")
    with pytest.raises(UsageError, match="There is no head 'other/head'"):
        registry.head("other/head")


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        ({"AUTOML_TRANSFER_NO_PLUGINS": "1"}, {}),
        ({"AUTOML_TRANSFER_DISABLE_PLUGINS": "Acme_Transfer"}, {}),
        ({"AUTOML_TRANSFER_DISABLE_PLUGINS": "good"}, {}),
        ({}, {"disabled": ["acme-transfer"]}),
    ],
)
def test_a_plugin_can_be_switched_off_by_either_name(site, monkeypatch, environment, options):
    install(site, "acme-transfer", GOOD, point="good = acme_transfer")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    registry = loaded(**options)
    assert registry.heads == {}
    assert registry.warnings() == []
    with pytest.raises(PluginError, match="'good/head' cannot be used: .*switched off"):
        registry.head("good/head")
    monkeypatch.delenv("AUTOML_TRANSFER_NO_PLUGINS", raising=False)
    monkeypatch.setenv("AUTOML_TRANSFER_DISABLE_PLUGINS", "unrelated")
    assert list(loaded().heads) == ["good/head"]


@pytest.mark.parametrize(
    ("line", "reason", "hint"),
    [
        ("nowhere>=2", "needs nowhere>=2, which is not installed", "pip install 'nowhere>=2'"),
        ("pluggy>=99", "needs pluggy>=99, but 1", "pip install 'pluggy>=99'"),
        ("pluggy>=1", None, None),
        ("nowhere; extra == 'more'", None, None),
        ("nowhere; python_version < '3'", None, None),
    ],
)
def test_what_a_plugin_lacks_is_told_before_it_is_imported(site, line, reason, hint):
    source = GOOD if reason is None else "raise SystemExit('it must not be imported')"
    install(site, "good", source, requires=["click>=8", line])
    registry = loaded()
    if reason is None:
        assert list(registry.heads) == ["good/head"] and not registry.quarantined
        return
    (row,) = registry.quarantined
    assert row.stage == "requirements" and reason in row.reason and hint in row.hint
    with pytest.raises(PluginError, match="nowhere|pluggy"):
        registry.head("good/head")


def test_only_plugins_that_are_named_are_let_in(site, monkeypatch):
    install(site, "good", GOOD)
    install(site, "other", GOOD.replace("good", "other"))
    monkeypatch.setenv("AUTOML_TRANSFER_PLUGINS", "other, more")
    registry = loaded()
    assert list(registry.heads) == ["other/head"]
    assert [(row.plugin, row.stage) for row in registry.quarantined] == [("good", "disabled")]
    assert registry.warnings() == [
        "AUTOML_TRANSFER_PLUGINS names 'more', but no plugin that is installed is called so."
    ]


def test_a_strict_registry_takes_no_plugin_that_would_be_set_aside(site, monkeypatch):
    install(site, "good", GOOD)
    install(site, "bad", "raise RuntimeError('out of order')")
    assert [row.plugin for row in loaded().quarantined] == ["bad"]
    with pytest.raises(
        PluginError, match=r"No plugin may be set aside, but:\nPlugin bad .bad 1.0"
    ):
        loaded(strict=True)
    monkeypatch.setenv("AUTOML_TRANSFER_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match="out of order"):
        loaded()
    assert list(loaded(disabled=["bad"]).heads) == ["good/head"], "what is off is no trouble"


def test_who_provides_what_two_offer_is_decided_by_a_setting(site, monkeypatch):
    install(site, "one", GOOD)
    install(site, "two", GOOD, version="2.0")
    registry = loaded()
    assert not registry.heads
    assert "AUTOML_TRANSFER_PREFER_PLUGINS=good/head=" in registry.quarantined[0].reason
    monkeypatch.setenv("AUTOML_TRANSFER_PREFER_PLUGINS", "good/head=Two")
    registry = loaded()
    assert registry.provider("head", "good/head") == "two 2.0" and not registry.quarantined
    monkeypatch.setenv("AUTOML_TRANSFER_PREFER_PLUGINS", "good/head")
    with pytest.raises(UsageError, match="must be a list like 'acme/net=acme-transfer'"):
        loaded()


def test_a_plugin_that_takes_long_to_import_is_told_of(site, monkeypatch):
    install(site, "good", GOOD)
    assert not loaded().warnings()
    monkeypatch.setattr("automl_transfer.entries.SLOW", 0.0)
    (line,) = loaded().warnings()
    assert line.startswith("Plugin good (good 1.0) took 0.") and "import" in line


def test_a_distribution_that_shadows_another_counts_once(site, tmp_path, monkeypatch):
    install(site, "good", GOOD, version="1.0")
    newer = tmp_path / "newer"
    newer.mkdir()
    install(newer, "Good", version="2.0", point="good = good")
    monkeypatch.syspath_prepend(newer)
    registry = loaded()
    assert registry.quarantined == ()
    assert registry.provider("heads", "good/head") == "Good 2.0"


def test_two_entry_points_to_one_module_are_not_two_plugins(site):
    install(site, "good", GOOD, point="a = good\nb = good")
    registry = loaded()
    assert list(registry.heads) == ["good/head"]
    (row,) = registry.quarantined
    assert (row.plugin, row.stage) == ("b", "hooks")


def test_an_object_with_hooks_is_a_plugin_for_tests_and_notebooks():
    class Notebook:
        @hookimpl
        def automl_transfer_portfolio(self, size, modality):
            return []

        @hookimpl
        def automl_transfer_heads(self):
            return [HeadCard(id="mine/head", factory="mine:build")]

    registry = load_registry(builtin=False, third_party=False, extra=[Notebook()])
    assert registry.quarantined == ()
    assert registry.portfolio("tiny", "image") == []
    assert registry.provider("heads", "mine/head") == "Notebook"


def test_extra_plugins_of_one_name_do_not_collide():
    @hookimpl
    def automl_transfer_rankers():
        return []

    twin = {"__name__": "twin", "automl_transfer_rankers": automl_transfer_rankers}
    extra = [SimpleNamespace(**twin), SimpleNamespace(**twin, other=1)]
    assert load_registry(builtin=False, third_party=False, extra=extra).quarantined == ()


# The plugin that we ship


def test_the_built_in_plugin_keeps_its_own_contract():
    registry = load_registry(third_party=False)
    assert registry.quarantined == ()
    assert list(registry.modalities) == ["image"]
    assert list(registry.backbones) == [
        "bundled/efficientnet_lite0",
        "bundled/efficientnet_lite0@96",
    ]
    assert {"linear", "mlp", "cosine", "prototype"} <= set(registry.heads)
    assert {"frozen", "full", "lora", "scratch"} <= set(registry.strategies)
    assert {"digits", "textiles", "solar-cells"} <= set(registry.sample_data)
    assert registry.provider("heads", "linear").startswith("automl-transfer ")
    for kind in ("modalities", "heads", "strategies", "rankers"):
        for entry in getattr(registry, kind).values():
            assert callable(registry.load(entry.card)), entry.card.id


def test_nobody_takes_the_place_of_a_built_in_member(site):
    install(
        site,
        "thief",
        """
        from automl_transfer import hookimpl
        from automl_transfer.cards import ModalityCard

        @hookimpl
        def automl_transfer_modalities():
            return [ModalityCard(id="image", factory="thief:build")]
        """,
    )
    registry = load_registry()
    assert registry.provider("modalities", "image").startswith("automl-transfer ")
    (row,) = registry.quarantined
    assert (row.distribution, row.stage) == ("thief", "duplicate")
    assert "the built-in one is used" in row.reason


# A whole third-party package


@pytest.fixture
def acme(site, sample_plugins, monkeypatch):
    """The sample package, as if it were installed."""
    monkeypatch.syspath_prepend(sample_plugins / "acme_transfer")
    install(site, "acme-transfer", version="1.2", point="acme = acme_transfer.plugin")
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "acme_transfer"]:
        del sys.modules[name]


def test_a_package_adds_a_backbone_a_head_and_a_strategy(acme, sample_plugins):
    import torch

    from automl_transfer.contracts import LocalWeights
    from automl_transfer.plan import StageView

    registry = loaded()
    assert registry.quarantined == ()
    assert registry.provider("backbones", "acme/tiny-cnn") == "acme-transfer 1.2"

    card = registry.backbone("acme/tiny-cnn")
    path = sample_plugins / "acme_transfer" / "acme_transfer" / "weights.safetensors"
    weights = LocalWeights(path=path, source=card.weights.sources[0], sha256="")
    build = registry.load(card)
    built, random = (
        build(card=card, weights=w, seed=1).features(torch.ones(2, 3, 32, 32))
        for w in (weights, None)
    )
    assert built.shape == (2, card.features.width)
    assert not torch.equal(built, random)

    head = registry.load(registry.head("acme/scaled-linear"))
    assert head(width=32, classes=3, params={"scale": 2.0})(built).shape == (2, 3)

    plan = registry.load(registry.strategy("acme/head-then-last"))(
        stages=[StageView(name=n, depth=d, parameters=9) for n, d in (("stem", 0), ("body", 1))],
        params={"lr": 1e-3},
    )
    assert [dict(phase.trains) for phase in plan.phases] == [{}, {"body": 1.0}]


def test_the_sample_package_carries_the_weights_that_its_card_names(acme, sample_plugins):
    import hashlib

    card = loaded().backbone("acme/tiny-cnn")
    path = sample_plugins / "acme_transfer" / card.weights.sources[0].removeprefix("package:")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card.weights.sha256


@pytest.fixture(scope="module")
def pip_installed(tmp_path_factory):
    """Both sample packages, built and installed by pip into a directory of their own."""
    source = Path(__file__).parent / "sample_plugins"
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run(
        [*command, str(source / "acme_transfer"), str(source / "broken_at_import")],
        check=True,
        capture_output=True,
        text=True,
    )
    return target


@pytest.fixture
def command(pip_installed, repository, tmp_path, monkeypatch):
    """Runs the command line in a process of its own that sees the installed plugins."""
    monkeypatch.setenv("PYTHONPATH", f"{pip_installed}:{repository}")

    def run(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "automl_transfer", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_search_uses_what_an_installed_package_adds(command, tmp_path):
    images, studies = tmp_path / "images", tmp_path / "studies"
    command("data", "sample", "digits", images, "--per-class", 20)
    search = command(
        *("search", "--data", images, "--studies", studies, "--study", "t", "--json"),
        *("--backbone", "acme/*", "--head", "acme/scaled-linear", "--head", "linear"),
        *("--strategy", "acme/head-then-last", "--strategy", "frozen"),
        *("--trials", 6, "--epochs", 1, "--offline"),
    )
    told = [line for line in search.stderr.splitlines() if "broken-at-import" in line]
    assert len(told) == 1
    assert "RuntimeError: this plugin was built for another planet" in told[0]
    recommendation = json.loads(search.stdout)
    used = [row["configuration"] for row in recommendation["ranking"]]
    assert {row["backbone"] for row in used} == {"acme/tiny-cnn"}
    assert {row["head"] for row in used} == {"acme/scaled-linear", "linear"}
    assert {row["strategy"] for row in used} == {"acme/head-then-last", "frozen"}

    shown = json.loads(command("show", "t", "--studies", studies, "--json").stdout)
    assert shown["recommendation"]["winner"]["configuration"] in used


@pytest.mark.slow
def test_naming_what_a_broken_package_offers_ends_with_the_code_of_plugins(command, tmp_path):
    images = tmp_path / "images"
    command("data", "sample", "digits", images, "--per-class", 12)
    done = command(
        *("search", "--data", images, "--backbone", "broken/net", "--trials", 1, "--offline"),
        code=3,
    )
    assert "broken-at-import 0.3" in done.stderr
    assert "Traceback" not in done.stderr

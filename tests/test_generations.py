"""A study whose plugin is upgraded and removed between its runs: real installs, real searches."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from automl_transfer.outcome import Outcome
from automl_transfer.study import Study
from automl_transfer.testing.toy import write_toy_data, write_toy_weights

PLUGIN = """
    from automl_transfer import hookimpl
    from automl_transfer.cards import HeadCard
    from automl_transfer.space import Choice, Float
    from automl_transfer.testing.toy import MODALITY, card
    from pathlib import Path

    HERE = Path(__file__).parent

    @hookimpl
    def automl_transfer_modalities():
        return [MODALITY]

    @hookimpl
    def automl_transfer_backbones():
        return [card(name, width, HERE / f"{{name}}.safetensors") for name, width in {networks}]

    @hookimpl
    def automl_transfer_heads():
        return [
            HeadCard(id=name, factory=f"acme_generations.heads:{{name[5:]}}", space={space})
            for name in {heads}
        ]
"""
HEADS = """
    import os, time
    from torch import nn

    class Slow(nn.Linear):
        def forward(self, features):
            time.sleep(0.1)
            return super().forward(features)

    def layer(*, width, classes, params):
        kind = Slow if "SLOW" in os.environ else nn.Linear
        return kind(width, classes, bias=params.get("bias", True))

    def broken(*, width, classes, params):
        raise RuntimeError("it broke")
"""
PYPROJECT = """
    [build-system]
    requires = ["hatchling"]
    build-backend = "hatchling.build"

    [project]
    name = "acme-generations"
    version = "{version}"
    dependencies = ["automl-transfer"]

    [project.entry-points.automl_transfer]
    acme = "acme_generations.plugin"

    [tool.hatch.build.targets.wheel]
    packages = ["acme_generations"]
"""
FIRST = {
    "version": "1.0",
    "networks": [("small", 8), ("wide", 32)],
    "heads": ["acme/layer", "acme/broken"],
    "space": "(Float(name='lr', low=1e-2, high=1e-1, default=5e-2, log=True),)",
}
SECOND = {
    "version": "2.0",
    "networks": [("small", 8), ("extra", 16)],
    "heads": ["acme/layer"],
    "space": "(Float(name='lr', low=1e-4, high=1e-2, default=1e-3, log=True), "
    "Choice(name='bias', choices=(True, False), default=True))",
}


class Site:
    """A directory that other processes see, with packages that pip puts there."""

    def __init__(self, directory: Path, repository: Path) -> None:
        self.directory = directory
        self.place = directory / "site"
        self.data = write_toy_data(directory / "data.toy.csv", n=120)
        self.environment = os.environ | {
            "PYTHONPATH": f"{self.place}:{repository}",
            "AUTOML_TRANSFER_CACHE_DIR": str(directory / "cache"),
        }

    def install(
        self, version: str, networks: list[tuple[str, int]], heads: list[str], space: str
    ) -> None:
        """Builds a version of the plugin and installs it over the one that is there."""
        source = self.directory / f"source-{version}"
        package = source / "acme_generations"
        package.mkdir(parents=True)
        (source / "pyproject.toml").write_text(dedent(PYPROJECT.format(version=version)))
        (package / "__init__.py").touch()
        (package / "heads.py").write_text(dedent(HEADS))
        (package / "plugin.py").write_text(
            dedent(PLUGIN.format(networks=networks, heads=heads, space=space))
        )
        for name, width in networks:
            write_toy_weights(package / f"{name}.safetensors", width)
        self.remove()
        options = ("--no-deps", "--no-build-isolation", "--quiet", "--target", self.place)
        subprocess.run([sys.executable, "-m", "pip", "install", *options, source], check=True)

    def remove(self) -> None:
        """Takes the plugin away as ``pip uninstall`` does, which knows no ``--target``."""
        for path in self.place.glob("acme_generations*"):
            shutil.rmtree(path)

    def search(self, *more: object, **environment: str) -> subprocess.Popen[str]:
        """Starts a search on the study, or resumes it."""
        words = ("search", "--data", self.data, "--studies", self.directory, "--study", "one")
        options = ("--epochs", 100, "--offline", "--hold-out", "yes", *more)
        return subprocess.Popen(
            [sys.executable, "-m", "automl_transfer", *map(str, (*words, *options))],
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def searched(self, *more: object) -> str:
        """Runs a search to its end and returns what it warned of."""
        process = self.search(*more)
        try:
            _, told = process.communicate(timeout=300)
        finally:
            killed(process)
        assert process.returncode == 0, told
        return " ".join(told.split())

    @property
    def study(self) -> Study:
        return Study(self.directory / "one")


def killed(process: subprocess.Popen[str]) -> None:
    """Ends a search with all its processes, if it has not ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def kept(rows: list[Outcome]) -> dict[int, object]:
    return {row.number: (row.configuration, row.state, row.value, row.curve) for row in rows}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_keeps_its_trials_when_its_plugin_is_upgraded_and_removed(
    tmp_path: Path, repository: Path
) -> None:
    site = Site(tmp_path, repository)
    chosen = ("--backbone", "toy/*", "--head", "acme/*", "--head", "prototype")
    chosen += ("--strategy", "frozen", "--strategy", "last-stages", "--strategy", "full")

    site.install(**FIRST)
    site.searched(*chosen, "--trials", 16)
    first = site.study.trials
    assert {row.state for row in first} == {"finished", "pruned", "failed"}
    assert {row.generation for row in first} == {0}

    # Killed within a trial, so that it is left as running.
    process = site.search(*chosen, "--trials", 40, SLOW="1")
    try:
        until = time.monotonic() + 200
        while not site.study.running and process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        killed(process)
    broken_off = site.study
    assert broken_off.running, "the fault did not happen: no trial was left as running"
    before = kept(broken_off.trials)
    assert before.items() >= kept(first).items()

    site.install(**SECOND)
    told = site.searched(*chosen, "--trials", len(before) + 12)
    assert "toy/wide" in told and "its trials are kept" in told
    assert "the head 'acme/layer' has changed: it was acme-generations 1.0, card" in told
    assert "the freeze strategy" not in told
    after = site.study.trials
    assert kept(after).items() >= before.items()
    assert not site.study.running
    newer = [row for row in after if row.number not in before]
    assert len(newer) >= 12
    assert {row.generation for row in newer} == {1}
    assert "toy/wide" not in {row.configuration.backbone for row in newer}
    assert "toy/extra" in {row.configuration.backbone for row in newer}
    layers = [
        row.configuration.of("head", "acme/layer")
        for row in newer
        if row.configuration.head == "acme/layer"
    ]
    assert layers and all(params["lr"] <= 1e-2 and "bias" in params for params in layers)
    digests = [row.configuration.digest for row in after]
    assert len(set(digests)) == len(digests), "a configuration was tried twice"
    assert "toy/wide" in {row.configuration.backbone for row in site.study.ranking}

    # A saved model learnt from samples that were encoded in one way.
    predict = [sys.executable, "-m", "automl_transfer", "predict", "one", f"{site.data}#0"]
    predict += ["--studies", str(tmp_path)]
    model = site.study.directory / "model" / "model.json"
    stored = json.loads(model.read_text())
    assert stored["encoder"] == "toy-vectors-1"
    for digest, code in (("toy-vectors-1", 0), ("toy-vectors-0", 3)):
        model.write_text(json.dumps(stored | {"encoder": digest}))
        done = subprocess.run(predict, env=site.environment, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert code == 0 or "encoded as those that it learnt from (toy-vectors-0)" in done.stderr

    # What it was searched with is gone, the kind of data as well: said, and nothing is lost.
    site.remove()
    gone = site.search(*chosen, "--trials", 60)
    _, told = gone.communicate(timeout=300)
    assert gone.returncode != 0 and "error: " in told and "Traceback" not in told
    assert kept(site.study.trials) == kept(after)
    shown = subprocess.run(
        [sys.executable, "-m", "automl_transfer", "show", "one", "--studies", str(tmp_path)],
        env=site.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "toy/wide" in shown.stdout

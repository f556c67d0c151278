"""Ctrl-C as the terminal sends it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from tests.installing import install

STUBBORN = """
import sys, time
from automl_transfer.cli.interrupt import two_steps
with two_steps():
    try:
        print("ready", flush=True)
        while True:
            time.sleep(0.01)
    except KeyboardInterrupt:
        print("cleaning", flush=True)
        {cleaning}
print("clean", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("twice", "code"), [(False, 0), (True, 130)])
def test_the_first_stops_cleanly_and_the_second_at_once(twice, code):
    cleaning = "time.sleep(60)" if twice else "pass"
    command = [sys.executable, "-c", STUBBORN.format(cleaning=cleaning)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cleaning\n"
        if twice:
            process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ("" if twice else "clean\n")
        assert process.wait() == code
        assert "Ctrl-C again stops at once" in process.stderr.read()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_python_swallows_is_asked_again(number, capfd, monkeypatch):
    """As where a signal comes while the garbage collector calls back."""
    from automl_transfer.cli import interrupt
    from automl_transfer.cli.interrupt import TerminatedError, two_steps

    swallowed = []
    monkeypatch.setattr(sys, "unraisablehook", swallowed.append)
    monkeypatch.setattr(interrupt, "_end_soon", lambda code: None)

    class Rubbish:
        def __del__(self):
            signal.raise_signal(number)

    rubbish = Rubbish()
    with pytest.raises(KeyboardInterrupt) as caught, two_steps() as asked:
        asked.check()
        del rubbish
        assert swallowed
        asked.check()
    assert isinstance(caught.value, TerminatedError) == (number == signal.SIGTERM)
    assert "Stopping" in capfd.readouterr().err


def test_the_handler_of_before_is_back():
    from automl_transfer.cli.interrupt import two_steps

    before = signal.getsignal(signal.SIGINT)
    with two_steps():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


BUSY = """
    from pathlib import Path

    from automl_transfer import hookimpl
    from automl_transfer.cards import BackboneCard, ModalityCard, WeightsCard
    from automl_transfer.dataset import Recognition

    @hookimpl
    def automl_transfer_modalities():
        return [ModalityCard(id="busy", factory="busy:Busy")]

    @hookimpl
    def automl_transfer_backbones():
        weights = WeightsCard(sources=("dir:nowhere",))
        card = {"factory": "busy:Busy", "modality": "busy", "family": "busy", "weights": weights}
        return [BackboneCard(id="busy/net", **card)]

    class Busy:
        def recognise(self, path, options):
            return Recognition(score=1.0, reason="whatever it is")

        def open(self, path, options, progress=None):
            import torch
            layer = torch.nn.Linear(800, 800)
            path.with_name("begun").touch()
            while True:  # inside Torch, and without a word
                for _ in range(20):
                    layer(torch.rand(800, 800)).sum().backward()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.slow
def test_what_does_not_end_in_time_is_left_behind(site, repository, tmp_path, monkeypatch):
    install(site, "busy", BUSY)
    monkeypatch.setenv("PYTHONPATH", f"{site}:{repository}")
    data = tmp_path / "data"
    data.touch()
    words = ("search", "--data", data, "--studies", tmp_path / "studies", "--trials", 1)
    process = subprocess.Popen(
        [sys.executable, "-m", "automl_transfer", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "begun").exists() and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, told
    assert "Resume with:" in told

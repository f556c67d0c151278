"""Ctrl-C as the terminal sends it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

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


def test_the_handler_of_before_is_back():
    from automl_transfer.cli.interrupt import two_steps

    before = signal.getsignal(signal.SIGINT)
    with two_steps():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before

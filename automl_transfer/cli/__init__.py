"""The command line: data on standard output, progress and warnings on standard error.

Exit codes: 0 done, 1 nothing usable or a study that cannot be read, 2 usage, 3 plugin, 4 data,
5 nothing left to search over, 130 interrupted, 141 the reader of our output went away, 143 ended
by SIGTERM.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import Any

from automl_transfer.cli.beginning import began
from automl_transfer.errors import SURROUNDINGS, AutomlTransferError, PluginError

INTERRUPTED, TERMINATED = 130, 143
BROKEN_PIPE = 141

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. The entry of the console script.

    Args:
        arguments: The words after the program's name; None: those of this process.
    """
    own = arguments is None
    code = _ended(arguments, own)
    if own:
        _leave_behind(code)
    return code


def _ended(arguments: Sequence[str] | None, own: bool) -> int:
    started = began() if own else time.monotonic()
    words, debug = _take_debug(list(sys.argv[1:] if arguments is None else arguments))
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character must not end a search.
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        code = _run(words, started)
        sys.stdout.flush()
        if own:
            # Python looks through all objects several times as it ends: with Torch and its
            # companions in memory a second of an idle core, which the user would wait for.
            gc.freeze()
        return code
    except AutomlTransferError as error:
        if debug:
            _traceback()
        _say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        if debug:
            _traceback()
        if isinstance(error, OSError) and error.errno in SURROUNDINGS:
            _say(
                f"error: {error.filename or 'a file'} cannot be read or written: "
                f"{error.strerror}. Make room on its disk and check its rights, and run the "
                "command again: what is stored is kept."
            )
            return 1
        _say(f"internal error: {' '.join(f'{type(error).__name__}: {error}'.split())}")
        if not debug:
            _say("This is a bug: run again with --debug for the traceback, and report it.")
        return 1


def _leave_behind(code: int) -> None:
    """Ends the process here if a thread is still at work: inside Torch it would take the process
    down with an error when Python takes its state away. So too after Ctrl-C: where it came amid
    the making of a class, Python would end as if nobody had handled it."""
    if code not in (INTERRUPTED, TERMINATED):
        if threading.active_count() == 1:
            return
        from automl_transfer.stages.following import THREAD

        if all(thread.name != THREAD for thread in threading.enumerate()):
            return
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _run(words: list[str], started: float) -> int:
    import click

    from automl_transfer.cli.group import cli

    try:
        code = cli.main(words, prog_name="automl-transfer", standalone_mode=False, obj=started)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except SystemExit as error:
        if _raiser(error) in ("click", "rich"):  # how they end when nobody reads on
            raise BrokenPipeError from None
        raise PluginError(
            f"A plugin must not end the process, but one raised SystemExit: {error.code}. Run "
            "again with --debug to see which; --disable-plugin leaves it out."
        ) from error
    return code if isinstance(code, int) else 0


def _raiser(error: BaseException) -> str:
    """The package whose code raised an error."""
    *_, last = traceback.walk_tb(error.__traceback__)
    return str(last[0].f_globals.get("__name__", "")).partition(".")[0]


def _take_debug(words: list[str]) -> tuple[list[str], bool]:
    """``--debug`` is understood wherever it stands: people append it to what went wrong."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return [*kept, *words[end:]], len(kept) < end


def _say(text: str) -> None:
    from automl_transfer.report.text import plain_lines

    print(plain_lines(text), file=sys.stderr)


def _traceback() -> None:
    _say(traceback.format_exc().rstrip())

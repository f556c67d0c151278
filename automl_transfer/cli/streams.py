"""Lines and JSON on the standard streams. Text that is not ours goes through here, and becomes
inert."""

from __future__ import annotations

import json
import sys
from typing import Any

from automl_transfer.report.text import plain, plain_lines


def warn(text: str) -> None:
    """A warning on standard error."""
    print(f"warning: {plain(text)}", file=sys.stderr)


def inform(text: str) -> None:
    """A line on standard error that is no warning."""
    print(plain_lines(text), file=sys.stderr)


def write_json(value: Any) -> None:
    """JSON on standard output, in ASCII: what cannot be printed is an escape sequence of JSON.

    Programs get it in one line, which is written many times faster.
    """
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None, allow_nan=False))

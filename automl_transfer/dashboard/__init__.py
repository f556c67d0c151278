"""The pages that show studies. They only read, and load neither torch, optuna nor scikit-learn.

``app.py`` and :mod:`automl_transfer.dashboard.page` call :func:`main` once for each run of the
page; :func:`automl_transfer.dashboard.launch.command_line` starts the server.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Draws the page that the address in the browser asks for."""
    from automl_transfer.dashboard.frame import main as draw

    draw()

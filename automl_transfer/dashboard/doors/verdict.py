"""The page *verdict*."""

from __future__ import annotations

from automl_transfer.dashboard.frame import show
from automl_transfer.dashboard.verdict_page import draw

if __name__ == "__main__":
    show("verdict", draw)

"""The page *compare*."""

from __future__ import annotations

from automl_transfer.dashboard.compare_page import draw
from automl_transfer.dashboard.frame import show

if __name__ == "__main__":
    show("compare", draw)

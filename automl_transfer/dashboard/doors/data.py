"""The page *data*."""

from __future__ import annotations

from automl_transfer.dashboard.data_page import draw
from automl_transfer.dashboard.frame import show

if __name__ == "__main__":
    show("data", draw)

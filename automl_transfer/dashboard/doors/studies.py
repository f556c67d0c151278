"""The page *studies*."""

from __future__ import annotations

from automl_transfer.dashboard.frame import show_studies

if __name__ == "__main__":
    show_studies()

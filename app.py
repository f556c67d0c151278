"""Streamlit entry: ``streamlit run app.py -- --studies DIR`` shows the studies in ``DIR``."""

from __future__ import annotations

from automl_transfer.dashboard import main

main()

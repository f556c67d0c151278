"""The script that ``automl-transfer dashboard`` hands to Streamlit."""

from __future__ import annotations

from automl_transfer.dashboard import main

if __name__ == "__main__":
    main()

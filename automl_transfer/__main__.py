"""``python -m automl_transfer``, the same as ``automl-transfer``."""

from __future__ import annotations

import sys

from automl_transfer.cli import main

if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env bash
# Everything that needs a CUDA device, in one command: the tests, then the tables that depend on it.
#   bash benchmarks/gpu.sh DATA_DIR [BOUNDARY_OPTIONS...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=$1
shift
python -m pytest -m gpu
python benchmarks/extraction.py --device cuda --write
python benchmarks/boundary.py --device cuda --data "$data" --write "$@"

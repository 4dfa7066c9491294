#!/usr/bin/env bash
# Training speed on one GPU, the authors' settings against ours, in less than ten minutes: see docs/gpu.md.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=. HF_HUB_OFFLINE=1
exec "${PYTHON:-python3}" benchmarks/gpu.py --seconds 540 "$@"

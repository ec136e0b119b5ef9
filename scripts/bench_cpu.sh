#!/usr/bin/env bash
# Times the CPU engine on a model, in turn with the dense network and ONNX Runtime.
#
#   scripts/bench_cpu.sh [MODEL]     models/fashion-resnet.onnx by default
#
# The numbers go to bench/results/<model>.json.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

model=${1:-models/fashion-resnet.onnx}
mkdir -p bench/results
build/release/wins bench "$model" --json "bench/results/$(basename "$model" .onnx).json"

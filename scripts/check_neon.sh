#!/usr/bin/env bash
# Builds the Winograd kernels for 64-bit Arm and checks them under an emulator. Needs (Debian) g++-aarch64-linux-gnu,
# qemu-user and the headers of Highway and fmt that a build needs anyway.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=build/neon
mkdir -p "$folder/include"
# These headers alone: the rest of /usr/include belongs to this machine's architecture.
ln -sfn /usr/include/hwy "$folder/include/hwy"
ln -sfn /usr/include/fmt "$folder/include/fmt"
# One target, chosen when compiling: nothing is needed of Highway's library.
aarch64-linux-gnu-g++ -std=c++20 -O2 -fopenmp -DHWY_COMPILE_ONLY_STATIC -DFMT_HEADER_ONLY -I"$folder/include" \
  -Isrc/base/include -Isrc/winograd/include -Isrc/graph/include -Isrc/runtime/include -Isrc/runtime/cpu \
  src/base/tensor.cpp src/base/parallel.cpp src/winograd/*.cpp \
  src/runtime/cpu/winograd_{kernels,pack,convolution}.cpp src/runtime/cpu/cost.cpp \
  tests/runtime/cpu/neon/check.cpp -o "$folder/check"
qemu-aarch64 -L /usr/aarch64-linux-gnu "$folder/check"

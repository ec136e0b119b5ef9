# Each target sets up what it needs first; that costs a moment when everything is there.

.DEFAULT_GOAL := help
.PHONY: help setup build build-cuda demo test test-asan test-tsan test-cuda fuzz bench-cpu bench-cuda bench-layers docs-check install clean

# WINS_FLAGS goes to every configure step, e.g. make build WINS_FLAGS=-DWINS_TRAINING=OFF
WINS_FLAGS ?=
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60

ifneq ($(findstring WINS_TRAINING=OFF,$(WINS_FLAGS)),)
SETUP_FLAGS := --no-training
endif

export CMAKE_BUILD_PARALLEL_LEVEL ?= $(JOBS)
export CTEST_PARALLEL_LEVEL ?= $(JOBS)

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## install all dependencies, pinned and cached (Debian 12, Ubuntu 24.04)
	@scripts/setup.sh $(SETUP_FLAGS)

build: setup  ## compile; the tool is build/release/wins
	cmake --preset release $(WINS_FLAGS)
	cmake --build build/release

demo: build  ## prune, fine-tune, run and report a real network: out/demo
	build/release/wins demo --out out/demo

test: build  ## all tests
	ctest --test-dir build/release --output-on-failure

test-asan: setup  ## all tests under the address and undefined behaviour sanitizers
	cmake --preset asan $(WINS_FLAGS)
	cmake --build build/asan
	ctest --test-dir build/asan --output-on-failure

test-tsan: setup  ## the tests of the runtime and its threads under the thread sanitizer
	cmake --preset tsan
	cmake --build --preset tsan
	ctest --preset tsan

# CUDA 13 and cuDNN 9 come from NVIDIA, not from setup; CUDA_FLAGS="-DCMAKE_CUDA_ARCHITECTURES=90a-real" builds for one GPU alone.
CUDA_FLAGS ?=
build-cuda: setup  ## compile with the CUDA backend; the tool is build/cuda/wins
	cmake --preset cuda $(CUDA_FLAGS)
	cmake --build build/cuda

# Tests of kernels of our own that share memory between threads; a tool that watches every access makes the large ones too slow.
OWN_KERNELS := CudaLayers.*:CudaColumns.*:CudaLines.*:CudaStem.*:CudaWinogradPool.*:CudaEquivalent.*:Operators.*Winograd*:Operators.GemmOfFewRows:CudaNonzeros.*:CudaCompanion.*
test-cuda: build-cuda  ## the tests of the CUDA backend, and compute-sanitizer over its own kernels, on a machine with a GPU
	build/cuda/test_runtime_cuda
	scripts/wgmma_check.py build/cuda/libwins_runtime_cuda.a
	compute-sanitizer --tool memcheck --error-exitcode 1 build/cuda/test_runtime_cuda --gtest_filter='$(OWN_KERNELS)'
	WINS_TEST_LARGEST_LAYER=1000000 compute-sanitizer --tool racecheck --error-exitcode 1 build/cuda/test_runtime_cuda --gtest_filter='$(OWN_KERNELS):-*ManyBlocks*'
	compute-sanitizer --tool synccheck --error-exitcode 1 build/cuda/test_runtime_cuda --gtest_filter='$(OWN_KERNELS)'

bench-cuda: build-cuda  ## time the CUDA backend in turn with PyTorch (which must be there, with torchvision) on one GPU, and single layers
	python3 bench/cuda.py $(BENCH_FLAGS)
	python3 bench/cuda_layers.py

fuzz: setup  ## each fuzz target for FUZZ_SECONDS (60), starting from fuzz/corpus
	scripts/fuzz.sh $(FUZZ_SECONDS)

# BENCH_FLAGS=--quick is one network in a minute; bench/cpu.py --help lists the rest (--latency-runs 1000, --add).
BENCH_FLAGS ?=
bench-cpu: build  ## time the CPU engine in turn with five peers on the networks of the paper
	scripts/bench_cpu.sh $(BENCH_FLAGS)

# LAYERS: cases in place of the list, as a plan prints them, and options (build/release/bench_layers --help).
LAYERS ?= --batch-file bench/layers/shapes.txt
bench-layers: build  ## time single layers against oneDNN's direct convolution, kernel by kernel
	build/release/bench_layers $(LAYERS)

docs-check: build  ## run every command that the README shows
	python3 scripts/docs_check.py

install: build  ## install to PREFIX (/usr/local)
	cmake --install build/release --prefix $(PREFIX)

clean:  ## remove all build folders and out/
	rm -rf build out

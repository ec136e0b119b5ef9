#!/usr/bin/env python3
"""Times this engine and dense peers on one NVIDIA GPU, in turn, in one process; writes bench/results/cuda.json.

    bench/cuda.py [--quick] [--networks resnet18 ...] [--batches 1 64] [--precisions fp16] [--add] [--missing] [--minutes 9]

Networks come from `wins zoo` with random weights, 224x224, the pruned ones from `wins prune` on those weights, at the
paper's ratios. Peers are PyTorch with the same weights and folded batch norm: in a CUDA graph with cuDNN's search, channels last
and, in fp32, contiguous too; and by torch.compile (max-autotune; where --compile-library says so, without kernels that it generates for products
and convolutions, whose search takes up to ten minutes a case in fp32); and ONNX Runtime where it has CUDA. Inputs and
outputs lie in device memory: PyTorch's in its precision and layout, ours in float32 NCHW, whose conversion is part of our time.

Every session is checked before and after it is timed, all pictures of its batch: dense networks against PyTorch in float32, pruned
ones against this engine's CPU backend on the same file. What is not within the bound of its precision is not written.

A whole run takes longer than an hour, most of it for torch.compile: --add keeps the rows of other cases in the file,
--missing leaves out cases that it has, --minutes starts no case after that time, and --compile says which cases get torch.compile.
"""

import argparse
import concurrent.futures
import copy
import datetime
import fnmatch
import json
import os
import pathlib
import sys
import tempfile
import time

import numpy as np
import onnx
import onnx.numpy_helper
import torch
import torchvision
from torch.fx.experimental.optimization import fuse

import cuda_table
import gpu_engines
import models
import record
from gpu_engines import BOUND, DTYPE, PICTURES, OnnxRuntimeCuda, TorchCompile, TorchGraph, Wins, gpu_state, precision_of_torch, relative_l2
from ratios import RATIO

ROOT = pathlib.Path(__file__).resolve().parent.parent
NETWORKS = ("resnet18", "vgg16", "resnet50", "squeezenet1_0", "densenet121")
VARIANTS = ("wins", "wins-b", "wins-ab", "wins-ab+bcbp", "fp", "wwp")
BCBP_BLOCK = 64  # the filters that share a list of columns in the kernel


def distinct_pictures():
    return np.random.default_rng(0).standard_normal((PICTURES, 3, 224, 224)).astype(np.float32)


def torch_network(model, name):
    """torchvision's network with the file's weights, batch norm folded."""
    network = getattr(torchvision.models, name)(weights=None).eval()
    values = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in onnx.load(str(model)).graph.initializer}
    state = network.state_dict()
    network.load_state_dict({key: values.get(key, state[key]) for key in state})
    return fuse(network)


def smooth_filters(file):
    """Correlates neighbouring taps of all 3x3 filters by a half, about as training does: WINS then keeps other positions than of white noise."""
    model = onnx.load(str(file))
    taps = np.array([(y, x) for y in range(3) for x in range(3)])
    correlation = 0.5 ** np.abs(taps[:, None] - taps[None]).sum(axis=-1)
    root = np.linalg.cholesky(correlation * 9 / correlation.sum())  # flat pictures keep their size
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4 and tuple(tensor.dims[2:]) == (3, 3):
            noise = onnx.numpy_helper.to_array(tensor)
            smooth = (noise.reshape(-1, 9) @ root.T).reshape(noise.shape).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(smooth, tensor.name))
    onnx.save(model, str(file))


class Network:
    """Files of a network by variant, and what each should answer to the pictures."""

    def __init__(self, tool, name, variants, folder, smooth):
        self.name, self.tool, self.folder = name, tool, folder
        dense = folder / f"{name}.onnx"
        models.wins(tool, "zoo", name, "--classes", 1000, "-o", dense)
        if smooth:
            smooth_filters(dense)
        if "wins-ab" in {variant.split("+")[0] for variant in variants}:
            models.noise.image_folder(folder / "noise")  # before several prune at once
        self.files = {"dense": dense}
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, (os.cpu_count() or 2) // 2)) as pool:
            work = {variant: pool.submit(models.prune, tool, name, variant, dense, folder, ["--backend", "cuda", "--timing-batch", 64], BCBP_BLOCK)
                    for variant in models.variants_of(name, variants)}
            self.files |= {variant: job.result() for variant, job in work.items()}
        self.pictures = distinct_pictures()
        np.save(folder / "pictures.npy", self.pictures)
        self.torch = torch_network(dense, name)
        self.expected = {variant: self._answer(variant) for variant in self.files}
        for form in ("direct", "fused", "staged"):
            self.expected[f"dense-{form}"] = self.expected["dense"]

    def _answer(self, variant):
        if variant == "dense":
            with precision_of_torch("fp32"), torch.inference_mode():
                return copy.deepcopy(self.torch).cuda()(torch.from_numpy(self.pictures).cuda()).float()
        out = self.folder / f"{variant}.npy"
        models.wins(self.tool, "run", self.files[variant], "--input", self.folder / "pictures.npy", "--output", out)
        return torch.from_numpy(np.load(out).reshape(PICTURES, -1)).cuda()

    def of_batch(self, values, batch):
        return values[torch.arange(batch) % PICTURES]

    def error(self, variant, y):
        return relative_l2(y.reshape(y.shape[0], -1), self.of_batch(self.expected[variant], y.shape[0]))


def makers(arguments, library, network, x, batch, precision):
    """{(engine, variant): how it is made}."""
    dtype, files = DTYPE[precision], network.files
    result = {("torch-graph", "dense"): lambda: TorchGraph(network.torch, x, dtype)}
    if precision == "fp32":
        result["torch-graph-nchw", "dense"] = lambda: TorchGraph(network.torch, x, dtype, torch.contiguous_format)
    for engine, patterns in (("torch-compile", arguments.compile), ("torch-compile-library", arguments.compile_library)):
        if any(fnmatch.fnmatch(f"{network.name}/{batch}/{precision}", pattern) for pattern in patterns):
            kept = arguments.compile_cache and arguments.compile_cache / f"{network.name}-{batch}-{precision}{engine.removeprefix('torch-compile')}.bin"
            result[engine, "dense"] = lambda engine=engine, kept=kept: TorchCompile(network.torch, x, dtype, kept, engine == "torch-compile-library")
    if arguments.onnxruntime:
        result["onnxruntime", "dense"] = lambda: OnnxRuntimeCuda(files["dense"], x, precision)
    for variant, file in files.items():
        result["wins", variant] = lambda file=file: Wins(library, file, x, precision)
        if arguments.tuned:
            times = network.folder / f"tuning-{precision}.txt"
            result["wins-tuned", variant] = lambda file=file: Wins(library, file, x, precision, f"tune=1,tune_cache={times}")
    result["wins", "dense-direct"] = lambda: Wins(library, files["dense"], x, precision, "winograd=0")
    for form in ("fused", "staged") if arguments.dense_winograd else ():
        result["wins", f"dense-{form}"] = lambda form=form: Wins(library, files["dense"], x, precision, f"force_kernel=cuda:winograd_{form}")
    return result


def open_contenders(arguments, library, network, x, batch, precision):
    """({key: contender}, {key: error}) of those whose output is right; the others get a line."""
    contenders, errors = {}, {}
    for key, make in makers(arguments, library, network, x, batch, precision).items():
        what = f"{network.name} batch {batch} {precision}: {' '.join(key)} left out"
        try:
            contender = make()
            error = network.error(key[1], contender.run())
        except Exception as failure:
            print(f"{what}: {str(failure).splitlines()[0]}", file=sys.stderr, flush=True)
            continue
        if error <= BOUND[precision]:
            contenders[key], errors[key] = contender, error
        else:
            print(f"{what}: its output is off by {error:.1e}", file=sys.stderr, flush=True)
            contender.close()
    return contenders, errors


def bench_case(arguments, library, network, batch, precision):
    x = network.of_batch(torch.from_numpy(network.pictures).cuda(), batch).contiguous()
    rows, device = [], torch.cuda.get_device_name()
    with precision_of_torch(precision):
        contenders, errors = open_contenders(arguments, library, network, x, batch, precision)
        times = gpu_engines.time_in_turn(contenders, arguments.rounds)
        if arguments.plans:
            print("\n".join(contender.plan() for contender in contenders.values() if isinstance(contender, Wins)))
        for key, contender in contenders.items():
            errors[key] = max(errors[key], network.error(key[1], contender.run()))
        for (engine, variant), contender in contenders.items():
            error, version = errors[engine, variant], contender.version()
            memory = contender.close()
            if not error <= BOUND[precision]:
                print(f"{network.name} batch {batch} {precision}: {engine} {variant} left out: off by {error:.1e} at the end", file=sys.stderr)
                continue
            rows.append({"network": network.name, "batch": batch, "precision": precision, "device": device, "engine": engine, "version": version,
                         "variant": variant, "ratio": 0 if variant.startswith("dense") else RATIO[network.name],
                         **gpu_engines.summary(times[engine, variant]), "memory_mb": round(memory, 1), "error": float(f"{error:.2g}")})
    print(cuda_table.text(rows), flush=True)
    return rows


class Record:
    """The result file, written after every case."""

    def __init__(self, arguments, library):
        self.path = arguments.output
        self.earlier = json.loads(self.path.read_text()) if arguments.add and self.path.exists() else {"runs": [], "rows": []}
        self.rows = []
        self.run = {"command": record.command("bench/cuda.py"), "version": library.wins_version().decode(),
                    "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "torch": torch.__version__,
                    "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "before": gpu_state()}

    def has(self, network, batch, precision):
        case = (torch.cuda.get_device_name(), network, batch, precision)
        return case in cuda_table.by_case(self.earlier["rows"])

    def add(self, rows):
        self.rows += rows
        self.run["after"] = gpu_state()
        kept = record.kept_rows(self.earlier, self.rows, cuda_table.CASE)
        record.write(self.path, {"runs": [*self.earlier["runs"], self.run], "rows": kept + self.rows})


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", default=ROOT / "build/cuda/wins")
    parser.add_argument("--lib", default=ROOT / "build/cuda/libwins.so")
    parser.add_argument("--quick", action="store_true", help="ResNet-18 at batch 64, without torch.compile: less than three minutes")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 64, 128])
    parser.add_argument("--precisions", nargs="+", default=list(DTYPE), choices=list(DTYPE))
    parser.add_argument("--variants", nargs="*", choices=models.METHODS, help="default: " + " ".join(VARIANTS))
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--smooth-filters", action="store_true", help="neighbouring taps of 3x3 filters correlated by a half, about as in trained networks")
    parser.add_argument("--compile", nargs="+", default=["*"], metavar="PATTERN",
                        help="cases that get torch.compile (minutes each), as NETWORK/BATCH/PRECISION with wildcards")
    parser.add_argument("--compile-library", nargs="+", default=[], metavar="PATTERN",
                        help="cases that get torch.compile with cuDNN's and cuBLAS's kernels alone (half a minute each)")
    parser.add_argument("--no-compile", dest="compile", action="store_const", const=[])
    parser.add_argument("--compile-cache", type=pathlib.Path, help="folder for what torch.compile makes, a file for each case: found there, it is not made again")
    parser.add_argument("--tuned", action="store_true", help="our networks a second time, their kernels chosen by timing (tune=1), as the peers' are")
    parser.add_argument("--dense-winograd", action="store_true", help="the dense network also with all 3x3 layers by the fused and by the staged Winograd kernel")
    parser.add_argument("--plans", action="store_true", help="print our plans")
    parser.add_argument("--add", action="store_true", help="keep the rows of other cases in --output")
    parser.add_argument("--missing", action="store_true", help="with --add: leave out cases that --output has")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no case after so many")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "bench/results/cuda.json")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.networks, arguments.batches, arguments.compile = ["resnet18"], [64], []
    if arguments.variants is None:
        arguments.variants = ("wins", "wins-b", "fp") if arguments.quick else VARIANTS
    reason = OnnxRuntimeCuda.missing()
    arguments.onnxruntime = not reason
    if reason:
        print(f"onnxruntime left out: {reason}", file=sys.stderr)
    return arguments


def main():
    end = time.monotonic()
    arguments = parse()
    end += arguments.minutes * 60
    library = gpu_engines.load_library(arguments.lib)
    results = Record(arguments, library)
    for name in arguments.networks:
        cases = [(batch, precision) for batch in arguments.batches for precision in arguments.precisions
                 if not (arguments.missing and results.has(name, batch, precision))]
        if not cases or time.monotonic() > end:
            continue
        with tempfile.TemporaryDirectory() as folder:
            network = Network(arguments.tool, name, arguments.variants, pathlib.Path(folder), arguments.smooth_filters)
            for batch, precision in cases:
                if time.monotonic() < end:
                    results.add(bench_case(arguments, library, network, batch, precision))
    if results.rows:
        print(f"\n{cuda_table.text(results.rows)}\nwrote {arguments.output}")


if __name__ == "__main__":
    main()

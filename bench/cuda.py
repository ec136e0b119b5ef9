#!/usr/bin/env python3
"""Times this engine and dense PyTorch on one NVIDIA GPU, in turn, in one process; writes bench/results/cuda.json.

    bench/cuda.py --tool build/cuda/wins --lib build/cuda/libwins.so [--networks resnet18 ...] [--batches 1 64]

Networks come from `wins zoo` with random weights, 224x224, the pruned ones from `wins prune` on those weights.
PyTorch's network has the same weights, folded batch norm, channels last, and runs as a CUDA graph; with --compile also
by torch.compile (max-autotune). Inputs and outputs lie in device memory: PyTorch's in its precision and layout, ours in
float32 NCHW, whose conversion is part of our time. Every output is compared with PyTorch's in float32 first.
"""

import argparse
import contextlib
import ctypes
import datetime
import json
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnx.numpy_helper
import torch
import torchvision
from torch.fx.experimental.optimization import fuse

from engines import _Tensor
from ratios import RATIO

ROOT = pathlib.Path(__file__).resolve().parent.parent
DTYPE = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# Relative L2 of the network's dense output against PyTorch in float32.
BOUND = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 8e-2}
WARM_UP = 10
PRUNED = ("wins", "wins-b", "wins-ab", "fp")


class Wins:
    """Our engine on the caller's stream and memory."""

    def __init__(self, library, model, x, precision, options=""):
        self.library = library
        self.model = ctypes.c_void_p()
        text = ",".join(filter(None, ["backend=cuda", f"precision={precision}", options]))
        self._check(library.wins_open(str(model).encode(), text.encode(), ctypes.byref(self.model)))
        self.x = x
        self.y = torch.empty((x.shape[0], 1000), dtype=torch.float32, device="cuda")
        self.input, self.output = self._describe(self.x), self._describe(self.y)

    def __del__(self):
        self.library.wins_free(self.model)

    @staticmethod
    def _describe(tensor):
        shape = (ctypes.c_int64 * 8)(*tensor.shape)
        return _Tensor(tensor.data_ptr(), tensor.numel() * 4, 0, tensor.dim(), shape)

    def _check(self, status):
        if status != 0:
            raise RuntimeError(self.library.wins_last_error().decode())

    def run(self):
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        self._check(self.library.wins_enqueue(self.model, ctypes.byref(self.input), ctypes.c_size_t(1),
                                              ctypes.byref(self.output), ctypes.c_size_t(1), stream))
        return self.y

    def plan(self):
        return self.library.wins_plan_text(self.model, ctypes.byref(self.input), ctypes.c_size_t(1)).decode()


def torch_network(model, name):
    """torchvision's network with the file's weights, batch norm folded, in float32 on the GPU."""
    network = getattr(torchvision.models, name)(weights=None).eval()
    values = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in onnx.load(str(model)).graph.initializer}
    state = network.state_dict()
    network.load_state_dict({key: values.get(key, state[key]) for key in state})
    return fuse(network).cuda().to(memory_format=torch.channels_last)


class TorchGraph:
    """PyTorch captured in a CUDA graph: cuDNN's kernels, chosen by its own search."""

    def __init__(self, network, x):
        self.x = x.contiguous(memory_format=torch.channels_last)
        stream = torch.cuda.Stream()
        with torch.inference_mode(), torch.cuda.stream(stream):
            for _ in range(3):
                network(self.x)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(self.graph):
            self.y = network(self.x)

    def run(self):
        self.graph.replay()
        return self.y


class TorchCompile:
    def __init__(self, network, x):
        self.x = x.contiguous(memory_format=torch.channels_last)
        self.network = torch.compile(network, mode="max-autotune")
        for _ in range(3):
            self.run()

    def run(self):
        with torch.inference_mode():
            return self.network(self.x)


@contextlib.contextmanager
def precision_of_torch(precision):
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    yield
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def microseconds(contender):
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    contender.run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1e3


def time_in_turn(contenders, rounds):
    times = {name: [] for name in contenders}
    for contender in contenders.values():
        for _ in range(WARM_UP):
            contender.run()
    torch.cuda.synchronize()
    for _ in range(rounds):
        for name, contender in contenders.items():
            times[name].append(microseconds(contender))
    return times


def make_models(arguments, name, folder):
    """Files by variant: the dense network, and pruned ones at the paper's ratio."""
    files = {"dense": folder / f"{name}.onnx"}
    run = lambda *words: subprocess.run([arguments.tool, *map(str, words), "--quiet"], check=True, stdout=subprocess.DEVNULL)
    run("zoo", name, "--classes", 1000, "-o", files["dense"])
    for variant in arguments.variants:
        words = variant.split("+")
        files[variant] = folder / f"{name}-{variant}.onnx"
        extra = ["--strided"] if "strided" in words else []
        # Without pictures WINS-AB has nothing to weigh and keeps WINS.
        run("prune", files["dense"], "--method", words[0], "--criterion", "l2", "--ratio", RATIO[name] / 100, "--training", "none",
            "-o", files[variant], *extra)
    return files


def gpu_state():
    query = "name,driver_version,clocks.sm,clocks.mem,temperature.gpu,power.draw"
    values = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True).stdout
    return dict(zip(query.split(","), (v.strip() for v in values.strip().split(","))))


def relative_l2(got, want):
    return float((got.double() - want.double()).norm() / want.double().norm())


def bench_case(arguments, library, files, name, batch, precision):
    torch.manual_seed(0)
    x = torch.randn(batch, 3, 224, 224, device="cuda")
    network = torch_network(files["dense"], name)
    with precision_of_torch("fp32"), torch.inference_mode():
        reference = network(x.contiguous(memory_format=torch.channels_last)).float()
    dtype = DTYPE[precision]
    contenders, errors = {}, {}
    with precision_of_torch(precision):
        contenders["torch-graph", "dense"] = TorchGraph(network.to(dtype), x.to(dtype))
        if arguments.compile:
            contenders["torch-compile", "dense"] = TorchCompile(network.to(dtype), x.to(dtype))
        for variant, file in files.items():
            contenders["wins", variant] = Wins(library, file, x, precision)
        contenders["wins", "dense-direct"] = Wins(library, files["dense"], x, precision, "winograd=0")
        for key, contender in contenders.items():
            if key[1].startswith("dense"):
                errors[key] = relative_l2(contender.run(), reference)
                if not errors[key] <= BOUND[precision]:
                    raise RuntimeError(f"{name} batch {batch} {precision}: {key} is off by {errors[key]:.1e}")
        times = time_in_turn(contenders, arguments.rounds)
    rows = []
    for (engine, variant), values in times.items():
        rows.append({"network": name, "batch": batch, "precision": precision, "engine": engine, "variant": variant,
                     "version": torch.__version__ if engine.startswith("torch") else library.wins_version().decode(),
                     "ratio": RATIO[name] if not variant.startswith("dense") else 0, "median_ms": round(statistics.median(values) / 1e3, 4),
                     "min_ms": round(min(values) / 1e3, 4), "error": errors.get((engine, variant))})
    best = min(row["median_ms"] for row in rows if row["engine"] != "wins")
    for row in rows:
        print(f"{name:14} {batch:4} {precision} {row['engine']:14} {row['variant']:14} {row['median_ms']:9.3f} ms {best / row['median_ms']:6.2f}x", flush=True)
    if arguments.plans:
        print(contenders["wins", arguments.variants[0]].plan())
    return rows


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", default=ROOT / "build/cuda/wins")
    parser.add_argument("--lib", default=ROOT / "build/cuda/libwins.so")
    parser.add_argument("--networks", nargs="+", default=["resnet18", "vgg16", "resnet50", "squeezenet1_0", "densenet121"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 64, 128])
    parser.add_argument("--precisions", nargs="+", default=list(DTYPE), choices=list(DTYPE))
    parser.add_argument("--variants", nargs="+", default=["wins", "wins-b", "fp"],
                        help="methods, and with +strided the layers of stride 2 too")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--compile", action="store_true", help="torch.compile too: minutes for each case")
    parser.add_argument("--plans", action="store_true", help="print the plan of the first variant")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench/results/cuda.json")
    return parser.parse_args()


def main():
    arguments = parse()
    library = ctypes.CDLL(str(arguments.lib))
    for function in ("wins_version", "wins_last_error", "wins_plan_text"):
        getattr(library, function).restype = ctypes.c_char_p
    record = {"command": shlex.join(sys.argv), "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "device": gpu_state(), "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "rows": []}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.networks:
            files = make_models(arguments, name, pathlib.Path(folder))
            for batch in arguments.batches:
                for precision in arguments.precisions:
                    record["rows"] += bench_case(arguments, library, files, name, batch, precision)
    record["device_after"] = gpu_state()
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()

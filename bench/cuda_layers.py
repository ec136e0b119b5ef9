#!/usr/bin/env python3
"""Times single 3x3 layers on one NVIDIA GPU beside cuDNN's, in turn, in one process; writes bench/results/cuda-layers.json.

    bench/cuda_layers.py [--shapes 64@56 512@7] [--batch 128] [--precisions fp16] [--ratio 84] [--depth 8]

A layer is a convolution, 3x3, stride 1, pad 1, as many output channels as input channels, with bias and ReLU. It is timed inside a CUDA graph,
as the difference of a chain of 1 + depth such layers and a chain of one, over depth: so neither launches nor the conversion
of a network's input and output count, and a layer reads what the one before it has just written, as in a network. Peers are PyTorch's
convolution and cuDNN's with bias and ReLU in it, channels last and contiguous, with cuDNN's search; the best counts.

The floor of a layer is the larger of two times: its bytes (input, output and kept weights once) over the bandwidth of a large copy, and
its multiplications (those of the kernel that runs: products of kept Winograd rows, or of a direct convolution) over the rate of
a large matrix product in the same precision, both measured here. fp32 may be three products of TF32 parts: a third of TF32's rate.
"""

import argparse
import concurrent.futures
import datetime
import json
import math
import pathlib
import re
import statistics
import sys
import tempfile

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

import gpu_engines
import models
import record
from gpu_engines import BOUND, DTYPE, PICTURES, TorchGraph, Wins, gpu_state, precision_of_torch, relative_l2

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHAPES = ("64@56", "128@28", "256@14", "512@7", "256@56", "512@28")
VARIANTS = ("dense", "wins", "wins-b", "wins+round8")
COPY_BYTES, MATRIX = 2 << 30, 8192
TIME_LIMIT_US = 1e6  # of one contender, in all rounds


def make_chain(file, channels, size, layers, gain):
    """An ONNX network of `layers` convolutions with ReLU; `gain` keeps the size of the activations when rows are pruned."""
    random = np.random.default_rng(channels)
    nodes, weights, value = [], [], "x"
    for i in range(layers):
        w = (random.standard_normal((channels, channels, 3, 3)) * gain * math.sqrt(2 / (9 * channels))).astype(np.float32)
        b = (random.standard_normal(channels) * 0.1).astype(np.float32)
        weights += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        result = "y" if i == layers - 1 else f"r{i}"
        nodes += [helper.make_node("Conv", [value, f"w{i}", f"b{i}"], [f"c{i}"], f"conv{i}", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
                  helper.make_node("Relu", [f"c{i}"], [result], f"relu{i}")]
        value = result
    tensor = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, size, size])
    graph = helper.make_graph(nodes, "chain", [tensor("x")], [tensor("y")], weights)
    file.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())


class TorchChain(torch.nn.Module):
    """The same network; `fused`: bias and ReLU by cuDNN's call."""

    def __init__(self, file, fused):
        super().__init__()
        values = [torch.from_numpy(numpy_helper.to_array(t).copy()) for t in onnx.load(str(file)).graph.initializer]
        self.weights, self.biases = torch.nn.ParameterList(values[::2]), torch.nn.ParameterList(values[1::2])
        self.fused = fused

    def forward(self, x):
        for w, b in zip(self.weights, self.biases):
            if self.fused:
                x = torch.cudnn_convolution_relu(x, w, b, (1, 1), (1, 1), (1, 1), 1)
            else:
                x = torch.nn.functional.conv2d(x, w, b, padding=1).relu_()
        return x


class Layer:
    """A shape: its chains by variant and length, what they should answer, and how many rows each variant keeps."""

    def __init__(self, options, shape, folder):
        self.shape, self.options = shape, options
        self.channels, self.size = map(int, shape.split("@"))
        self.lengths = (1, 1 + options.depth)
        random = np.random.default_rng(1)
        self.pictures = np.abs(random.standard_normal((PICTURES, self.channels, self.size, self.size))).astype(np.float32)
        np.save(folder / f"{shape}.npy", self.pictures)
        self.files, self.expected, self.kept_rows = {}, {}, {}
        for variant in VARIANTS:
            for length in self.lengths:
                self._make(variant, length, folder)

    def _make(self, variant, length, folder):
        tool, stem = self.options.tool, folder / f"{self.shape}-{variant}-{length}"
        file, out = stem.with_suffix(".onnx"), stem.with_suffix(".npy")
        pruned = variant != "dense"
        make_chain(file, self.channels, self.size, length, 1 / math.sqrt(1 - self.options.ratio / 100) if pruned else 1)
        if pruned:
            log = stem.with_suffix(".json")
            models.wins(tool, "prune", file, *models.method_words(variant, self.options.ratio / 100), "-o", file, "--json", log)
            layers = json.loads(log.read_text())["layers"][-self.options.depth:]
            self.kept_rows[variant] = statistics.mean(sum(layer["kept"]) for layer in layers)
        models.wins(tool, "run", file, "--input", folder / f"{self.shape}.npy", "--output", out)
        self.files[variant, length] = file
        self.expected[variant, length] = torch.from_numpy(np.load(out)).cuda()

    def of_batch(self, values):
        return values[torch.arange(self.options.batch) % PICTURES]

    def multiplications(self, variant, kernel):
        """Of one layer, as this kernel computes it."""
        direct = 9 * self.channels ** 2 * self.size ** 2 * self.options.batch
        if "winograd" not in kernel:
            return direct
        tiles = math.ceil(self.size / 2) ** 2 * self.options.batch
        return self.kept_rows.get(variant, 16 * self.channels) * self.channels * tiles

    def bytes(self, variant, kernel, element):
        weights = 9 * self.channels if "winograd" not in kernel else self.kept_rows.get(variant, 16 * self.channels)
        return element * (2 * self.channels * self.size ** 2 * self.options.batch + weights * self.channels)


def kernels_of(plan):
    """Names of the kernels that the chain's layers run by, but the first's: it reads the input's conversion."""
    names = re.findall(r"^conv\d+ .*?(cuda:\S+)", plan, re.MULTILINE)
    return "+".join(sorted(set(names[1:] or names)))


def open_all(layer, library, precision):
    """({(engine, variant, length): contender}, {the same: error}); what is wrong or cannot be made gets a line."""
    x, dtype = layer.of_batch(torch.from_numpy(layer.pictures).cuda()).contiguous(), DTYPE[precision]
    makers = {}
    for length in layer.lengths:
        dense = layer.files["dense", length]
        for fused in (False, True):
            for layout in (torch.channels_last, torch.contiguous_format):
                name = f"{'conv2d+bias+relu' if fused else 'conv2d, relu'}, {str(layout).split('.')[-1].replace('_format', '')}"
                makers[name, "dense", length] = lambda d=dense, f=fused, m=layout: TorchGraph(TorchChain(d, f), x, dtype, m)
        for variant in VARIANTS:
            makers["wins", variant, length] = lambda f=layer.files[variant, length]: Wins(library, f, x, precision)
    contenders, errors = {}, {}
    for key, make in makers.items():
        try:
            contender = make()
            error = relative_l2(contender.run(), layer.of_batch(layer.expected[key[1:]]))
            if not error <= BOUND[precision]:
                contender.close()
                raise RuntimeError(f"its output is off by {error:.1e}")
            contenders[key], errors[key] = contender, error
        except Exception as failure:
            print(f"{layer.shape} {precision}: {' '.join(map(str, key))} left out: {str(failure).splitlines()[0]}", file=sys.stderr)
    return contenders, errors


def bench_layer(layer, library, precision, ceilings):
    options = layer.options
    with precision_of_torch(precision):
        contenders, errors = open_all(layer, library, precision)
        times = gpu_engines.time_in_turn(contenders, options.rounds, TIME_LIMIT_US)
        plans = {key: contender.plan() for key, contender in contenders.items() if key[0] == "wins"}
        versions = {key: contender.version() for key, contender in contenders.items()}
        for contender in contenders.values():
            contender.close()
    rows = []
    for engine, variant, length in contenders:
        one, chain = (engine, variant, 1), (engine, variant, 1 + options.depth)
        if length == 1 or one not in times:
            continue  # a chain alone says nothing
        us = (statistics.median(times[chain]) - statistics.median(times[one])) / options.depth
        if us <= 0:
            print(f"{layer.shape} {precision}: {engine} {variant} left out: the longer chain took no longer", file=sys.stderr)
            continue
        kernel = kernels_of(plans[chain]) if engine == "wins" else engine
        moved = layer.bytes(variant, kernel, torch.finfo(DTYPE[precision]).bits // 8)
        flop = 2 * layer.multiplications(variant, kernel)
        floor = max(moved / ceilings["bytes_per_us"], flop / ceilings["flop_per_us"][precision])
        rows.append({"shape": layer.shape, "batch": options.batch, "precision": precision, "device": torch.cuda.get_device_name(),
                     "engine": "wins" if engine == "wins" else "cudnn", "version": versions[chain], "kernel": kernel, "variant": variant,
                     "ratio": 0 if variant == "dense" else options.ratio, "us": round(us, 2), "tb_per_s": round(moved / us * 1e-6, 3),
                     "tflop_per_s": round(flop / us * 1e-6, 1), "floor_us": round(floor, 2), "floor_fraction": round(floor / us, 3),
                     "error": float(f"{errors[chain]:.2g}")})
    peers = [row for row in rows if row["engine"] == "cudnn"]
    best = min(peers, key=lambda row: row["us"], default=None)
    rows = ([best] if best else []) + [row for row in rows if row["engine"] == "wins"]
    for row in rows:
        row["vs_cudnn"] = round(best["us"] / row["us"], 3) if best else None
    print(text(rows), flush=True)
    return rows


def best_time(body, rounds=5):
    body()
    return min(gpu_engines.microseconds(type("Body", (), {"run": staticmethod(body)})) for _ in range(rounds))


def measure_ceilings():
    a = torch.ones(COPY_BYTES // 4, device="cuda")
    b = torch.empty_like(a)
    ceilings = {"bytes_per_us": 2 * COPY_BYTES / best_time(lambda: b.copy_(a)), "flop_per_us": {}}
    for precision, dtype in DTYPE.items():
        m = torch.randn(MATRIX, MATRIX, device="cuda").to(dtype)
        with precision_of_torch(precision):
            ceilings["flop_per_us"][precision] = 2 * MATRIX ** 3 / best_time(lambda: m @ m)
    rates = ceilings["flop_per_us"]
    if "tf32" in rates and "fp32" in rates:
        rates["fp32"] = max(rates["fp32"], rates["tf32"] / 3)
    return ceilings


def text(rows):
    lines = [f"{'shape':8} {'prec':4} {'variant':11} {'us':>8} {'TB/s':>6} {'TFLOP/s':>8} {'floor us':>8} {'of floor':>8} {'vs cuDNN':>8}  kernel"]
    for row in rows:
        lines.append(f"{row['shape']:8} {row['precision']:4} {row['variant']:11} {row['us']:8.1f} {row['tb_per_s']:6.2f} {row['tflop_per_s']:8.1f} "
                     f"{row['floor_us']:8.1f} {row['floor_fraction']:8.2f} {row['vs_cudnn'] or math.nan:7.2f}x  {row['kernel']}")
    return "\n".join(lines)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", default=ROOT / "build/cuda/wins")
    parser.add_argument("--lib", default=ROOT / "build/cuda/libwins.so")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), help="CHANNELS@SIZE")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precisions", nargs="+", default=list(DTYPE), choices=list(DTYPE))
    parser.add_argument("--ratio", type=float, default=84, help="percent")
    parser.add_argument("--depth", type=int, default=8, help="layers that are timed")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--add", action="store_true", help="keep the rows of other cases in --output")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "bench/results/cuda-layers.json")
    return parser.parse_args()


def main():
    options = parse()
    library = gpu_engines.load_library(options.lib)
    earlier = json.loads(options.output.read_text()) if options.add and options.output.exists() else {"runs": [], "rows": []}
    run = {"command": record.command("bench/cuda_layers.py"), "torch": torch.__version__, "cudnn": torch.backends.cudnn.version(),
           "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "before": gpu_state(), "ceilings": measure_ceilings()}
    print(json.dumps(run["ceilings"]))
    rows = []
    with tempfile.TemporaryDirectory() as name:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            layers = list(pool.map(lambda shape: Layer(options, shape, pathlib.Path(name)), options.shapes))
        for layer in layers:
            for precision in options.precisions:
                rows += bench_layer(layer, library, precision, run["ceilings"])
                run["after"] = gpu_state()
                kept = record.kept_rows(earlier, rows, ("device", "shape", "batch", "precision"))
                record.write(options.output, {"runs": [*earlier["runs"], run], "rows": kept + rows})
    print(f"\n{text(rows)}\nwrote {options.output}")


if __name__ == "__main__":
    main()

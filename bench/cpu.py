#!/usr/bin/env python3
"""Times this engine and its peers on the CPU, in turn, in one run; writes bench/results/cpu.json and prints a table.

    bench/cpu.py [--quick] [--networks resnet18 ...] [--batches 1 8] [--threads 2] [--rounds 15]

Networks come from `wins zoo` with random weights (speed does not depend on them), 224x224, and one is the demo's, with
trained weights; the pruned ones from `wins prune` on those weights; WINS-AB, which compares accuracies, gets a few pictures of noise. Every engine's output is
compared with the reference engine's before anything is timed. At batch 8 this engine also runs on one thread.
--latency-runs 1000 runs each of its variants so often without a pause: how far is the 99th percentile from the median?
"""

import argparse
import contextlib
import datetime
import json
import math
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import models
import record
from engines import ENGINES
from models import METHODS, variants_of
from ratios import RATIO

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
SETTLE_S = 0.1       # after an engine whose workers spin on for a while
OUR_BOUND = 1e-4     # relative L2 of the network's output against the reference engine
PEER_BOUND = 1e-2    # the same for peers in fp32 (some trade precision for speed); int8 is not held to it
PEERS = ("onnxruntime", "openvino", "ncnn", "mnn", "pytorch", "onnxruntime-int8")
# The demo's network: trained weights, in place of random ones.
TRAINED = {"fashion-resnet": ROOT / "models/fashion-resnet.onnx"}
SHAPE = {"fashion-resnet": (1, 28, 28)}
ZOO_SHAPE = (3, 224, 224)
ONE_THREAD = ("dense", "wins")  # variants that run on one thread too, at SCALING_BATCH
SCALING_BATCH = 8


class Worker:
    """An engine in a process of its own."""

    def __init__(self, name, model, picture, threads, lib):
        self.name, self.threads, self.spins = name, threads, ENGINES[name].spins
        self.process = subprocess.Popen([sys.executable, HERE / "worker.py", name, model, picture, str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        env={**os.environ, "WINS_LIB": str(lib), "OMP_NUM_THREADS": str(threads)})
        answer = self._answer()
        self.version, self.open_ms = answer["version"], answer["open_ms"]

    def _answer(self):
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"{self.name}: the process ended"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def ask(self, order):
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def wins(*words):
    models.wins(ROOT / "build/release/wins", *words)


def models_of(network, folder, variants, threads):
    """{variant: file}."""
    dense = TRAINED.get(network, folder / f"{network}.onnx")
    if network not in TRAINED:
        wins("zoo", network, "-o", dense)
    files = {"dense": dense}
    for variant in variants_of(network, variants):
        files[variant] = models.prune(ROOT / "build/release/wins", network, variant, dense, folder, ["--threads", threads])
    return files


def pictures(network, batch):
    return np.random.default_rng(0).standard_normal((batch, *SHAPE.get(network, ZOO_SHAPE))).astype(np.float32)


def peer_files(network, dense, peers, folder):
    """{peer: file in its own format}; peers that cannot take the network are left out and named."""
    x = pictures(network, 1)
    files = {}
    for peer in peers:
        prepare = getattr(ENGINES[peer], "prepare", None)
        try:
            files[peer] = prepare(dense, folder, x) if prepare else dense
        except Exception as error:
            print(f"{dense.stem}: {peer} left out: {error}", file=sys.stderr)
    return files


def open_workers(files, peers, network, batch, options, folder):
    """[(variant, worker, relative error)], each checked against the reference engine on one picture of the batch."""
    x = pictures(network, batch)
    picture = folder / f"x{batch}.npy"
    np.save(picture, x)
    one = folder / "x1.npy"
    np.save(one, x[:1])
    ours = [(variant, "wins", file, options.threads) for variant, file in files.items()]
    ours.append(("dense-direct", "wins-direct", files["dense"], options.threads))
    if batch == SCALING_BATCH and options.threads > 1:
        ours += [(variant, "wins", files[variant], 1) for variant in ONE_THREAD if variant in files]
    contenders = ours + [("dense", peer, file, options.threads) for peer, file in peers.items()]
    expected = {}
    for variant, file in files.items():
        out = folder / f"{network}-{variant}-y.npy"
        if not out.exists():
            wins("run", file, "--input", one, "--output", out, "--backend", "ref")
        expected[variant] = np.load(out)
    workers = []
    for variant, engine, file, threads in contenders:
        try:
            worker = Worker(engine, file, picture, threads, options.lib)
        except Exception as error:
            print(f"{network}, batch {batch}: {engine} left out: {error}", file=sys.stderr)
            continue
        worker_y = folder / "first.npy"
        worker.ask(f"save {worker_y}")
        y = np.load(worker_y).reshape(batch, -1)[:1]
        want = expected["dense" if variant == "dense-direct" else variant].reshape(1, -1)
        error = float(np.linalg.norm(y - want) / np.linalg.norm(want))
        bound = OUR_BOUND if engine.startswith("wins") else PEER_BOUND
        if engine != "onnxruntime-int8" and not error <= bound:
            sys.exit(f"cpu.py: {network}, {engine} {variant}: relative error {error:.1e} against the reference")
        workers.append((variant, worker, error))
    return workers


def time_in_turn(workers, rounds):
    """Microseconds of every round, by contender. Each runs once untimed before it is timed, so that its weights and
    threads are as they would be in a program of its own."""
    samples = [[] for _ in workers]
    for _ in range(rounds):
        for i, (_, worker, _) in enumerate(workers):
            worker.ask("run")
            samples[i].append(worker.ask("run")["us"])
            if worker.spins:
                time.sleep(SETTLE_S)
    return samples


def percentile(times, share):
    """Nearest rank."""
    return sorted(times)[math.ceil(share * len(times)) - 1]


def milliseconds(us):
    return round(us / 1e3, 3)


def latency(worker, runs):
    """Of runs without a pause; nothing for peers."""
    if runs == 0 or not worker.name.startswith("wins"):
        return {}
    times = worker.ask(f"runs {runs}")["us"]
    median, p99 = statistics.median(times), percentile(times, 0.99)
    return {"latency_runs": runs, "latency_median_ms": milliseconds(median), "latency_p99_ms": milliseconds(p99),
            "latency_p99_over_median": round(p99 / median, 3)}


def bench(network, batch, files, peers, options, folder):
    workers = open_workers(files, peers, network, batch, options, folder)
    samples = time_in_turn(workers, options.rounds)
    rows = []
    for (variant, worker, error), times in zip(workers, samples):
        ours = worker.name.startswith("wins")
        memory = worker.ask("memory")
        row = {"network": network, "batch": batch, "threads": worker.threads,
               "engine": "wins" if ours else worker.name, "version": worker.version, "variant": variant,
               "ratio": 0 if variant.startswith("dense") else RATIO[network],
               "median_ms": milliseconds(statistics.median(times)), "min_ms": milliseconds(min(times)),
               "p99_ms": milliseconds(percentile(times, 0.99)),
               "relative_error": float(f"{error:.1e}"), "open_ms": round(worker.open_ms, 1),
               "peak_rss_mb": round(memory["peak_rss_mb"])}
        if ours:
            row["workspace_mb"] = memory["workspace_mb"]
        rows.append(row | latency(worker, options.latency_runs))
        worker.close()
    return rows


def table(rows):
    lines = [f"{'network':14} {'batch':>5} {'engine':17} {'variant':13} {'ratio %':>7} {'threads':>7} {'median ms':>9} {'min ms':>8} "
             f"{'p99 ms':>8} {'open ms':>8} {'RSS MB':>6} {'vs best fp32 peer':>17} {'vs own dense':>12} {'vs 1 thread':>11}"]

    def median(row, **changes):
        """Of our row that differs from this one so; nothing when there is none."""
        wanted = {"network": row["network"], "batch": row["batch"], "threads": row["threads"], "engine": "wins"} | changes
        return next((r["median_ms"] for r in rows if all(r[key] == value for key, value in wanted.items())), None)

    def factor(time, row):
        return f"{time / row['median_ms']:.2f}x" if time else "-"

    for row in rows:
        best = min((r["median_ms"] for r in rows if r["engine"] not in ("wins", "onnxruntime-int8")
                    and all(r[key] == row[key] for key in ("network", "batch", "threads"))), default=None)
        own = median(row, variant="dense")
        single = median(row, variant=row["variant"], threads=1) if row["engine"] == "wins" else None
        lines.append(f"{row['network']:14} {row['batch']:5} {row['engine']:17} {row['variant']:13} {row['ratio']:7} {row['threads']:7} "
                     f"{row['median_ms']:9.2f} {row['min_ms']:8.2f} {row['p99_ms']:8.2f} {row['open_ms']:8.0f} {row['peak_rss_mb']:6} "
                     f"{factor(best, row):>17} {factor(own, row):>12} {factor(single, row):>11}")
    lines += [f"{row['network']}, batch {row['batch']}, {row['variant']}, {row['threads']} threads: the 99th percentile of {row['latency_runs']} "
              f"runs is {row['latency_p99_over_median']:.2f} times the median, {row['latency_median_ms']:.2f} ms"
              for row in rows if "latency_runs" in row]
    return "\n".join(lines)


def store(rows, earlier, path):
    """Rows of an `earlier` record stay where this run has none of the same network and batch."""
    kept = record.kept_rows(earlier, rows, ("network", "batch"))
    command = shlex.join(["bench/cpu.py", *sys.argv[1:]])
    if kept:
        command = f"{earlier['command']} && {command}"
    record.write(path, {"command": command, "host": host(), "date": datetime.date.today().isoformat(), "rows": kept + rows})


def host():
    with contextlib.suppress(OSError):
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                return {"cpu": line.split(":")[1].strip(), "cores": os.cpu_count(), "os": platform.release()}
    return {"cpu": platform.machine(), "cores": os.cpu_count(), "os": platform.release()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="ResNet-18, batch 1, dense and WINS")
    parser.add_argument("--networks", nargs="+", default=list(RATIO), choices=list(RATIO))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--latency-runs", type=int, default=0, metavar="N", help="N more runs of each of our variants, for the percentile")
    parser.add_argument("--variants", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--add", action="store_true", help="keep the rows of other networks in --output")
    parser.add_argument("--lib", type=pathlib.Path, default=ROOT / "build/release/libwins.so")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results/cpu.json")
    options = parser.parse_args()
    if options.quick:
        options.networks, options.batches, options.variants = ["resnet18"], [1], ["wins"]
    earlier = json.loads(options.output.read_text()) if options.add else {}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for network in options.networks:
            files = models_of(network, folder, options.variants, options.threads)
            peers = peer_files(network, files["dense"], options.peers, folder)
            for batch in options.batches:
                rows += bench(network, batch, files, peers, options, folder)
                store(rows, earlier, options.output)
    print(f"\n{table(rows)}\nwrote {options.output}")


if __name__ == "__main__":
    main()

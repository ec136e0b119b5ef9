#!/usr/bin/env python3
"""Measures pruning without training on the test split and appends rows to results/no-training.json.

Each row: `wins prune --training none` on calibration pictures that the seed draws from the training split, then `wins
eval` on the test split. A row of the same command is replaced. Seconds are
those of the whole prune command, peak_rss_mb is its resident memory. Standard library only.

    scripts/no_training.py r18-cifar.onnx --data data/cifar10 --dataset cifar10-jpeg --network resnet18 \
        --methods wins fp --ratios 0.5 0.7 0.84 --seeds 0 1 2 -- --calibration 2048
"""

import argparse
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEY = ("dataset", "network", "command")


def run(words):
    """(seconds, peak resident MB) of a command that must succeed."""
    start = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"no_training.py: failed: {shlex.join(words)}")
    return time.monotonic() - start, usage.ru_maxrss * 1024 / 1e6


def evaluate(binary, model, data, folder):
    record = folder / "eval.json"
    run([binary, "eval", str(model), "--data", data, "--quiet", "--json", str(record)])
    return json.loads(record.read_text())["top1"] * 100


def measure(options, method, ratio, seed, folder):
    """One row, without the dense network's accuracy."""
    model, record = folder / "pruned.onnx", folder / "prune.json"
    flags = ["--method", method, "--ratio", str(ratio), "--seed", str(seed), "--training", "none", "--held-out", "0",
             *options.flags]
    seconds, memory = run([options.wins, "prune", options.model, "--data", options.data, *flags, "--quiet", "-o", str(model),
                           "--json", str(record)])
    pruned = json.loads(record.read_text())
    shown = ["wins", "prune", pathlib.Path(options.model).name, "--data", options.dataset, *flags, "-o", "pruned.onnx"]
    return {
        "dataset": options.dataset,
        "network": options.network,
        "method": method,
        "criterion": pruned["criterion"],
        "ratio": round(ratio * 100, 2),
        "reached_ratio": round(pruned["ratio"] * 100, 2),
        "top1": round(evaluate(options.wins, model, options.data, folder), 2),
        "pictures": pruned["pictures"],
        "seconds": round(seconds, 1),
        "peak_rss_mb": round(memory),
        "host": pruned["host"],
        "version": pruned["version"],
        "seed": seed,
        "command": shlex.join(shown) + " && " + shlex.join(["wins", "eval", "pruned.onnx", "--data", options.dataset]),
    }


def store(path, row):
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    key = [row[name] for name in KEY]
    rows = [old for old in rows if [old[name] for name in KEY] != key] + [row]
    temporary = path.with_suffix(".tmp")
    temporary.write_text('{"rows": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]}\n")
    temporary.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--dataset", required=True, help="its name in the rows")
    parser.add_argument("--network", required=True, help="its name in the rows")
    parser.add_argument("--methods", nargs="+", default=["wins", "fp"])
    parser.add_argument("--ratios", nargs="+", type=float, default=[0.5, 0.7, 0.84])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--wins", default=str(ROOT / "build/release/wins"))
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "results/no-training.json")
    parser.epilog = "Flags behind -- go to wins prune."
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:cut])
    options.flags = words[cut + 1:]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        dense = round(evaluate(options.wins, options.model, options.data, folder), 2)
        for seed in options.seeds:
            for ratio in options.ratios:
                for method in options.methods:
                    row = measure(options, method, ratio, seed, folder)
                    row["dense_top1"], row["gap"] = dense, round(row["top1"] - dense, 2)
                    store(options.out, row)
                    print(f"{method} {ratio:.0%} seed {seed}: {row['top1']:.2f} ({row['gap']:+.2f}), {row['seconds']} s, "
                          f"{row['peak_rss_mb']} MB", flush=True)


if __name__ == "__main__":
    main()

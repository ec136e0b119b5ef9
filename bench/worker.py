"""One engine with one network in a process of its own; orders come as lines, answers go as JSON lines.

    worker.py ENGINE MODEL INPUT.npy THREADS

    run           {"us": microseconds of one run}
    runs N        {"us": [microseconds of each of N runs]}
    save FILE     writes the output as .npy
    memory        {"peak_rss_mb": ...}, with "workspace_mb" for wins
    plan          {"plan": text}   (wins alone)
"""

import importlib
import json
import os
import pathlib
import sys
import time

import numpy as np

from engines import ENGINES


def answer(stream, **values):
    print(json.dumps(values), file=stream, flush=True)


def peak_rss_mb():
    """Of this program alone: getrusage's figure begins with that of the process that started it."""
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def timed(engine):
    """(output, microseconds) of one run."""
    start = time.perf_counter()
    y = engine.run()
    return y, (time.perf_counter() - start) * 1e6


def memory(engine):
    known = {"peak_rss_mb": peak_rss_mb()}
    if hasattr(engine, "workspace_mb"):
        known["workspace_mb"] = engine.workspace_mb()
    return known


def main():
    name, model, picture, threads = sys.argv[1:]
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines that chatter do it on stderr
    try:
        kind, x = ENGINES[name], np.load(picture)
        for module in kind.modules:  # loading Python packages is not opening a network
            importlib.import_module(module)
        start = time.perf_counter()
        engine = kind(pathlib.Path(model), x, int(threads))
        open_ms = (time.perf_counter() - start) * 1e3
        y = engine.run()
        answer(stream, version=engine.version(), open_ms=open_ms)
        for line in sys.stdin:
            order, _, rest = line.strip().partition(" ")
            if order == "run":
                y, us = timed(engine)
                answer(stream, us=us)
            elif order == "runs":
                answer(stream, us=[timed(engine)[1] for _ in range(int(rest))])
            elif order == "save":
                np.save(rest, np.asarray(y, dtype=np.float32))
                answer(stream, saved=rest)
            elif order == "memory":
                answer(stream, **memory(engine))
            elif order == "plan":
                answer(stream, plan=engine.plan())
    except Exception as error:  # one line for the caller
        answer(stream, error=f"{name}: {error}".replace("\n", " "))


main()

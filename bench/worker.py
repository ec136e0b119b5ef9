"""One engine with one network in a process of its own; orders come as lines, answers go as JSON lines.

    worker.py ENGINE MODEL INPUT.npy THREADS

    run           {"us": microseconds of one run}
    save FILE     writes the output as .npy
    memory        {"peak_rss_mb": ...}
    plan          {"plan": text}   (wins alone)
"""

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


def main():
    name, model, picture, threads = sys.argv[1:]
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines that chatter do it on stderr
    try:
        start = time.perf_counter()
        engine = ENGINES[name](pathlib.Path(model), np.load(picture), int(threads))
        y = engine.run()
        answer(stream, version=engine.version(), open_s=time.perf_counter() - start)
        for line in sys.stdin:
            order, _, rest = line.strip().partition(" ")
            if order == "run":
                start = time.perf_counter()
                y = engine.run()
                answer(stream, us=(time.perf_counter() - start) * 1e6)
            elif order == "save":
                np.save(rest, np.asarray(y, dtype=np.float32))
                answer(stream, saved=rest)
            elif order == "memory":
                answer(stream, peak_rss_mb=peak_rss_mb())
            elif order == "plan":
                answer(stream, plan=engine.plan())
    except Exception as error:  # one line for the caller
        answer(stream, error=f"{name}: {error}".replace("\n", " "))


main()

"""Runs every NAME.onnx of a folder in ONNX Runtime and compares with NAME.data.

NAME.data is a serialized onnx.GraphProto: initialisers "bound" (one float), "levels" (1: without
ONNX Runtime's optimisations, 2: with all, 3: both), then the inputs and outputs by name. The output's relative L2 error may be at most the bound. Every file must pass
ONNX's checker, shape inference included. Exit status 1 when a file fails.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper


def read_record(path):
    record = onnx.GraphProto()
    record.ParseFromString(path.with_suffix(".data").read_bytes())
    return {t.name: numpy_helper.to_array(t) for t in record.initializer}


def check(path, tensors, level):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {i.name: tensors[i.name] for i in session.get_inputs()})
    worst = 0.0
    for info, found in zip(session.get_outputs(), outputs):
        wanted = tensors[info.name].astype(np.float64)
        if found.shape != wanted.shape:
            return f"shape {found.shape}, expected {wanted.shape}"
        error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
        worst = error if not error <= worst else worst
    bound = float(tensors["bound"].reshape(()))
    print(f"{path.name}: {worst:.2e} (bound {bound:.0e})")
    return "" if worst <= bound else f"relative L2 error {worst:.2e} > {bound:.0e}"


def main():
    files = sorted(pathlib.Path(sys.argv[1]).glob("*.onnx"))
    known = onnxruntime.GraphOptimizationLevel
    failures = []
    for path in files:
        onnx.checker.check_model(path, full_check=True)
        tensors = read_record(path)
        levels = int(tensors["levels"].reshape(()))
        for bit, level in ((1, known.ORT_DISABLE_ALL), (2, known.ORT_ENABLE_ALL)):
            why = check(path, tensors, level) if levels & bit else ""
            if why:
                failures.append(f"{path.name}: {why}")
    print("\n".join(failures))
    return 1 if failures or not files else 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs every NAME.onnx of a folder in ONNX Runtime and compares with NAME.data.

NAME.data is a serialized onnx.GraphProto: initialisers "bound" (one float), then the inputs and
outputs by name. The output's relative L2 error may be at most the bound. Every file must pass
ONNX's checker, shape inference included. Exit status 1 when a file fails.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper


def check(path, level):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    record = onnx.GraphProto()
    record.ParseFromString(path.with_suffix(".data").read_bytes())
    tensors = {t.name: numpy_helper.to_array(t) for t in record.initializer}
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
        worst = max(worst, np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
    bound = float(tensors["bound"].reshape(()))
    print(f"{path.name}: {worst:.2e} (bound {bound:.0e})")
    return "" if worst <= bound else f"relative L2 error {worst:.2e} > {bound:.0e}"


def main():
    files = sorted(pathlib.Path(sys.argv[1]).glob("*.onnx"))
    levels = onnxruntime.GraphOptimizationLevel
    failures = []
    for path in files:
        for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL):
            why = check(path, level)
            if why:
                failures.append(f"{path.name}: {why}")
    print("\n".join(failures))
    return 1 if failures or not files else 0


if __name__ == "__main__":
    sys.exit(main())

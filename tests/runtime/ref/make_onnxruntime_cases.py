"""Writes onnxruntime_windows.hpp and onnxruntime_others.hpp: what ONNX Runtime gives for single-node models.

The C++ test builds the same nodes as graph operators and compares. Run again only to add cases:
  python tests/runtime/ref/make_onnxruntime_cases.py
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def data(seed, *shape):
    """Exactly representable values in [-1.6, 1.6); known_values.hpp has the same formula."""
    index = np.arange(int(np.prod(shape)), dtype=np.int64)
    return (((index * 37 + seed * 101) % 199 - 99) / 64).astype(np.float32).reshape(shape)


def positive(seed, *shape):
    return data(seed, *shape) + np.float32(2)


def ints(*values):
    return np.array(values, np.int64)


def floats(*values):
    return np.array(values, np.float32)


X = data(1, 1, 2, 4, 5)
PLANE = data(1, 2, 3, 7, 6)
CASES = {
    "conv": ("Conv", [PLANE, data(2, 4, 3, 3, 3), data(3, 4)], dict(pads=[1, 0, 2, 1], strides=[2, 1])),
    "conv_groups": ("Conv", [data(1, 1, 4, 8, 7), data(2, 6, 2, 3, 2)],
                    dict(pads=[1, 1, 1, 1], dilations=[2, 1], group=2)),
    "conv_depthwise": ("Conv", [data(1, 1, 3, 6, 6), data(2, 3, 1, 5, 5), data(3, 3)], dict(pads=[2] * 4, group=3)),
    "conv_same_upper": ("Conv", [data(1, 1, 2, 7, 8), data(2, 2, 2, 3, 2)],
                        dict(auto_pad="SAME_UPPER", strides=[2, 3])),
    "conv_same_lower": ("Conv", [data(1, 1, 2, 7, 8), data(2, 2, 2, 4, 2)],
                        dict(auto_pad="SAME_LOWER", strides=[2, 1])),
    "transpose": ("ConvTranspose", [data(1, 1, 3, 4, 5), data(2, 3, 2, 3, 3), data(3, 2)],
                  dict(strides=[2, 3], pads=[1, 0, 2, 1], output_padding=[1, 2])),
    "transpose_groups": ("ConvTranspose", [data(1, 2, 4, 3, 3), data(2, 4, 1, 2, 3)],
                         dict(group=2, dilations=[2, 1], pads=[0, 1, 1, 0])),
    "transpose_shape": ("ConvTranspose", [data(1, 1, 2, 3, 4), data(2, 2, 2, 4, 3)],
                        dict(strides=[2, 2], output_shape=[5, 8])),
    "transpose_same": ("ConvTranspose", [data(1, 1, 2, 3, 4), data(2, 2, 2, 4, 3)],
                       dict(strides=[2, 2], auto_pad="SAME_UPPER")),
    "max_ceil": ("MaxPool", [data(1, 1, 2, 6, 7)], dict(kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)),
    "max_ceil_pads": ("MaxPool", [data(1, 1, 2, 5, 6)],
                      dict(kernel_shape=[2, 2], strides=[3, 3], pads=[1, 1, 1, 1], ceil_mode=1)),
    "max_dilated": ("MaxPool", [data(1, 1, 2, 6, 7)], dict(kernel_shape=[2, 3], dilations=[3, 2], pads=[1, 2, 1, 0])),
    "average": ("AveragePool", [data(1, 1, 2, 6, 7)], dict(kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])),
    "average_include": ("AveragePool", [data(1, 1, 2, 6, 7)],
                        dict(kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], count_include_pad=1)),
    "average_ceil": ("AveragePool", [data(1, 1, 2, 6, 7)],
                     dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)),
    "average_ceil_include": ("AveragePool", [data(1, 1, 2, 6, 8)],
                             dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1,
                                  count_include_pad=1)),
    "average_dilated": ("AveragePool", [data(1, 1, 2, 6, 7)],
                        dict(kernel_shape=[2, 2], dilations=[2, 3], pads=[1, 1, 1, 1])),
    "average_same": ("AveragePool", [data(1, 1, 2, 6, 7)],
                     dict(kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")),
    "global_average": ("GlobalAveragePool", [PLANE], {}),
    "global_max": ("GlobalMaxPool", [PLANE], {}),
    "batch_norm": ("BatchNormalization",
                   [PLANE, data(2, 3), data(3, 3), data(4, 3), positive(5, 3)], dict(epsilon=0.01)),
    "lrn_odd": ("LRN", [data(1, 1, 7, 2, 2)], dict(size=5, alpha=0.5, beta=0.6, bias=1.5)),
    "softmax": ("Softmax", [data(1, 2, 3, 4)], dict(axis=1)),
    "log_softmax": ("LogSoftmax", [data(1, 2, 3, 4)], dict(axis=-1)),
    "layer_norm": ("LayerNormalization", [data(1, 2, 3, 4), data(2, 3, 4), data(3, 3, 4)],
                   dict(axis=1, epsilon=0.01)),
    "gemm": ("Gemm", [data(1, 3, 4), data(2, 3, 5), data(3, 5)], dict(transA=1, alpha=0.5, beta=2.0)),
    "gemm_transposed": ("Gemm", [data(1, 4, 3), data(2, 5, 3), data(3, 4, 1)], dict(transB=1)),
    "matmul": ("MatMul", [data(1, 2, 1, 3, 4), data(2, 3, 4, 2)], {}),
    "matmul_vector": ("MatMul", [data(1, 4), data(2, 2, 4, 3)], {}),
    "reduce_mean": ("ReduceMean", [data(1, 2, 3, 4), ints(0, -1)], dict(keepdims=0)),
    "reduce_sum": ("ReduceSum", [data(1, 2, 3, 4), ints(1)], {}),
    "reduce_max": ("ReduceMax", [data(1, 2, 3, 4), ints(2)], {}),
    "reduce_min": ("ReduceMin", [data(1, 2, 3, 4)], {}),
    "reduce_l2": ("ReduceL2", [data(1, 2, 3, 4), ints(1, 2)], {}),
    "prelu": ("PRelu", [X, data(2, 2, 1, 1)], {}),
    "add": ("Add", [data(1, 2, 1, 3), data(2, 4, 1)], {}),
    "sub": ("Sub", [data(1, 2, 1, 3), data(2, 4, 1)], {}),
    "mul": ("Mul", [data(1, 2, 1, 3), data(2, 4, 1)], {}),
    "div": ("Div", [data(1, 2, 1, 3), positive(2, 4, 1)], {}),
    "pow": ("Pow", [positive(1, 2, 1, 3), data(2, 4, 1)], {}),
    "min": ("Min", [data(1, 2, 1, 3), data(2, 4, 1)], {}),
    "max": ("Max", [data(1, 2, 1, 3), data(2, 4, 1)], {}),
    "relu": ("Relu", [X], {}),
    "clip": ("Clip", [X, np.float32(-0.5), np.float32(0.75)], {}),
    "leaky_relu": ("LeakyRelu", [X], dict(alpha=0.125)),
    "sigmoid": ("Sigmoid", [X], {}),
    "tanh": ("Tanh", [X], {}),
    "hard_swish": ("HardSwish", [X * np.float32(3)], {}),
    "hard_sigmoid": ("HardSigmoid", [X], dict(alpha=0.5, beta=0.25)),
    "elu": ("Elu", [X], dict(alpha=1.5)),
    "gelu": ("Gelu", [X], {}),
    "gelu_tanh": ("Gelu", [X], dict(approximate="tanh")),
    "softplus": ("Softplus", [X], {}),
    "mish": ("Mish", [X], {}),
    "erf": ("Erf", [X], {}),
    "exp": ("Exp", [X], {}),
    "log": ("Log", [X + np.float32(2)], {}),
    "sqrt": ("Sqrt", [X + np.float32(2)], {}),
    "reciprocal": ("Reciprocal", [X + np.float32(2)], {}),
    "neg": ("Neg", [X], {}),
    "abs": ("Abs", [X], {}),
    "floor": ("Floor", [X], {}),
    "ceil": ("Ceil", [X], {}),
}


def resize(scales=None, sizes=None, **attributes):
    return ("Resize", [X, None, scales, sizes], attributes)


UP = floats(1, 1, 2, 1.6)
DOWN = ints(1, 2, 3, 3)
CASES.update({
    "nearest_default": resize(UP, mode="nearest"),
    "nearest_asymmetric": resize(UP, mode="nearest", coordinate_transformation_mode="asymmetric",
                                 nearest_mode="floor"),
    "nearest_ceil": resize(None, DOWN, mode="nearest", nearest_mode="ceil"),
    "nearest_corners": resize(None, ints(1, 2, 7, 8), mode="nearest", nearest_mode="round_prefer_ceil",
                              coordinate_transformation_mode="align_corners"),
    "linear": resize(UP, mode="linear"),
    "linear_down": resize(None, DOWN, mode="linear"),
    "linear_corners": resize(UP, mode="linear", coordinate_transformation_mode="align_corners"),
    "linear_pytorch": resize(None, ints(1, 2, 1, 9), mode="linear",
                             coordinate_transformation_mode="pytorch_half_pixel"),
    "linear_symmetric": resize(floats(1, 1, 1.3, 1.7), mode="linear",
                               coordinate_transformation_mode="half_pixel_symmetric"),
    "cubic": resize(UP, mode="cubic", cubic_coeff_a=-0.5),
    "cubic_down": resize(None, DOWN, mode="cubic", coordinate_transformation_mode="asymmetric"),
})


def run(op, inputs, attributes):
    names = [f"x{i}" if value is not None else "" for i, value in enumerate(inputs)]
    while names[-1] == "":
        names.pop()
    node = helper.make_node(op, names, ["y"], **attributes)
    initialisers = [numpy_helper.from_array(np.asarray(value), name)
                    for name, value in list(zip(names, inputs))[1:] if name]
    graph = helper.make_graph(
        [node], "case", [helper.make_tensor_value_info("x0", TensorProto.FLOAT, inputs[0].shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x0": inputs[0]})[0]


def literal(value):
    text = f"{value:.9g}"
    return text + ("F" if any(mark in text for mark in ".en") else ".0F")


def entry(name):
    """The lines of one case."""
    result = run(*CASES[name])
    shape = ", ".join(str(extent) for extent in result.shape)
    lines = [f'      {{"{name}", {{{{{shape}}}, {{']
    line = "         "
    for value in map(literal, result.flatten()):
        if len(line) + len(value) + 2 > 108:
            lines.append(line)
            line = "         "
        line += f" {value},"
    return [*lines, line + " }}},"]


def write(part, names):
    lines = [
        f"// Generated by make_onnxruntime_cases.py with ONNX Runtime {onnxruntime.__version__}.",
        "#pragma once", "", '#include "known_values.hpp"', "", "namespace wins::runtime::ref {", "",
        f"inline std::map<std::string, KnownResult> known_{part}() {{", "  return {"]
    for name in names:
        lines += entry(name)
    lines += ["  };", "}", "", "}  // namespace wins::runtime::ref", ""]
    Path(__file__).with_name(f"onnxruntime_{part}.hpp").write_text("\n".join(lines))


def main():
    windows = [name for name, (op, *_) in CASES.items() if op.endswith(("Conv", "ConvTranspose", "Pool"))]
    write("windows", windows)
    write("others", [name for name in CASES if name not in windows])


if __name__ == "__main__":
    main()

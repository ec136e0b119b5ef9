"""One class for each CPU engine: opens an ONNX file at a fixed batch, runs it, and says its version.

All engines get the number of threads that is asked for and the settings that their documentation recommends for
latency in float32. `prepare` converts the file where an engine has its own format; it runs once, untimed. `modules`
are the Python packages that an engine needs; they are imported before its opening is timed.
"""

import ctypes
import os
import pathlib
import subprocess
import sys

import numpy as np

BIN = pathlib.Path(sys.executable).parent


def quietly(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")


class _Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t), ("dtype", ctypes.c_int32),
                ("rank", ctypes.c_int32), ("shape", ctypes.c_int64 * 8)]

    @classmethod
    def of(cls, array):
        return cls(array.ctypes.data, array.nbytes, 0, array.ndim, (ctypes.c_int64 * 8)(*array.shape))


class Wins:
    """libwins.so through its C interface. `options`: as `wins_open` takes them."""

    spins = False
    modules = ()
    options = ""

    def __init__(self, model, x, threads):
        self.library = ctypes.CDLL(os.environ["WINS_LIB"])
        for name in ("wins_version", "wins_last_error", "wins_plan_text"):
            getattr(self.library, name).restype = ctypes.c_char_p
        self.model = ctypes.c_void_p()
        options = ",".join(filter(None, [f"threads={threads}", self.options]))
        self._check(self.library.wins_open(str(model).encode(), options.encode(), ctypes.byref(self.model)))
        self.x = x
        self.input = _Tensor.of(x)
        out = _Tensor()
        self._check(self.library.wins_output_shapes(self.model, ctypes.byref(self.input), ctypes.c_size_t(1),
                                                    ctypes.byref(out), ctypes.c_size_t(1)))
        self.y = np.empty(tuple(out.shape[:out.rank]), np.float32)
        self.output = _Tensor.of(self.y)

    def _check(self, status):
        if status != 0:
            raise RuntimeError(self.library.wins_last_error().decode())

    def run(self):
        self._check(self.library.wins_run(self.model, ctypes.byref(self.input), ctypes.c_size_t(1),
                                          ctypes.byref(self.output), ctypes.c_size_t(1)))
        return self.y

    def version(self):
        return self.library.wins_version().decode()

    def plan(self):
        return self.library.wins_plan_text(self.model, ctypes.byref(self.input), ctypes.c_size_t(1)).decode()

    def workspace_mb(self):
        """Scratch of all layers and threads; the plan's total line ends with it and the weights, in KiB."""
        total = next(line for line in self.plan().splitlines() if line.startswith("total"))
        words = total.split()[-2:]
        return 0.0 if words[0] == "-" else round(float(words[0]) * 1024 / 1e6, 3)


class WinsDirect(Wins):
    options = "winograd=0"


class OnnxRuntime:
    spins = True  # its workers wait actively for some tens of milliseconds after a run
    modules = ("onnxruntime",)

    def __init__(self, model, x, threads):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.feeds = {self.session.get_inputs()[0].name: x}

    def run(self):
        return self.session.run(None, self.feeds)[0]

    def version(self):
        import onnxruntime
        return onnxruntime.__version__


class OnnxRuntimeInt8(OnnxRuntime):
    """Static quantisation, QDQ, weights by channel. Calibrated on noise: its speed is meant, not its accuracy."""

    @staticmethod
    def prepare(model, folder, x):
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
        import logging
        import onnx
        logging.getLogger().setLevel(logging.ERROR)  # it warns of every batch norm

        class Noise(CalibrationDataReader):
            def __init__(self):
                name = onnx.load(str(model)).graph.input[0].name
                self.left = iter([{name: x[:1]}] * 2)

            def get_next(self):
                return next(self.left, None)

        ready, result = folder / f"{model.stem}-pre.onnx", folder / f"{model.stem}-int8.onnx"
        quant_pre_process(str(model), str(ready), skip_symbolic_shape=True)
        quantize_static(str(ready), str(result), Noise(), quant_format=QuantFormat.QDQ, per_channel=True)
        return result


class OpenVino:
    spins = False
    modules = ("openvino",)

    def __init__(self, model, x, threads):
        import openvino
        core = openvino.Core()
        network = core.read_model(str(model))
        network.reshape(list(x.shape))
        compiled = core.compile_model(network, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads,
                                                       "INFERENCE_PRECISION_HINT": "f32"})
        self.request = compiled.create_infer_request()
        self.x = x

    def run(self):
        return self.request.infer([self.x], share_inputs=True, share_outputs=True)[0]

    def version(self):
        import openvino
        return openvino.__version__.split("-")[0]


class Ncnn:
    """One picture at a time: ncnn's tensors have no batch."""

    spins = False
    modules = ("ncnn",)

    @staticmethod
    def prepare(model, folder, x):
        shape = "[" + ",".join(str(n) for n in (1, *x.shape[1:])) + "]"
        copy = folder / f"{model.stem}-ncnn.onnx"
        copy.write_bytes(model.read_bytes())
        quietly(BIN / "pnnx", copy, f"inputshape={shape}", "fp16=0")
        return folder / f"{copy.stem.replace('-', '_')}.ncnn.param"

    def __init__(self, model, x, threads):
        import ncnn
        self.ncnn = ncnn
        self.net = ncnn.Net()
        self.net.opt.num_threads = threads
        self.net.load_param(str(model))
        self.net.load_model(str(model.with_suffix(".bin")))
        self.pictures = [ncnn.Mat(picture).clone() for picture in x]

    def run(self):
        results = []
        for picture in self.pictures:
            extractor = self.net.create_extractor()
            extractor.input("in0", picture)
            results.append(np.array(extractor.extract("out0")[1]))
        return np.stack(results)

    def version(self):
        import importlib.metadata
        return importlib.metadata.version("ncnn")


class Mnn:
    spins = False
    modules = ("MNN",)

    @staticmethod
    def prepare(model, folder, x):
        result = folder / f"{model.stem}.mnn"
        quietly(BIN / "mnnconvert", "-f", "ONNX", "--modelFile", model, "--MNNModel", result, "--bizCode", "wins")
        return result

    def __init__(self, model, x, threads):
        import MNN
        self.mnn = MNN
        self.net = MNN.Interpreter(str(model))
        self.session = self.net.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
        into = self.net.getSessionInput(self.session)
        self.net.resizeTensor(into, x.shape)
        self.net.resizeSession(self.session)
        host = MNN.Tensor(x.shape, MNN.Halide_Type_Float, x, MNN.Tensor_DimensionType_Caffe)
        self.net.getSessionInput(self.session).copyFrom(host)

    def run(self):
        self.net.runSession(self.session)
        out = self.net.getSessionOutput(self.session)
        host = self.mnn.Tensor(out.getShape(), self.mnn.Halide_Type_Float, np.zeros(out.getShape(), np.float32),
                               self.mnn.Tensor_DimensionType_Caffe)
        out.copyToHostTensor(host)
        return np.array(host.getNumpyData())

    def version(self):
        import importlib.metadata
        return importlib.metadata.version("MNN")


class PyTorch:
    """torchvision's network of the same name with the file's weights, traced, frozen, optimised for inference."""

    spins = False
    modules = ("onnx", "onnx.numpy_helper", "torch", "torchvision")

    def __init__(self, model, x, threads):
        import onnx
        import onnx.numpy_helper
        import torch
        import torchvision
        self.torch = torch
        torch.set_num_threads(threads)
        name = model.stem.split("-")[0]
        if not hasattr(torchvision.models, name):
            raise RuntimeError(f"torchvision has no network {name}")
        network = getattr(torchvision.models, name)(weights=None).eval()
        values = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in onnx.load(str(model)).graph.initializer}
        state = network.state_dict()
        missing = [key for key in state if key not in values and not key.endswith("num_batches_tracked")]
        if missing:
            raise RuntimeError(f"{model}: no weights for {missing[0]}")
        network.load_state_dict({key: values.get(key, state[key]) for key in state})
        self.x = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
        network = network.to(memory_format=torch.channels_last)
        with torch.inference_mode():
            traced = torch.jit.freeze(torch.jit.trace(network, self.x))
            self.network = torch.jit.optimize_for_inference(traced)

    def run(self):
        with self.torch.inference_mode():
            return self.network(self.x).numpy()

    def version(self):
        return self.torch.__version__


ENGINES = {"wins": Wins, "wins-direct": WinsDirect, "onnxruntime": OnnxRuntime, "openvino": OpenVino, "ncnn": Ncnn,
           "mnn": Mnn, "pytorch": PyTorch, "onnxruntime-int8": OnnxRuntimeInt8}

"""One class for each engine on the GPU: holds a network and its input there, enqueues runs on PyTorch's current stream.

`run` gives the output, which the next run overwrites. `memory_mb` is device memory that the engine keeps while it is ready to run:
weights, activations, workspace, not the network's input.
"""

import contextlib
import copy
import ctypes
import gc
import statistics
import subprocess

import torch
import torch._inductor.config

from engines import _Tensor

DTYPE = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# Relative L2 of a network's output: against PyTorch in float32, or our CPU engine on the same file.
BOUND = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 8e-2}
# A batch repeats these; a prime number, so that a picture and its neighbour by 8, 32 or 64 are never the same.
PICTURES = 7
WARM_UP = 10
# Cycles that the GPU waits before a timed run, so that the host has enqueued all of it by then: device time is meant. Graphs of some
# hundred kernels take a millisecond and more.
HEAD_START = 5_000_000
# A slow contender gets fewer rounds: so many microseconds in all, but a few rounds at least.
TIME_LIMIT_US = 3e6
FEWEST_ROUNDS = 5


def gpu_state():
    query = "name,driver_version,clocks.sm,clocks.mem,temperature.gpu,power.draw"
    one = ["--id", f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"]  # of several
    values = subprocess.run(["nvidia-smi", *one, f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True).stdout
    return dict(zip(query.split(","), (v.strip() for v in values.strip().split(","))))


def load_library(path):
    library = ctypes.CDLL(str(path))
    for function in ("wins_version", "wins_last_error", "wins_plan_text"):
        getattr(library, function).restype = ctypes.c_char_p
    return library


def free_bytes():
    torch.cuda.synchronize()
    return torch.cuda.mem_get_info()[0]


class Wins:
    """Our engine through its C interface, in the caller's stream and memory; input and output are float32 NCHW."""

    def __init__(self, library, model, x, precision, options=""):
        self.library, self.model, self.x = library, ctypes.c_void_p(), x
        text = ",".join(filter(None, ["backend=cuda", f"precision={precision}", options]))
        self._check(library.wins_open(str(model).encode(), text.encode(), ctypes.byref(self.model)))
        self.input, out = self._describe(x), _Tensor()
        self._check(library.wins_output_shapes(self.model, ctypes.byref(self.input), ctypes.c_size_t(1), ctypes.byref(out), ctypes.c_size_t(1)))
        self.y = torch.empty(tuple(out.shape[:out.rank]), dtype=torch.float32, device="cuda")
        self.output = self._describe(self.y)

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

    def version(self):
        return self.library.wins_version().decode()

    def close(self):
        """Megabytes that this gave back."""
        before = free_bytes()
        self.library.wins_free(self.model)
        self.model = ctypes.c_void_p()
        return (free_bytes() - before) / 1e6


class Peer:
    """A network in PyTorch's memory; what its allocator holds more than before is the peer's. It comes from the host's memory in its precision:
    a float32 copy on the GPU would leave gaps that count as this peer's and are used by the next one."""

    def __init__(self):
        self.reserved = self._reserved()

    @staticmethod
    def _reserved():
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved()

    def version(self):
        return torch.__version__

    def settle(self):
        """After the first runs."""
        self.memory_mb = (self._reserved() - self.reserved) / 1e6

    def close(self):
        return self.memory_mb


class TorchGraph(Peer):
    """PyTorch captured in a CUDA graph: cuDNN's kernels, chosen by its own search. cuBLAS's workspaces are cleared around the capture, so that
    the graph has its own: one from before goes when torch.compile clears them, and the graph would write where no memory is any more."""

    def __init__(self, network, x, dtype, layout=torch.channels_last):
        self.x = x.to(dtype).contiguous(memory_format=layout)
        super().__init__()
        self.network = copy.deepcopy(network).to(device="cuda", dtype=dtype, memory_format=layout)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(stream):
            for _ in range(3):
                self.network(self.x)
        torch.cuda.synchronize()
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()  # of the search's workspaces
        self.graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(self.graph):
            self.y = self.network(self.x)
        torch._C._cuda_clearCublasWorkspaces()
        self.settle()

    def run(self):
        self.graph.replay()
        return self.y


def load_compiled(artifacts):
    """What torch.compile made for this case earlier; it checks versions and GPU itself."""
    if artifacts is not None and artifacts.exists():
        torch.compiler.load_cache_artifacts(artifacts.read_bytes())


def save_compiled(artifacts):
    if artifacts is None or artifacts.exists():
        return
    saved = torch.compiler.save_cache_artifacts()
    if saved is not None:
        artifacts.parent.mkdir(parents=True, exist_ok=True)
        artifacts.write_bytes(saved[0])


class TorchCompile(Peer):
    """torch.compile with its own search over cuDNN's, cuBLAS's and generated kernels; it makes its own CUDA graph. `artifacts`:
    a file to keep what it made, or None. `library`: products and convolutions by cuDNN and cuBLAS alone, which is compiled in
    half a minute instead of several."""

    def __init__(self, network, x, dtype, artifacts=None, library=False):
        self.x = x.to(dtype).contiguous(memory_format=torch.channels_last)
        super().__init__()
        torch._inductor.config.autotune_num_choices_displayed = 0
        torch._dynamo.mark_static_address(self.x)  # else every run copies it
        network = copy.deepcopy(network).to(device="cuda", dtype=dtype, memory_format=torch.channels_last)
        load_compiled(artifacts)
        self.network = torch.compile(network, mode="max-autotune")
        choice = {"max_autotune_conv_backends": "ATEN", "max_autotune_gemm_backends": "ATEN"} if library else {}
        with torch._inductor.config.patch(choice):
            for _ in range(4):
                self.run()
        save_compiled(artifacts)
        self.settle()

    def run(self):
        with torch.inference_mode():
            return self.network(self.x)

    def close(self):
        torch._dynamo.reset()
        return super().close()


class OnnxRuntimeCuda(Peer):
    """ONNX Runtime's CUDA provider on the file, as a CUDA graph; input and output are float32."""

    @staticmethod
    def missing():
        """Why there is no such peer; empty when there is."""
        try:
            import onnxruntime
        except ImportError:
            return "onnxruntime is not installed"
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            return f"onnxruntime {onnxruntime.__version__} has no CUDAExecutionProvider"
        return ""

    def __init__(self, model, x, precision):
        import onnx
        import onnxruntime
        if precision == "bf16":
            raise RuntimeError("onnxruntime cannot convert a network to bf16")
        network = onnx.load(str(model))
        if precision == "fp16":
            from onnxruntime.transformers.float16 import convert_float_to_float16
            network = convert_float_to_float16(network, keep_io_types=True)
        before = free_bytes()
        self.x, self.stream = x, torch.cuda.current_stream()
        cuda = {"use_tf32": str(int(precision == "tf32")), "enable_cuda_graph": "1", "cudnn_conv_algo_search": "EXHAUSTIVE",
                "user_compute_stream": str(self.stream.cuda_stream)}
        self.session = onnxruntime.InferenceSession(network.SerializeToString(), providers=[("CUDAExecutionProvider", cuda)])
        self.y = torch.empty((x.shape[0], 1000), dtype=torch.float32, device="cuda")
        self.binding = self.session.io_binding()
        for bind, value, tensor in ((self.binding.bind_input, self.session.get_inputs()[0], self.x),
                                    (self.binding.bind_output, self.session.get_outputs()[0], self.y)):
            bind(value.name, "cuda", 0, "float32", tuple(tensor.shape), tensor.data_ptr())
        for _ in range(3):
            self.run()
        self.memory_mb = (before - free_bytes()) / 1e6

    def run(self):
        self.session.run_with_iobinding(self.binding)
        return self.y

    def version(self):
        import onnxruntime
        return onnxruntime.__version__


@contextlib.contextmanager
def precision_of_torch(precision):
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def microseconds(contender):
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda._sleep(HEAD_START)
    start.record()
    contender.run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1e3


def time_in_turn(contenders, rounds, limit_us=TIME_LIMIT_US):
    """{name: [microseconds]}: every round runs each contender once; a slow one leaves out the last rounds."""
    times, left = {name: [] for name in contenders}, {}
    for name, contender in contenders.items():
        first = microseconds(contender)
        left[name] = max(min(FEWEST_ROUNDS, rounds), min(rounds, int(limit_us / first)))
        for _ in range(WARM_UP if left[name] == rounds else 1):
            contender.run()
    torch.cuda.synchronize()
    for i in range(rounds):
        for name, contender in contenders.items():
            if i < left[name]:
                times[name].append(microseconds(contender))
    return times


def summary(times):
    return {"median_ms": round(statistics.median(times) / 1e3, 4), "min_ms": round(min(times) / 1e3, 4), "rounds": len(times)}


def relative_l2(got, want):
    return float((got.double() - want.double()).norm() / want.double().norm())

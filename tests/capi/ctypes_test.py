"""libwins.so from Python through ctypes, against ONNX Runtime on the same file."""

import ctypes
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnxruntime


class Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t), ("dtype", ctypes.c_int32),
                ("rank", ctypes.c_int32), ("shape", ctypes.c_int64 * 8)]

    @classmethod
    def of(cls, array):
        shape = (ctypes.c_int64 * 8)(*array.shape)
        return cls(array.ctypes.data, array.nbytes, 0, array.ndim, shape)


def load_library():
    library = ctypes.CDLL(os.environ["WINS_LIB"])
    for name in ("wins_last_error", "wins_version", "wins_plan_text"):
        getattr(library, name).restype = ctypes.c_char_p
    library.wins_free.argtypes = [ctypes.c_void_p]
    library.wins_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t]
    library.wins_plan_text.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    return library


@unittest.skipIf(os.environ.get("WINS_SANITIZE") == "ON", "a sanitized library cannot be loaded into Python")
class CtypesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.library = load_library()
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = str(Path(cls.folder.name) / "resnet8.onnx")
        subprocess.run([os.environ["WINS_BIN"], "zoo", "resnet8", "-o", cls.path], check=True,
                       stdout=subprocess.DEVNULL)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def open(self, options=b""):
        model = ctypes.c_void_p()
        status = self.library.wins_open(self.path.encode(), options, ctypes.byref(model))
        self.assertEqual(status, 0, self.library.wins_last_error())
        return model

    def test_matches_onnxruntime(self):
        model = self.open(b"threads=2")
        session = onnxruntime.InferenceSession(self.path, providers=["CPUExecutionProvider"])
        described = session.get_inputs()[0]
        shape = [extent if isinstance(extent, int) else 1 for extent in described.shape]
        picture = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        expected = session.run(None, {described.name: picture})[0]
        result = np.zeros_like(expected)
        source, target = Tensor.of(picture), Tensor.of(result)
        status = self.library.wins_run(model, ctypes.byref(source), 1, ctypes.byref(target), 1)
        self.assertEqual(status, 0, self.library.wins_last_error())
        error = np.linalg.norm(result - expected) / np.linalg.norm(expected)
        self.assertLess(error, 1e-5)
        self.assertIn(b"cpu:", self.library.wins_plan_text(model, ctypes.byref(source), 1))
        self.library.wins_free(model)

    def test_errors_are_text(self):
        model = ctypes.c_void_p()
        self.assertEqual(self.library.wins_open(b"/nowhere.onnx", None, ctypes.byref(model)), 1)
        self.assertIn(b"/nowhere.onnx", self.library.wins_last_error())
        self.assertEqual(self.library.wins_run(None, None, 0, None, 0), 1)


if __name__ == "__main__":
    unittest.main()

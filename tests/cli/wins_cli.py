"""What the command-line tests share: running the tool, and small data made on the spot."""

import gzip
import json
import os
import pathlib
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import unittest
import zlib

import numpy as np

BINARY = os.environ.get("WINS_BIN", "build/release/wins")


def wins(*arguments, cwd=None, timeout=900, environment=None, file_limit=None, tool=BINARY):
    """Runs the tool with its output piped, as in a script; files of its own may have `file_limit` bytes."""
    def limit():
        # Ignored, the signal leaves the failing write with its error, as on a full disk.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    return subprocess.run([tool, *map(str, arguments)], cwd=cwd, timeout=timeout, text=True, errors="replace",
                          capture_output=True, stdin=subprocess.DEVNULL,
                          preexec_fn=None if file_limit is None else limit,
                          env={**os.environ, **(environment or {})})


def has_training():
    """Whether this build can train."""
    answer = wins("train", "missing.onnx", "-o", "x.onnx", "--data", "missing")
    return "WINS_TRAINING" not in answer.stderr


def pattern(label, generator, size=28):
    """A picture whose class shows: a bright bar at a place that depends on the label."""
    image = generator.integers(0, 60, (size, size), dtype=np.uint8)
    at = 2 + label * 6
    if label % 2:
        image[at:at + 4, 4:-4] = 220
    else:
        image[4:-4, at:at + 4] = 220
    return image


def write_idx(folder, split, count, classes=4, seed=0):
    """An IDX data set (gzip) of `count` pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    labels = (np.arange(count) % classes).astype(np.uint8)
    images = np.stack([pattern(label, generator) for label in labels])
    prefix = "train" if split == "train" else "t10k"
    with gzip.open(folder / f"{prefix}-images-idx3-ubyte.gz", "wb", 1) as file:
        file.write(struct.pack(">IIII", 0x803, *images.shape) + images.tobytes())
    with gzip.open(folder / f"{prefix}-labels-idx1-ubyte.gz", "wb", 1) as file:
        file.write(struct.pack(">II", 0x801, count) + labels.tobytes())


def write_png(path, image):
    """An 8-bit grey PNG."""
    height, width = image.shape

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.tobytes() for row in image)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_noise(folder, count):
    """A folder of `count` pictures without labels."""
    folder.mkdir()
    generator = np.random.default_rng(4)
    for i in range(count):
        write_png(folder / f"{i}.png", generator.integers(0, 256, (28, 28), dtype=np.uint8))
    return folder


class Case(unittest.TestCase):
    """A test with a scratch folder and assertions about runs of the tool."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="wins-cli-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)

    @classmethod
    def make_network(cls, pictures):
        """`cls.net`, with random weights, and `cls.data` with so many training pictures for it."""
        cls.net = cls.folder / "net.onnx"
        cls.data = cls.folder / "data"
        assert wins("zoo", "resnet8", "-o", cls.net, "--classes", 4, "--input", "1x28x28").returncode == 0
        write_idx(cls.data, "train", pictures)

    def succeed(self, *arguments, **options):
        """Runs, asserts success and plain text on both streams, returns stdout."""
        answer = wins(*arguments, **options)
        self.assertEqual(answer.returncode, 0, f"wins {arguments}\n{answer.stdout}\n{answer.stderr}")
        self.assertNotIn("\x1b", answer.stdout + answer.stderr, "escape codes in piped output")
        self.assertNotIn("\r", answer.stderr, "a progress bar in piped output")
        return answer.stdout

    def refuse(self, *arguments, status=1, words=(), **options):
        """Runs, asserts one clear error line that holds every word, and nothing half-written."""
        before = sorted(self.folder.rglob("*"))
        answer = wins(*arguments, **options)
        lines = [line for line in answer.stderr.splitlines() if not line.startswith("wins: warning")]
        self.assertEqual(answer.returncode, status, f"wins {arguments}\n{answer.stdout}\n{answer.stderr}")
        self.assertEqual(len(lines), 1, answer.stderr)
        self.assertTrue(lines[0].startswith("wins: "), lines[0])
        for word in words:
            self.assertIn(str(word).lower(), lines[0].lower())
        self.assertEqual(before, sorted(self.folder.rglob("*")), "files were left behind")
        return lines[0]

    def load_json(self, name):
        """A record from the scratch folder; asserts the head that every record has."""
        record = json.loads((self.folder / name).read_text())
        for key in ("command", "version", "date", "host", "seed"):
            self.assertIn(key, record)
        return record

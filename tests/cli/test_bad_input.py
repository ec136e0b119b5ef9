"""Bad input gives one clear line, the right exit status, and leaves nothing behind."""

import os
import shutil
import struct
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from wins_cli import BINARY, Case, has_training, wins, write_idx, write_png


def save(path, nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(nodes, "bad", inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def tensor(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


class Models(Case):
    """Files that are no usable model."""

    def bad(self, name, *words):
        self.refuse("info", self.folder / name, words=[name, *words])
        self.refuse("bench", self.folder / name, "--peer", "none", words=[name])

    def write(self, name, content):
        (self.folder / name).write_bytes(content)

    def test_not_a_model(self):
        self.refuse("info", self.folder / "missing.onnx", words=["missing.onnx"])
        self.refuse("info", self.folder, words=[self.folder.name])
        self.write("empty.onnx", b"")
        self.bad("empty.onnx")
        self.write("random.onnx", np.random.default_rng(0).bytes(5000))
        self.bad("random.onnx")
        self.write("text.onnx", b"not a model at all\n" * 50)
        self.bad("text.onnx")

    def test_truncated(self):
        whole = self.folder / "whole.onnx"
        self.succeed("zoo", "resnet8", "-o", whole, "--classes", 4, "--input", "1x28x28")
        content = whole.read_bytes()
        for share in (0.1, 0.5, 0.99):
            self.write("cut.onnx", content[:int(len(content) * share)])
            self.bad("cut.onnx")

    def test_cycle(self):
        save(self.folder / "cycle.onnx",
             [helper.make_node("Relu", ["b"], ["a"], "first"), helper.make_node("Relu", ["a"], ["b"], "second")],
             [tensor("x", [1, 3, 8, 8])], [tensor("b", [1, 3, 8, 8])])
        self.bad("cycle.onnx")

    def test_unsupported_operators_are_listed_at_once(self):
        save(self.folder / "ops.onnx",
             [helper.make_node("Det", ["x"], ["a"], "the_det"), helper.make_node("NonZero", ["a"], ["y"], "the_nonzero")],
             [tensor("x", [1, 3, 8, 8])], [helper.make_tensor_value_info("y", TensorProto.INT64, ["r", "n"])])
        self.bad("ops.onnx", "the_det", "Det", "the_nonzero", "NonZero")

    def conv(self, name, weight, shape=(1, 3, 8, 8), **attributes):
        save(self.folder / name, [helper.make_node("Conv", ["x", "w"], ["y"], "the_conv", **attributes)],
             [tensor("x", list(shape))], [tensor("y", ["n", "k", "h", "w"])], [weight])

    def test_weights(self):
        good = np.ones((4, 3, 3, 3), np.float32)
        broken = good.copy()
        broken[0, 0, 0, 0] = np.nan
        self.conv("nan.onnx", numpy_helper.from_array(broken, "w"))
        self.bad("nan.onnx", "w")
        short = numpy_helper.from_array(good, "w")
        short.raw_data = short.raw_data[:40]
        self.conv("short.onnx", short)
        self.bad("short.onnx", "w")
        huge = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 30, 1 << 30, 3, 3])
        self.conv("huge.onnx", huge)
        self.bad("huge.onnx")
        negative = numpy_helper.from_array(good, "w")
        negative.dims[0] = -4
        self.conv("negative.onnx", negative)
        self.bad("negative.onnx")
        self.conv("channels.onnx", numpy_helper.from_array(np.ones((4, 5, 3, 3), np.float32), "w"))
        self.bad("channels.onnx", "the_conv")
        self.conv("stride.onnx", numpy_helper.from_array(good, "w"), strides=[0, 0])
        self.bad("stride.onnx", "the_conv")
        self.conv("big_input.onnx", numpy_helper.from_array(good, "w"), shape=(1, 3, 1 << 20, 1 << 20))
        self.refuse("bench", self.folder / "big_input.onnx", "--peer", "none", words=["big_input.onnx"])

    def test_external_data_outside_the_folder(self):
        (self.folder / "inside").mkdir()
        (self.folder / "secret.bin").write_bytes(b"\0" * 432)
        for location in ("../secret.bin", str(self.folder / "secret.bin"), "/etc/passwd", "link.bin"):
            link = self.folder / "inside" / "link.bin"
            if not link.is_symlink():
                link.symlink_to("../secret.bin")
            weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 3, 3, 3],
                                 data_location=TensorProto.EXTERNAL)
            weight.external_data.add(key="location", value=location)
            self.conv("inside/escape.onnx", weight)
            self.refuse("info", self.folder / "inside/escape.onnx", words=["escape.onnx"])

    def test_ten_thousand_nodes(self):
        nodes = [helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"], f"n{i}") for i in range(10_000)]
        save(self.folder / "long.onnx", nodes, [tensor("v0", [1, 2, 4, 4])], [tensor("v10000", [1, 2, 4, 4])])
        self.succeed("info", self.folder / "long.onnx")

    def test_deep_nesting(self):
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"], "leaf")], "leaf", [], [tensor("y", [1])])
        content = graph.SerializeToString()

        def field(number, body):  # length-delimited protobuf field
            length, out = len(body), b""
            while length > 127:
                out, length = out + bytes([length & 127 | 128]), length >> 7
            key, number_out = number << 3 | 2, b""
            while key > 127:
                number_out, key = number_out + bytes([key & 127 | 128]), key >> 7
            return number_out + bytes([key]) + out + bytes([length]) + body

        for _ in range(10_000):  # graph -> node -> attribute -> graph -> ...
            content = field(1, field(5, field(6, content)))
        self.write("deep.onnx", field(7, content))
        self.bad("deep.onnx")

    def test_memory_is_bounded(self):
        self.conv("batch.onnx", numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w"),
                  shape=("n", 3, 64, 64), pads=[1, 1, 1, 1])
        self.refuse("bench", self.folder / "batch.onnx", "--peer", "none", "--batch", 1 << 40, words=["batch.onnx", "memory"])


class Flags(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make_network(64)
        write_idx(cls.data, "test", 16)

    def prune(self, *flags, status=1, words=()):
        criterion = () if "--criterion" in flags else ("--criterion", "l2")
        method = () if "--method" in flags else ("--method", "wins")
        self.refuse("prune", self.net, "-o", self.folder / "out.onnx", "--training", "none", *criterion, *method, *flags,
                    status=status, words=words)

    def test_usage(self):
        for arguments in ((), ("nonsense",), ("prune",), ("zoo", "resnet8"), ("info", self.net, "--no-such-flag")):
            self.refuse(*arguments, status=2, words=["usage"])

    def test_ratio(self):
        for ratio in ("1", "-0.1", "2", "nan", "abc"):
            self.prune("--ratio", ratio, status=2, words=["ratio"])
        self.prune("--layer", "x=1.5", status=2, words=["--layer"])

    def test_names(self):
        self.prune("--method", "magic", status=2, words=["magic", "wins-ab"])
        self.prune("--criterion", "magic", status=2, words=["magic", "l2"])
        self.prune("--exclude", "no_such_layer", status=2, words=["no_such_layer"])
        self.prune("--layer", "no_such_layer=0.5", status=2, words=["no_such_layer"])
        self.refuse("zoo", "resnet1", "-o", self.folder / "z.onnx", words=["resnet1", "resnet18"])
        self.refuse("eval", self.net, "--data", self.data, "--backend", "tpu", words=["tpu", "cpu"])

    def test_contradictions(self):
        self.prune("--method", "wins", "--criterion", "fpgm", status=2, words=["fpgm"])
        self.prune("--method", "wins-ab", status=2, words=["wins-ab", "--data"])
        for criterion in ("gram", "obs"):
            self.prune("--criterion", criterion, status=2, words=[criterion, "--data", "calibration"])
            self.prune("--criterion", criterion, "--axis", "column", status=2, words=[criterion, "axis column"])
            self.prune("--criterion", criterion, "--method", "wwp", status=2, words=[criterion, "wwp"])
        self.refuse("run", self.net, status=2, words=["--input"])
        # A build without training says that first.
        status, word = (2, "--data") if has_training() else (1, "--epochs")
        self.refuse("prune", self.net, "-o", self.folder / "o.onnx", "--criterion", "l2", "--epochs", 1, status=status,
                    words=[word])

    def test_outputs(self):
        self.refuse("zoo", "resnet8", "-o", self.folder / "no" / "x.onnx", words=["x.onnx"])
        self.refuse("zoo", "resnet8", "-o", self.folder, words=[self.folder.name])
        self.refuse("info", self.net, "--json", self.folder / "no" / "x.json", words=["x.json"])

    def test_writes_that_fail_halfway(self):
        """The size limit of a process stands in for a full disk: every write beyond it fails."""
        self.refuse("zoo", "resnet8", "-o", self.folder / "x.onnx", "--input", "1x28x28", file_limit=65536,
                    words=[self.folder / "x.onnx", "cannot write"])
        old = self.net.read_bytes()
        self.refuse("prune", self.net, "-o", self.net, "--method", "wins", "--criterion", "l2", "--training", "none",
                    file_limit=65536, words=[self.net, "cannot write"])
        self.assertEqual(self.net.read_bytes(), old, "the file that was there is no longer what it was")
        self.refuse("info", self.net, "--json", self.folder / "x.json", file_limit=100,
                    words=[self.folder / "x.json", "cannot write"])
        np.save(self.folder / "zeros.npy", np.zeros((64, 1, 28, 28), np.float32))
        self.refuse("run", self.net, "--input", self.folder / "zeros.npy", "--output", self.folder / "y.npy",
                    file_limit=100, words=[self.folder / "y.npy", "cannot write"])

    def test_full_disk(self):
        if os.geteuid() != 0 or os.system("mount -t tmpfs -o size=64k none /mnt 2>/dev/null") != 0:
            self.skipTest("cannot mount a small file system")
        try:
            self.refuse("zoo", "resnet8", "-o", "/mnt/x.onnx", "--input", "1x28x28", words=["/mnt/x.onnx"])
            self.assertEqual(os.listdir("/mnt"), [])
        finally:
            os.system("umount /mnt")

    def test_tensors(self):
        np.save(self.folder / "wrong.npy", np.zeros((1, 3, 5), np.float32))
        self.refuse("run", self.net, "--input", self.folder / "wrong.npy", words=["1x3x5"])
        np.save(self.folder / "double.npy", np.zeros((1, 1, 28, 28), np.complex64))
        self.refuse("run", self.net, "--input", self.folder / "double.npy", words=["double.npy"])
        (self.folder / "broken.npy").write_bytes(b"\x93NUMPY\x01\x00\xff\xff{")
        self.refuse("run", self.net, "--input", self.folder / "broken.npy", words=["broken.npy"])
        lying = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000), }\n"
        (self.folder / "lying.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(lying)) + lying)
        self.refuse("run", self.net, "--input", self.folder / "lying.npy", words=["lying.npy"])
        np.save(self.folder / "good.npy", np.zeros((1, 1, 28, 28), np.float32))
        self.refuse("run", self.net, "--input", f"nobody={self.folder / 'good.npy'}", words=["nobody"])

    def test_pictures(self):
        (self.folder / "zero.png").write_bytes(b"")
        self.refuse("run", self.net, self.folder / "zero.png", words=["zero.png"])
        (self.folder / "fake.jpg").write_bytes(b"\xff\xd8\xff" + b"x" * 100)
        self.refuse("run", self.net, self.folder / "fake.jpg", words=["fake.jpg"])

    def test_data(self):
        self.refuse("eval", self.net, "--data", self.folder / "nowhere", words=["nowhere"])
        (self.folder / "void").mkdir()
        self.refuse("eval", self.net, "--data", self.folder / "void", words=["void"])
        unlabelled = self.folder / "unlabelled"
        unlabelled.mkdir()
        write_png(unlabelled / "a.png", np.zeros((28, 28), np.uint8))
        self.refuse("eval", self.net, "--data", unlabelled, words=["label"])
        liar = self.folder / "liar"
        liar.mkdir()
        (liar / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, 1 << 30, 28, 28))
        (liar / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 1 << 30))
        self.refuse("eval", self.net, "--data", liar, words=["idx", "1073741824"])

    def test_a_broken_picture_in_a_folder_is_named_and_counted(self):
        for name in ("a", "b"):
            folder = self.folder / "tree" / "test" / name
            folder.mkdir(parents=True)
            write_png(folder / "good.png", np.zeros((28, 28), np.uint8))
        (self.folder / "tree" / "test" / "a" / "bad.png").write_bytes(b"")
        answer = wins("eval", self.net, "--data", self.folder / "tree")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertIn("(1 broken)", answer.stdout)
        self.assertIn("bad.png", answer.stderr)

    @unittest.skipUnless(has_training(), "this build has no training")
    def test_training(self):
        out = self.folder / "o.onnx"
        self.refuse("train", self.net, "-o", out, "--data", self.data, "--resume", status=2, words=["--checkpoint"])
        self.refuse("train", self.net, "-o", out, "--data", self.data, "--distill", 0.5, status=2, words=["--teacher"])
        self.refuse("train", self.net, "-o", out, "--data", self.data, "--labels", "none", status=2, words=["--teacher"])
        self.refuse("train", self.net, "-o", out, "--data", self.data, "--augment", "magic", status=2, words=["magic"])
        one = self.folder / "one"
        write_idx(one, "train", 32, classes=1)
        self.refuse("train", self.net, "-o", out, "--data", one, words=["one class"])
        garbage = self.folder / "garbage.ckpt"
        garbage.write_bytes(b"garbage" * 100)
        self.refuse("train", self.net, "-o", out, "--data", self.data, "--checkpoint", garbage, "--resume",
                    words=["garbage.ckpt"])

    @unittest.skipUnless(has_training(), "this build has no training")
    def test_training_without_its_module(self):
        """The tool opens libtorch's part when it trains, and runs without it."""
        tool = self.folder / "alone" / "wins"
        tool.parent.mkdir()
        shutil.copy(BINARY, tool)
        train = ("train", self.net, "-o", self.folder / "o.onnx", "--data", self.data)
        self.succeed("info", self.net, tool=tool)
        self.refuse(*train, tool=tool, words=["training", "libwins_training.so is missing"])
        (tool.parent / "libwins_training.so").write_bytes(b"no library")
        self.refuse(*train, tool=tool, words=["training", "cannot open", tool.parent / "libwins_training.so"])


if __name__ == "__main__":
    unittest.main()

"""`wins prune --bcbp`: the 1x1 convolutions, beside a Winograd method or alone."""

import unittest

import numpy as np
import onnx
from onnx import numpy_helper

from wins_cli import Case, has_training

LAYERS = ["layer2.0.downsample.0", "layer3.0.downsample.0"]


class Columns(Case):
    """On a network with random weights whose two 1x1 convolutions have 16 x 32 and 32 x 64 weights."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make_network(192)

    def prune(self, *flags, name="out.onnx"):
        self.succeed("prune", self.net, "--training", "none", "-o", self.folder / name, "--json", self.folder / "run.json",
                     *flags)
        return self.load_json("run.json")

    def kept(self, layer, block, name="out.onnx"):
        """Columns that hold anything but zeros in each block, as another reader of the file sees them."""
        model = onnx.load(self.folder / name)
        node = next(n for n in model.graph.node if n.name == layer)
        self.assertEqual(node.op_type, "Conv")
        weights = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == node.input[1])[:, :, 0, 0]
        return [int(np.any(weights[i:i + block] != 0, axis=0).sum()) for i in range(0, len(weights), block)]

    def test_beside_each_method_and_alone(self):
        for method in ("wins", "wins-b", "fp", "dense"):
            record = self.prune("--method", method, "--criterion", "l2", "--ratio", 0.5, "--bcbp", 0.75)
            self.assertEqual(record["method"], method + "+bcbp")
            self.assertEqual([row["name"] for row in record["bcbp"]["layers"]], LAYERS)
            self.assertEqual(record["bcbp"]["ratio"], 0.75)
            self.assertEqual([self.kept(layer, 16) for layer in LAYERS], [[4, 4], [8, 8, 8, 8]])
            self.assertEqual(record["ratio"] > 0.4, method != "dense")
        for verb in (("verify", self.folder / "out.onnx"), ("info", self.folder / "out.onnx")):
            text = self.succeed(*verb)
        self.assertIn("1x1, 75.0 % pruned, 4 of 16 columns in blocks of 16", text)

    def test_uneven_blocks_of_another_height(self):
        record = self.prune("--method", "dense", "--criterion", "l2", "--bcbp", 0.5, "--bcbp-block", 8, "--bcbp-uneven")
        kept = self.kept(LAYERS[1], 8)
        self.assertEqual(record["bcbp"]["layers"][1]["kept"], kept)
        self.assertEqual(sum(kept), 8 * 32 // 2)
        self.assertGreater(len(set(kept)), 1)

    def test_exclusions_and_steps(self):
        record = self.prune("--method", "wins", "--criterion", "l2", "--bcbp", 0.5, "--exclude", LAYERS[0])
        self.assertEqual([row["name"] for row in record["bcbp"]["layers"]], LAYERS[1:])
        self.assertEqual(self.kept(LAYERS[0], 16), [16, 16])
        self.prune("--method", "wins", "--criterion", "l2", "--bcbp", 0.75, "--steps", 3)
        self.assertEqual(self.kept(LAYERS[0], 16), [4, 4])
        self.refuse("prune", self.net, "--training", "none", "--method", "wins", "--criterion", "l2", "--exclude", LAYERS[0],
                    "-o", self.folder / "bad.onnx", status=2, words=[LAYERS[0]])

    def test_refit_with_every_kind_of_criterion(self):
        for criterion in ("l1", "output-aware", "gram"):
            record = self.prune("--method", "wins", "--criterion", criterion, "--bcbp", 0.5, "--data", self.data,
                                "--calibration", 128, "--exclude", LAYERS[1])
            fits = {row["layer"]: row for row in record["refit"]}
            self.assertTrue(fits[LAYERS[0]]["refitted"])
            self.assertLess(fits[LAYERS[0]]["error_after"], fits[LAYERS[0]]["error_before"])
            self.assertEqual(self.kept(LAYERS[0], 16), [8, 8])
        record = self.prune("--bcbp", 0.5, "--data", self.data, "--calibration", 128)
        self.assertEqual(record["method"], "wins-ab+bcbp")
        self.assertEqual(len(record["bcbp"]["layers"]), 2)

    @unittest.skipUnless(has_training(), "needs libtorch")
    def test_finetune_keeps_the_zeros(self):
        self.prune("--method", "wins", "--criterion", "l2", "--bcbp", 0.75)
        self.succeed("finetune", self.folder / "out.onnx", "--teacher", self.net, "--data", self.data, "--epochs", 1,
                     "-o", self.folder / "tuned.onnx", "--quiet")
        for layer in LAYERS:
            self.assertEqual(self.kept(layer, 16, "tuned.onnx"), self.kept(layer, 16))
        self.assertIn("4 of 16 columns", self.succeed("info", self.folder / "tuned.onnx"))

    def test_bad_values(self):
        good = ["prune", self.net, "--training", "none", "--method", "wins", "--criterion", "l2", "-o", self.folder / "bad.onnx"]
        for value in ("1", "-0.1", "nan"):
            self.refuse(*good, "--bcbp", value, words=["--bcbp:", "[0, 1)"])
        for value in ("0", "-16"):
            self.refuse(*good, "--bcbp", 0.5, "--bcbp-block", value, words=["--bcbp-block", value])
        self.refuse(*good, "--bcbp", "much", status=2, words=["--bcbp"])
        self.refuse(*good, "--bcbp-uneven", status=2, words=["--bcbp RATIO"])
        self.prune("--method", "wins", "--criterion", "l2", "--bcbp", 0.5)
        self.refuse("prune", self.folder / "out.onnx", *good[2:], "--bcbp", 0.75, "--bcbp-block", 8, words=["--bcbp-block 8", "16"])

    def test_a_network_without_such_layers(self):
        plain = self.folder / "vgg.onnx"
        self.succeed("zoo", "vgg16", "-o", plain, "--classes", 4, "--input", "3x32x32")
        self.refuse("prune", plain, "--training", "none", "--method", "wins", "--criterion", "l2", "--bcbp", 0.5,
                    "-o", self.folder / "bad.onnx", words=["--bcbp", "no 1x1 convolution"])


if __name__ == "__main__":
    unittest.main()

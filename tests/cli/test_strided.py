"""`wins prune --strided`: convolutions of stride 2 as Winograd layers."""

import unittest

import numpy as np
import onnx
import onnxruntime

from wins_cli import Case, has_training, wins

METHODS = ("wins", "wins-b", "fp", "wwp", "dense")


class Strided(Case):
    """On a network with random weights: resnet8 has two 3x3 convolutions of stride 2."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make_network(256)

    def prune(self, name, *flags):
        output = self.folder / f"{name}.onnx"
        text = self.succeed("prune", self.net, "-o", output, "--ratio", 0.5, "--training", "none", *flags,
                            "--json", self.folder / f"{name}.json")
        return output, text, self.load_json(f"{name}.json")

    def strided_nodes(self, path):
        """Names of the WinogradConv nodes of stride 2 in a file."""
        return [node.name for node in onnx.load(str(path)).graph.node if node.op_type == "WinogradConv"
                and any(a.name == "stride" and a.i == 2 for a in node.attribute)]

    def test_every_method(self):
        _, _, plain = self.prune("plain", "--method", "wins", "--criterion", "l2")
        for method in METHODS:
            output, _, record = self.prune(method, "--method", method, "--criterion", "l2", "--strided")
            self.assertEqual(len(record["layers"]), len(plain["layers"]) + 2)
            self.assertEqual(len(self.strided_nodes(output)), 2)
            self.assertAlmostEqual(record["ratio"], 0 if method == "dense" else 0.5, delta=0.01, msg=method)
            self.succeed("verify", output, "--bound", 1e-5)
            self.assertIn("stride 2", self.succeed("info", output))
        self.assertEqual(self.strided_nodes(self.folder / "plain.onnx"), [])

    def test_same_outputs_in_onnx_runtime(self):
        portable = self.folder / "portable.onnx"
        output, _, _ = self.prune("here", "--method", "wins", "--criterion", "l2", "--strided", "--portable", portable)
        x = np.random.default_rng(0).standard_normal((3, 1, 28, 28)).astype(np.float32)
        np.save(self.folder / "x.npy", x)
        self.succeed("run", output, "--input", self.folder / "x.npy", "--output", self.folder / "y.npy")
        ours = np.load(self.folder / "y.npy")
        for file in (output, portable):
            onnx.checker.check_model(str(file), full_check=True)
            session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
            theirs = session.run(None, {session.get_inputs()[0].name: x})[0]
            self.assertLess(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs), 1e-5, file)

    def test_refit_and_criteria_with_pictures(self):
        pictures = ("--strided", "--data", self.data, "--calibration", 128, "--held-out", 0.2)
        for flags in (("--method", "wins"), ("--method", "wins", "--criterion", "gram"),
                      ("--method", "wins-b", "--criterion", "obs"), ("--method", "wins-ab", "--criterion", "l2")):
            _, _, plain = self.prune("unfitted", *flags, *pictures, "--no-refit")
            output, _, fitted = self.prune("fitted", *flags, *pictures)
            self.assertEqual(len(self.strided_nodes(output)), 2, flags)
            self.assertLess(fitted["held_out"]["output_error"], plain["held_out"]["output_error"], msg=flags)
            self.succeed("verify", output, "--bound", 1e-5)

    def test_a_ratio_for_each_layer(self):
        output, _, record = self.prune("allocated", "--method", "wins", "--strided", "--data", self.data, "--calibration", 128,
                                       "--held-out", 0.2, "--allocate", "multiplications")
        layers = [layer["layer"] for layer in record["allocation"]["layers"]]
        for name in self.strided_nodes(output):
            self.assertIn(name, layers)

    def test_names_and_steps(self):
        output, _, _ = self.prune("steps", "--method", "wins", "--criterion", "l2", "--strided", "--steps", 2)
        layer = self.strided_nodes(output)[0]
        _, _, record = self.prune("one", "--method", "wins", "--criterion", "l2", "--strided", "--layer", f"{layer}=0.2")
        row = next(row for row in record["layers"] if row["name"] == layer)
        self.assertEqual(len(row["kept"]), 25)
        self.assertAlmostEqual(1 - sum(row["kept"]) / (25 * row["rows"]), 0.2, delta=0.01)
        output, _, _ = self.prune("less", "--method", "wins", "--criterion", "l2", "--strided", "--exclude", layer)
        self.assertEqual(len(self.strided_nodes(output)), 1)
        for flag in (("--layer", f"{layer}=0.2"), ("--exclude", layer)):
            self.refuse("prune", self.net, "-o", self.folder / "no.onnx", "--training", "none", "--criterion", "l2",
                        "--method", "wins", *flag, status=2, words=[layer, "no such prunable layer"])

    def test_bad_files(self):
        output, _, _ = self.prune("good", "--method", "wins", "--criterion", "l2", "--strided")
        name = self.strided_nodes(output)[0]
        for attribute, value, word in (("stride", 3, "stride 3"), ("m", 4, "stride 2 with F(4x4, 3x3)"),
                                       ("stride", 1, "p*p = 16")):
            model = onnx.load(str(output))
            node = next(node for node in model.graph.node if node.name == name)
            next(a for a in node.attribute if a.name == attribute).i = value
            bad = self.folder / "bad.onnx"
            bad.write_bytes(model.SerializeToString())
            self.refuse("info", bad, words=["bad.onnx", name, word])
            bad.unlink()

    @unittest.skipUnless(has_training(), "needs libtorch")
    def test_fine_tuning(self):
        output = self.folder / "tuned.onnx"
        self.succeed("prune", self.net, "-o", output, "--ratio", 0.5, "--method", "wins", "--criterion", "l2", "--strided",
                     "--data", self.data, "--calibration", 64, "--epochs", 1)
        self.assertEqual(len(self.strided_nodes(output)), 2)
        self.succeed("verify", output, "--bound", 1e-5)


if __name__ == "__main__":
    unittest.main()

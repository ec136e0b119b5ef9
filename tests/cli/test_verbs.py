"""Every verb on a small network, piped, with its machine-readable record."""

import json
import pathlib
import unittest

import numpy as np
import onnx
import onnxruntime

from wins_cli import Case, has_training, pattern, wins, write_idx, write_noise, write_png

METHODS = ("wins", "wins-b", "fp", "wwp")
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
FASHION_NET = pathlib.Path(__file__).resolve().parents[2] / "models" / "fashion-resnet.onnx"


class Verbs(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = cls.folder / "data"
        write_idx(cls.data, "train", 256, seed=1)
        write_idx(cls.data, "test", 64, seed=2)
        cls.net = cls.folder / "net.onnx"
        answer = wins("zoo", "resnet8", "-o", cls.net, "--classes", 4, "--input", "1x28x28")
        assert answer.returncode == 0, answer.stderr
        cls.pruned = cls.folder / "pruned.onnx"
        answer = wins("prune", cls.net, "-o", cls.pruned, "--method", "wins", "--criterion", "l2", "--ratio", 0.84,
                      "--training", "none")
        assert answer.returncode == 0, answer.stderr

    def test_help_and_version(self):
        self.assertIn("prune", self.succeed("--help"))
        self.assertRegex(self.succeed("--version"), r"^\d+\.\d+\.\d+")
        for verb in ("info", "zoo", "train", "prune", "finetune", "eval", "run", "bench", "verify", "report", "demo"):
            self.assertIn("--seed", self.succeed(verb, "--help"))

    def test_info(self):
        text = self.succeed("info", self.net, "--json", self.folder / "info.json")
        self.assertIn("with prune --strided", text)
        self.assertIn("yes", text)
        record = self.load_json("info.json")
        self.assertGreater(record["direct_macs"], 1_000_000)
        pruned = self.succeed("info", self.pruned)
        self.assertIn("WinogradConv", pruned)
        self.assertIn("% pruned", pruned)

    def test_prune_reaches_the_ratio_by_every_method(self):
        for method in METHODS:
            output = self.folder / f"{method}.onnx"
            self.succeed("prune", self.net, "-o", output, "--method", method, "--criterion", "l2", "--ratio", 0.5,
                         "--training", "none", "--json", self.folder / "prune.json")
            record = self.load_json("prune.json")
            self.assertAlmostEqual(record["ratio"], 0.5, delta=0.01, msg=method)
            self.succeed("verify", output, "--bound", 1e-5)

    def prune_without_training(self, name, *flags):
        output = self.folder / f"{name}.onnx"
        text = self.succeed("prune", self.net, "-o", output, "--ratio", 0.5, "--training", "none", "--calibration", 128,
                            "--held-out", 0.2, *flags, "--json", self.folder / "prune.json")
        return text, self.load_json("prune.json")

    def test_refit_without_training(self):
        for method in (*METHODS, "wins-ab"):
            flags = ("--method", method, "--criterion", "l2", "--data", self.data)
            _, plain = self.prune_without_training("plain", *flags, "--no-refit")
            text, fitted = self.prune_without_training("fitted", *flags)
            self.assertIn("refit on 128 pictures", text)
            self.assertIn("same answer as the dense network", text)
            self.assertEqual(plain["refit"], [])
            self.assertEqual(len(fitted["refit"]), 9)  # from the first pruned layer on
            for layer in fitted["refit"]:
                self.assertLessEqual(layer["error_after"], layer["error_before"] + 1e-9, msg=layer["layer"])
            self.assertLess(fitted["held_out"]["output_error"], plain["held_out"]["output_error"], msg=method)
            self.assertIn("dense_top1", fitted["held_out"])
            self.succeed("verify", self.folder / "fitted.onnx", "--bound", 1e-5)

    @unittest.skipUnless(FASHION.exists(), "needs the Fashion-MNIST data set")
    def test_rows_by_second_moments(self):
        for criterion, method in (("gram", "wins"), ("gram", "fp"), ("obs", "wins-b"), ("obs", "wins-ab")):
            output = self.folder / "chosen.onnx"
            self.succeed("prune", FASHION_NET, "-o", output, "--method", method, "--criterion", criterion, "--ratio", 0.5,
                         "--training", "none", "--data", FASHION, "--calibration", 128, "--held-out", 0.01,
                         "--json", self.folder / "chosen.json")
            record = self.load_json("chosen.json")
            self.assertEqual(record["criterion"], criterion)
            self.assertAlmostEqual(record["ratio"], 0.5, delta=0.01, msg=method)
            self.assertGreater(record["held_out"]["agreement"], 0.8, msg=(criterion, method))
            self.succeed("verify", output, "--bound", 1e-5)

    def test_refit_without_labels(self):
        pictures = write_noise(self.folder / "pictures", 80)
        text, record = self.prune_without_training("unlabelled", "--method", "wins", "--data", pictures)
        self.assertNotIn("top-1", text)
        self.assertIn("agreement", record["held_out"])
        self.assertNotIn("top1", record["held_out"])
        self.assertEqual(record["pictures"], 64)

    def test_same_outputs_in_onnx_runtime(self):
        portable = self.folder / "portable.onnx"
        self.succeed("prune", self.net, "-o", self.folder / "again.onnx", "--method", "wins", "--criterion", "l2",
                     "--ratio", 0.84, "--training", "none", "--portable", portable)
        self.assertEqual((self.folder / "again.onnx").read_bytes(), self.pruned.read_bytes(), "not deterministic")
        x = np.random.default_rng(0).standard_normal((3, 1, 28, 28)).astype(np.float32)
        np.save(self.folder / "x.npy", x)
        self.succeed("run", self.pruned, "--input", self.folder / "x.npy", "--output", self.folder / "y.npy")
        ours = np.load(self.folder / "y.npy")
        for file in (self.pruned, portable):
            onnx.checker.check_model(str(file), full_check=True)
            session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
            theirs = session.run(None, {session.get_inputs()[0].name: x})[0]
            self.assertLess(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs), 1e-5, file)
        self.assertTrue(all(node.domain in ("", "ai.onnx") for node in onnx.load(str(portable)).graph.node))

    def test_named_tensors(self):
        np.save(self.folder / "named.npy", np.zeros((1, 1, 28, 28), np.float32))
        name = onnx.load(str(self.net)).graph.input[0].name
        self.succeed("run", self.net, "--input", f"{name}={self.folder / 'named.npy'}", "--backend", "ref")

    def test_run_labels_pictures(self):
        picture = self.folder / "picture.png"
        write_png(picture, pattern(1, np.random.default_rng(0)))
        text = self.succeed("run", self.net, picture, "--json", self.folder / "run.json")
        self.assertIn("%", text)
        self.assertEqual(len(self.load_json("run.json")["pictures"][0]["top"]), 4)

    def test_eval(self):
        self.succeed("eval", self.net, "--data", self.data, "--json", self.folder / "eval.json")
        record = self.load_json("eval.json")
        self.assertEqual(record["pictures"], 64)
        self.assertLessEqual(record["top1"], record["top5"])

    def test_bench_against_the_dense_network(self):
        text = self.succeed("bench", self.pruned, "--against", self.net, "--batch", "1,2", "--rounds", 5,
                            "--json", self.folder / "bench.json")
        self.assertIn("ratio", text)
        record = self.load_json("bench.json")
        self.assertEqual([b["batch"] for b in record["batches"]], [1, 2])
        names = " ".join(row["name"] for row in record["batches"][0]["rows"])
        self.assertIn("onnxruntime", names)
        kernels = " ".join(layer["kernel"] for layer in record["batches"][0]["layers"])
        self.assertIn("winograd", kernels)

    def test_verify_fails_over_the_bound(self):
        self.succeed("verify", self.pruned)
        self.refuse("verify", self.pruned, "--bound", 1e-12, words=["exceed the bound"])

    def test_verify_beside_the_dense_network(self):
        text = self.succeed("verify", self.pruned, "--dense", self.net, "--json", self.folder / "verify.json")
        self.assertIn("times as much", text)
        record = self.load_json("verify.json")
        self.assertLess(record["dense"]["relative_l2"], 1e-5)
        self.assertEqual(record["network_bound"], 2e-4)
        # Weights of 8 bits have bounds of their own.
        self.succeed("verify", self.pruned, "--weight-storage", "bf16")

    def test_output_to_a_closed_pipe(self):
        import subprocess
        from wins_cli import BINARY
        answer = subprocess.run(f"{BINARY} info {self.net} | head -1", shell=True, capture_output=True, text=True)
        self.assertEqual(answer.stderr, "")
        self.assertIn("net.onnx", answer.stdout)


@unittest.skipUnless(has_training(), "this build has no training")
class TrainingVerbs(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = cls.folder / "data"
        write_idx(cls.data, "train", 512, seed=1)
        write_idx(cls.data, "test", 128, seed=2)
        cls.net = cls.folder / "net.onnx"
        cls.trained = cls.folder / "trained.onnx"
        assert wins("zoo", "resnet8", "-o", cls.net, "--classes", 4, "--input", "1x28x28").returncode == 0
        answer = wins("train", cls.net, "-o", cls.trained, "--data", cls.data, "--epochs", 4, "--batch", 32,
                      "--lr", 0.05, "--json", cls.folder / "train.json")
        assert answer.returncode == 0, answer.stderr

    def top1(self, model):
        self.succeed("eval", model, "--data", self.data, "--json", self.folder / "eval.json")
        return self.load_json("eval.json")["top1"]

    def test_the_whole_way(self):
        self.assertGreater(self.top1(self.trained), 0.9)
        self.assertGreater(len(self.load_json("train.json")["training_log"]), 0)
        output = self.folder / "wins-ab.onnx"
        text = self.succeed("prune", self.trained, "-o", output, "--method", "wins-ab", "--ratio", 0.84, "--data",
                            self.data, "--epochs", 2, "--batch", 32, "--outlook-steps", 5, "--held-out", 0.1,
                            "--json", self.folder / "prune.json")
        self.assertIn("WINS-AB", text)
        record = self.load_json("prune.json")
        self.assertEqual({row["reason"] != "" for row in record["ab"]}, {True})
        self.assertGreater(self.top1(output), 0.8)
        tuned = self.folder / "tuned.onnx"
        self.succeed("finetune", output, "-o", tuned, "--data", self.data, "--epochs", 1, "--batch", 32,
                     "--teacher", self.trained, "--distill", 0.5)
        self.assertGreater(self.top1(tuned), 0.8)
        # Fine-tuning keeps the pruned rows pruned.
        before, after = (json.loads(json.dumps(self.ratio(m))) for m in (output, tuned))
        self.assertEqual(before, after)

    def ratio(self, model):
        self.succeed("info", model, "--json", self.folder / "info.json")
        return self.load_json("info.json")["pruning_ratio"]

    def test_without_labels(self):
        output = self.folder / "unlabelled.onnx"
        self.succeed("prune", self.trained, "-o", output, "--method", "wins", "--ratio", 0.5, "--data", self.data,
                     "--epochs", 1, "--batch", 32, "--labels", "none")
        self.assertGreater(self.top1(output), 0.8)

    def test_sensitivity(self):
        text = self.succeed("prune", self.trained, "--method", "wins", "--data", self.data, "--training", "none",
                            "--sensitivity", "0.5,0.9", "--held-out", 0.1, "--json", self.folder / "s.json")
        self.assertIn("held-out", text)
        self.assertGreaterEqual(len(self.load_json("s.json")["sensitivity"]), 4)

    def test_report(self):
        self.succeed("bench", self.trained, "--rounds", 3, "--peer", "none", "--json", self.folder / "b.json")
        self.succeed("report", self.folder / "b.json", "-o", self.folder / "report.html")
        self.assertIn("</html>", (self.folder / "report.html").read_text())


if __name__ == "__main__":
    unittest.main()

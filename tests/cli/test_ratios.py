"""Ratios that the tool chooses itself: --allocate and --max-loss."""

import json
import os
import pathlib
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from wins_cli import Case, has_training, wins, write_noise

MODEL = pathlib.Path(os.environ.get("WINS_SOURCE_DIR", ".")) / "models/fashion-resnet.onnx"
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")


class Flags(Case):
    """On a network with random weights."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make_network(160)

    def arguments(self, *flags, data=True, training="none"):
        defaults = {"--method": "wins", "--training": training, "--calibration": 64, "--held-out": 0.2}
        if data:
            defaults["--data"] = self.data
        return ("prune", self.net, "-o", self.folder / "out.onnx", *flags,
                *(word for name, value in defaults.items() if name not in flags for word in (name, value)))

    def usage(self, *flags, words=(), **options):
        self.refuse(*self.arguments(*flags, **options), status=2, words=words)

    def record(self, *flags):
        text = self.succeed(*self.arguments(*flags, "--json", self.folder / "out.json"))
        return text, self.load_json("out.json")

    def test_contradictions(self):
        for flag in (("--allocate", "multiplications"), ("--max-loss", 1)):
            self.usage(*flag, data=False, words=[flag[0], "--data"])
            self.usage(*flag, "--method", "dense", words=[flag[0], "dense"])
            self.usage(*flag, "--steps", 2, words=[flag[0], "--steps"])
        self.usage("--allocate", "magic", words=["--allocate"])
        self.usage("--allocate", "time", "--no-refit", words=["--allocate", "--no-refit"])
        self.usage("--max-loss", 1, "--ratio", 0.5, words=["--max-loss", "--ratio"])
        self.usage("--max-loss", 1, "--held-out", 0, words=["--max-loss", "--held-out"])
        for value in ("-1", "nan", "inf", "abc"):
            self.usage("--max-loss", value, words=["--max-loss"])
        for value in ("0", "1", "-0.5", "nan"):
            self.usage("--allocate", "multiplications", "--max-ratio", value, words=["ratio"])
        self.usage("--max-ratio", 0.9, words=["--max-ratio", "--allocate"])
        if has_training():
            self.usage("--max-loss", 1, training="default", words=["--max-loss", "--training none"])

    def test_ratios_that_cannot_be_met(self):
        for flags in (("--ratio", 0.7, "--max-ratio", 0.6), ("--ratio", 0.7, "--min-layer", 0.5)):
            self.refuse(*self.arguments("--allocate", "multiplications", *flags), words=["0.7", "cannot be met"])
        names = [layer["name"] for layer in self.record()[1]["layers"]]
        (self.folder / "out.onnx").unlink()
        (self.folder / "out.json").unlink()
        exclude = [word for name in names for word in ("--exclude", name)]
        self.refuse(*self.arguments("--allocate", "multiplications", *exclude), words=["no layer is left"])

    def test_allocation_meets_the_ratio_by_every_method(self):
        for method in ("wins", "wins-b", "fp", "wwp", "wins-ab"):
            text, record = self.record("--allocate", "multiplications", "--ratio", 0.6, "--method", method)
            self.assertIn("sensitivity", text)
            # Whole filters of small layers are coarse.
            self.assertAlmostEqual(record["pruned_multiplications"], 0.6, delta=0.02, msg=method)
            rows = record["allocation"]["layers"]
            total = sum(row["cost"] for row in rows)
            self.assertAlmostEqual(sum(row["cost"] * row["ratio"] for row in rows) / total, 0.6, places=6)
            self.assertLessEqual(max(row["ratio"] for row in rows), 0.95)
            for curve in record["allocation"]["curves"]:
                self.assertEqual(curve["curve"][0], {"ratio": 0, "squared_error": 0, "damage": 0})

    def test_bounds_and_ratios_that_were_given(self):
        name = self.record()[1]["layers"][0]["name"]
        _, record = self.record("--allocate", "multiplications", "--ratio", 0.5, "--layer", f"{name}=0.25",
                                "--max-ratio", 0.6)
        reached = {layer["name"]: layer["ratio"] for layer in record["layers"]}
        self.assertAlmostEqual(reached[name], 0.25, delta=0.01)
        self.assertNotIn(name, [row["layer"] for row in record["allocation"]["layers"]])
        self.assertLessEqual(max(reached.values()), 0.61)
        _, again = self.record("--allocate", "multiplications", "--ratio", 0.5, "--layer", f"{name}=0.25",
                               "--max-ratio", 0.6)
        self.assertEqual(again["layers"], record["layers"])

    def test_curves_of_an_earlier_run(self):
        flags = ("--allocate", "multiplications", "--criterion", "l2")
        _, first = self.record(*flags, "--ratio", 0.6)
        curves = self.folder / "curves.json"
        (self.folder / "out.json").rename(curves)
        _, again = self.record(*flags, "--ratio", 0.6, "--curves", curves)
        self.assertEqual(first["allocation"]["layers"], again["allocation"]["layers"])
        self.record(*flags, "--ratio", 0.5, "--curves", curves)
        (self.folder / "out.onnx").unlink()
        self.usage("--curves", curves, words=["--curves", "--allocate"])
        self.refuse(*self.arguments(*flags, "--curves", curves, "--method", "fp"), words=["curves.json", "not for fp"])
        first["allocation"]["curves"][0]["curve"][1]["ratio"] = -1
        for text, word in ((json.dumps(first), "does not rise"), ("{}", "no record"), ("nonsense", "curves.json")):
            curves.write_text(text)
            self.refuse(*self.arguments(*flags, "--curves", curves), words=["curves.json", word])

    def test_allocation_by_time(self):
        # At batch 1 a layer saves some microseconds, less than what else runs here may cost one.
        _, record = self.record("--allocate", "time", "--ratio", 0.5, "--timing-batch", 32, "--threads", 1)
        rows = record["allocation"]["layers"]
        saved = sum(row["cost"] * row["ratio"] for row in rows) / sum(row["cost"] for row in rows)
        self.assertAlmostEqual(saved, 0.5, places=6)

    def test_search_without_labels(self):
        pictures = write_noise(self.folder / "pictures", 80)
        text, record = self.record("--data", pictures, "--max-loss", 5)
        self.assertIn("% of the answers changed", text)
        self.assertAlmostEqual(1 - record["held_out"]["agreement"], self.chosen(record, 5)["loss"] / 100, places=6)

    def chosen(self, record, bound):
        """The round whose ratio was taken: the largest within the bound."""
        within = [step for step in record["search"] if step["loss"] <= bound]
        best = max(within, key=lambda step: step["ratio"])
        self.assertEqual(best["ratio"], record["ratio_target"])
        return best

    def test_a_network_that_does_not_classify(self):
        rng = np.random.default_rng(0)
        weights = [numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32) * 0.2, name)
                   for name, shape in (("w1", (8, 1, 3, 3)), ("w2", (8, 8, 3, 3)), ("w3", (1, 8, 3, 3)))]
        nodes = []
        for i, (x, y) in enumerate((("x", "a"), ("a", "b"), ("b", "y")), 1):
            nodes.append(helper.make_node("Conv", [x, f"w{i}"], [y], f"conv{i}", pads=[1, 1, 1, 1]))
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, 28, 28]) for name in "xy"]
        model = helper.make_model(helper.make_graph(nodes, "image", ends[:1], ends[1:], weights),
                                  opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path = self.folder / "image.onnx"
        onnx.save(model, str(path))
        head = ("prune", path, "-o", self.folder / "out.onnx", "--method", "wins", "--training", "none", "--data",
                self.data, "--calibration", 64, "--held-out", 0.2)
        self.refuse(*head, "--max-loss", 1, words=["--max-loss", "give --ratio"])
        self.succeed(*head, "--allocate", "multiplications", "--ratio", 0.5, "--json", self.folder / "image.json")
        rows = self.load_json("image.json")["allocation"]["layers"]
        self.assertGreater(max(row["sensitivity"] for row in rows), 0)


@unittest.skipUnless(FASHION.is_dir() and MODEL.is_file(), "needs Fashion-MNIST and the committed network")
class Search(Case):
    def arguments(self, *flags):
        return ("prune", MODEL, "-o", self.folder / "out.onnx", "--method", "wins", "--training", "none", "--data",
                FASHION, "--limit", 1000, "--calibration", 128, "--held-out", 0.3, *flags)

    def test_keeps_the_largest_ratio_within_the_bound(self):
        for flags in ((), ("--allocate", "multiplications")):
            text = self.succeed(*self.arguments("--max-loss", 3, *flags, "--json", self.folder / "out.json"))
            record = self.load_json("out.json")
            steps = record["search"]
            self.assertLessEqual(len(steps), 7)
            self.assertEqual(text.count(": loss "), len(steps))
            self.assertIn("the pictures that chose it", text)
            best = max((step for step in steps if step["loss"] <= 3), key=lambda step: step["ratio"])
            self.assertEqual(best["ratio"], record["ratio_target"])
            held_out = record["held_out"]
            self.assertAlmostEqual((held_out["dense_top1"] - held_out["top1"]) * 100, best["loss"], places=6)
            self.assertGreater(best["ratio"], 0.3)
            self.assertEqual("allocation" in record, bool(flags))
            self.assertAlmostEqual(record["pruned_multiplications"], best["ratio"], delta=0.01)

    def test_a_bound_that_nothing_meets(self):
        hopeless = [f"layer{stage}.1.conv{i}=0.999" for stage in (1, 2, 3) for i in (1, 2)]
        answer = wins(*self.arguments("--max-loss", 0.5, *(word for layer in hopeless for word in ("--layer", layer))))
        self.assertEqual(answer.returncode, 1, answer.stderr)
        self.assertIn("even ratio 0.01 loses", answer.stderr)
        self.assertFalse((self.folder / "out.onnx").exists())


if __name__ == "__main__":
    unittest.main()

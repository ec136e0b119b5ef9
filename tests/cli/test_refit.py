"""The refit of `wins prune`: flags, going on after a kill."""

import signal
import subprocess
import time
import unittest

from wins_cli import BINARY, Case, has_training, wins


class Refit(Case):
    """On a network with random weights."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make_network(640)

    def arguments(self, *flags, calibration=512):
        return [str(word) for word in ("prune", self.net, "--data", self.data, "--training", "none", "--method", "wins",
                                       "--calibration", calibration, "--threads", 1, "-o", self.folder / "out.onnx", *flags)]

    def test_goes_on_after_a_kill(self):
        state = self.folder / "state.onnx"
        process = subprocess.Popen([BINARY, *self.arguments("--refit-checkpoint", state)], stdout=subprocess.DEVNULL)
        deadline = time.time() + 60
        while not state.exists() and process.poll() is None and time.time() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertTrue(state.exists())
        self.refuse(*self.arguments("--refit-checkpoint", state, "--ridge", 0.5), words=["state.onnx", "another job"])
        text = self.succeed(*self.arguments("--refit-checkpoint", state, "--json", self.folder / "resumed.json"))
        self.assertIn("layers are done already", text)
        self.assertFalse(state.exists())
        self.succeed(*self.arguments("--json", self.folder / "whole.json"))
        errors = [[layer["error_after"] for layer in self.load_json(name)["refit"]] for name in ("resumed.json", "whole.json")]
        self.assertEqual(errors[0], errors[1])

    def test_checkpoint_that_is_none(self):
        self.refuse(*self.arguments("--refit-checkpoint", self.net), words=["net.onnx", "no state of a refit"])
        self.refuse(*self.arguments("--refit-checkpoint", self.folder / "s", "--steps", 2), status=2,
                    words=["--refit-checkpoint", "--steps"])

    def test_activation_rounds_and_residual(self):
        for flags in (("--activation-rounds", 0), ("--activation-rounds", 1, "--no-residual")):
            self.succeed(*self.arguments(*flags))
        self.refuse(*self.arguments("--activation-rounds", -1), status=2, words=["--activation-rounds"])

    def test_augmented_pictures_come_several_times(self):
        self.assertIn("refit on 576 pictures", self.succeed(*self.arguments(calibration=1024)))
        text = self.succeed(*self.arguments("--calibration-augment", "flip,crop=2", calibration=1024))
        self.assertIn("refit on 1024 pictures", text)
        self.refuse(*self.arguments("--calibration-augment", "magic"), status=2, words=["--calibration-augment", "magic"])

    @unittest.skipUnless(has_training(), "needs libtorch")
    def test_a_device_that_is_missing_is_said_at_once(self):
        start = time.time()
        result = wins(*self.arguments("--device", "cuda"))
        if result.returncode == 0:
            return  # there is one
        self.assertEqual(result.returncode, 1)
        self.assertIn("cuda", result.stderr)
        self.assertLess(time.time() - start, 20)


if __name__ == "__main__":
    unittest.main()

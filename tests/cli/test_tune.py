"""--tune: kernels chosen by their times, which a file keeps."""

import subprocess
import unittest

from wins_cli import BINARY, Case, wins


class Tune(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.net = cls.folder / "net.onnx"
        assert wins("zoo", "resnet14", "-o", cls.net, "--input", "3x32x32").returncode == 0

    def bench(self, cache, *more, environment=None):
        answer = wins("bench", self.net, "--peer", "none", "--rounds", 2, "--threads", 2, *more,
                      *(["--tune-cache", cache] if cache else ["--tune"]), environment=environment)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return answer

    def test_bench_shows_what_was_measured_and_the_file_keeps_it(self):
        cache = self.folder / "new" / "tuning.txt"
        text = self.bench(cache, "--json", self.folder / "tuned.json").stdout
        self.assertRegex(text, r"tuned cpu:\S+: measured \d+ us")
        self.assertRegex(text, r"not cpu:\S+: measured \d+ us")
        layers = self.load_json("tuned.json")["batches"][0]["layers"]
        self.assertTrue(any(layer.get("tuned_us", 0) > 0 for layer in layers))
        lines = cache.read_text().splitlines()
        self.assertEqual(lines[0], "wins tuning 1")
        self.assertRegex(lines[1], r"^machine\t.*, 2 threads, wins \d")

    def test_the_default_file_stands_in_the_cache_folder(self):
        self.bench(None, environment={"XDG_CACHE_HOME": str(self.folder / "cache")})
        self.assertTrue((self.folder / "cache" / "wins" / "tuning.txt").exists())

    def test_a_file_of_something_else_is_left_with_one_warning(self):
        before = self.net.read_bytes()
        answer = self.bench(self.net)
        self.assertEqual(answer.stderr.count("warning"), 1, answer.stderr)
        self.assertIn("wins: warning: tuning cache " + str(self.net), answer.stderr)
        self.assertEqual(self.net.read_bytes(), before)

    def test_a_folder_that_cannot_be_written_costs_one_warning(self):
        answer = self.bench(self.net / "tuning.txt")
        self.assertEqual(answer.stderr.count("warning"), 1, answer.stderr)

    def test_verify_checks_the_tuned_kernels(self):
        self.succeed("verify", self.net, "--tune-cache", self.folder / "verify.txt")

    def test_two_at_once(self):
        cache = self.folder / "both.txt"
        both = [subprocess.Popen([BINARY, "bench", str(self.net), "--peer", "none", "--rounds", "2", "--batch", str(batch),
                                  "--tune-cache", str(cache)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                for batch in (1, 2)]
        for process in both:
            _, errors = process.communicate(timeout=120)
            self.assertEqual((process.returncode, errors), (0, ""))
        answer = self.bench(cache)
        self.assertEqual(answer.stderr, "")


if __name__ == "__main__":
    unittest.main()

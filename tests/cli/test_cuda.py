"""What the CUDA backend says where it cannot run: in builds without it, and on machines without a GPU."""

import unittest

import numpy as np

from wins_cli import Case, wins

# Words of the line, by what is missing.
MISSING = ("not in this build", "cannot be used", "needs a GPU")


class Cuda(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make_network(32)
        cls.x = cls.folder / "x.npy"
        np.save(cls.x, np.zeros((1, 1, 28, 28), np.float32))
        answer = wins("run", cls.net, "--input", cls.x, "--backend", "cuda")
        if answer.returncode == 0:
            raise unittest.SkipTest("there is a GPU")

    def refuse_cuda(self, *arguments, words=()):
        line = self.refuse(*arguments, words=words)
        self.assertTrue(any(word in line for word in MISSING), line)

    def test_verbs(self):
        cuda = ("--backend", "cuda")
        self.refuse_cuda("run", self.net, "--input", self.x, "--output", self.folder / "y.npy", *cuda, words=["backend 'cuda'"])
        self.refuse_cuda("bench", self.net, "--peer", "none", *cuda, words=["backend 'cuda'"])
        self.refuse_cuda("bench", self.net, "--peer", "none", *cuda, "--precision", "fp16", words=["backend 'cuda'"])
        self.refuse_cuda("verify", self.net, *cuda, words=["backend 'cuda'"])

    def test_other_backends_have_one_precision(self):
        self.refuse("run", self.net, "--input", self.x, "--precision", "fp16", words=["precision", "fp32 alone"])

    def test_figure(self):
        self.refuse_cuda("bench", "--figure", "3c", "--json", self.folder / "f.json", words=["--figure 3c"])
        self.refuse("bench", "--figure", "3d", status=2, words=["3d"])
        self.refuse("bench", self.net, "--figure", "3c", status=2, words=["--figure"])
        self.refuse("bench", status=2, words=["MODEL", "--figure"])


if __name__ == "__main__":
    unittest.main()

"""Networks of the benchmarks: dense ones from `wins zoo` with random weights, pruned ones from `wins prune` on those."""

import subprocess
import sys

import noise
from ratios import RATIO

BCBP_RATIO = 0.8
# Behind a plus: what is pruned besides the stride-1 3x3 layers, for the networks that have it, and rows kept in eights, as the CUDA kernel multiplies them.
EXTRA = {"bcbp": ("--bcbp", BCBP_RATIO), "strided": ("--strided",), "round8": ("--round", 8)}
EXTRA_NETWORKS = {"wins-ab+bcbp": ("resnet50",), "wins-ab+strided": ("resnet18",), "wins-ab+bcbp+strided": ("resnet50",), "wins-ab+bcbp+round8": ("resnet50",)}
METHODS = ("wins", "wins-b", "wins-ab", "wins+round8", "wins-ab+round8", *EXTRA_NETWORKS, "fp", "wwp")


def wins(tool, *words):
    """Runs the tool; its error line ends the program."""
    done = subprocess.run([str(tool), *map(str, words), "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{sys.argv[0]}: {done.stderr.strip()}")


def variants_of(network, variants):
    """Those that this network has."""
    return [variant for variant in variants if network in EXTRA_NETWORKS.get(variant, (network,))]


def method_words(variant, ratio):
    """Options of `wins prune` for a variant, without training; `ratio` from 0 to 1."""
    method, *extras = variant.split("+")
    return ["--method", method, "--criterion", "l2", "--ratio", ratio, "--training", "none", *(word for extra in extras for word in EXTRA[extra])]


def prune_words(network, variant, folder, measure, block=None):
    """Options of `wins prune`; `measure`: how WINS-AB, which compares accuracies on a few pictures of noise, takes its times; `block`: output
    channels of BCBP's blocks, by default the CPU's vector."""
    method, *extras = variant.split("+")
    words = method_words(variant, RATIO[network] / 100)
    if method == "wins-ab":
        words += ["--data", noise.image_folder(folder / "noise"), "--calibration", 2, "--held-out", 0.5, "--no-refit", *measure]
    return words + (["--bcbp-block", block] if block and "bcbp" in extras else [])


def prune(tool, network, variant, dense, folder, measure, block=None):
    """The file of a variant."""
    file = folder / f"{network}-{variant}.onnx"
    wins(tool, "prune", dense, *prune_words(network, variant, folder, measure, block), "-o", file)
    return file

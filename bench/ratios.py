"""Pruning ratios of the benchmarks, by network."""

# In percent; the paper's, except for the demo's network.
RATIO = {"resnet18": 84, "vgg16": 84, "resnet50": 80, "squeezenet1_0": 28.1, "densenet121": 85, "fashion-resnet": 84}

// Well-known architectures built from scratch, randomly initialised.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::graph {

struct ZooOptions {
  std::int64_t classes = 1000;
  std::int64_t channels = 3;
  std::int64_t height = 224;
  std::int64_t width = 224;
  /// Channels of the first stage of resnet8 and resnet14 (later stages: twice, four times); 0 = 16.
  std::int64_t base_channels = 0;
  std::uint64_t seed = 0;
};

/// resnet18 resnet50 vgg16 squeezenet1_0 densenet121 (torchvision's definitions; below 64 pixels
/// the ImageNet stem of ResNet and DenseNet becomes a 3x3 stride-1 convolution without max-pool,
/// the usual CIFAR form; VGG pools maps larger than 7x7 to 7x7 and passes smaller ones on),
/// resnet8 resnet14 (CIFAR ResNet, He et al. 2016, section 4.2, widths 16, 32, 64). Batch norm
/// stands as nodes; the batch extent is dynamic. Nodes have the names of torchvision's modules;
/// weights are He-normal. Throws `Error` listing the names when `arch` is unknown, or naming the
/// size when the input is too small.
Graph zoo(const std::string& arch, const ZooOptions& options);
std::vector<std::string> zoo_names();

}  // namespace wins::graph

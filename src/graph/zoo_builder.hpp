// Layer-by-layer construction of a network with random weights.
#pragma once

#include <string>
#include <vector>

#include "wins/graph/graph.hpp"
#include "wins/graph/zoo.hpp"

namespace wins::graph {

struct ConvSpec {
  std::int64_t channels = 0;  ///< output
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  std::int64_t pad = 0;
  bool bias = false;
};

/// Appends layers to a graph, following the shape of an NCHW activation. Nodes are named like
/// torchvision's modules; weights are He-normal, each from its own name and the seed, so that they
/// do not depend on the order of construction.
class ZooBuilder {
 public:
  ZooBuilder(const std::string& arch, const ZooOptions& options);

  ValueId input() const { return graph_.inputs.front(); }
  ValueId conv(const std::string& name, ValueId x, const ConvSpec& spec);
  ValueId batch_norm(const std::string& name, ValueId x);
  ValueId relu(const std::string& name, ValueId x);
  ValueId max_pool(const std::string& name, ValueId x, const ConvSpec& window, bool ceil_mode = false);
  ValueId average_pool(const std::string& name, ValueId x, std::int64_t kernel, std::int64_t stride);
  ValueId global_average(const std::string& name, ValueId x);
  ValueId add(const std::string& name, ValueId a, ValueId b);
  ValueId concat(const std::string& name, const std::vector<ValueId>& parts);
  ValueId flatten(const std::string& name, ValueId x);
  ValueId linear(const std::string& name, ValueId x, std::int64_t outputs);
  /// x times a constant matrix from the right, or from the left, over the last two axes.
  ValueId times(const std::string& name, ValueId x, const Tensor& matrix, bool from_left);

  std::int64_t channels(ValueId id) const { return extent(id, 1); }
  std::int64_t extent(ValueId id, std::size_t axis) const { return graph_.value(id).shape->at(axis); }
  const ZooOptions& options() const { return options_; }

  /// The graph with `output` as its only output.
  Graph finish(ValueId output);

 private:
  ValueId append(const std::string& name, Op op, std::vector<ValueId> inputs);
  ValueId weight(const std::string& name, const wins::Shape& shape, std::int64_t fan_in);
  ValueId filled(const std::string& name, std::int64_t size, float value);

  Graph graph_;
  ZooOptions options_;
  std::string arch_;
};

Graph zoo_resnet(const std::string& arch, const ZooOptions& options);
Graph zoo_vgg16(const std::string& arch, const ZooOptions& options);
Graph zoo_squeezenet(const std::string& arch, const ZooOptions& options);
Graph zoo_densenet121(const std::string& arch, const ZooOptions& options);

/// Below this many pixels the ImageNet stems of ResNet and DenseNet take their CIFAR form.
inline constexpr std::int64_t kSmallInput = 64;
inline bool small_input(const ZooOptions& options) {
  return options.height < kSmallInput || options.width < kSmallInput;
}

}  // namespace wins::graph

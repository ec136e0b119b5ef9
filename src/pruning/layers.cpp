#include "layers.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "wins/base/error.hpp"
#include "wins/graph/edit.hpp"
#include "wins/graph/passes.hpp"

namespace wins::pruning {
namespace {

// Below this the transforms cost more than the multiplications that they save.
constexpr std::int64_t kMinChannels = 5;

/// Why pruning leaves a Conv alone; empty when it does not.
std::string refusal(const graph::Graph& graph, const graph::Node& node, bool strided) {
  std::string reason = graph::winograd_refusal(graph, node, strided);
  if (!reason.empty()) return reason;
  const Tensor* weights = graph.constant_input(node, 1);
  if (weights == nullptr) return "its weights are not constant";
  if (weights->dim(1) < kMinChannels) {
    return fmt::format("{} input channels: too few to gain from Winograd (at least {})", weights->dim(1), kMinChannels);
  }
  return "";
}

void check_share(double share, const char* what) {
  require(share >= 0 && share <= 1, "{} {} is outside [0, 1]", what, share);
}

void check_numbers(const PruneConfig& config) {
  require(config.ratio >= 0 && config.ratio < 1, "pruning ratio {} is outside [0, 1)", config.ratio);
  for (const auto& [layer, ratio] : config.layer_ratio) {
    require(ratio >= 0 && ratio < 1, "{}: pruning ratio {} is outside [0, 1)", layer, ratio);
  }
  check_share(config.min_layer_share, "the floor of a layer");
  check_share(config.min_position_share, "the floor of a position");
  require(config.round_to >= 1, "kept rows cannot be rounded to a multiple of {}", config.round_to);
  require(config.m == 0 || config.m == 2 || config.m == 4 || config.m == 6, "tile size {} is not 2, 4, 6 or auto",
          config.m);
}

void check_combination(const PruneConfig& config) {
  const bool filters = config.criterion == Criterion::fpgm || config.criterion == Criterion::whc;
  if (filters && config.method != Method::fp && config.method != Method::dense) {
    throw UsageError(fmt::format("criterion {} ranks whole filters: it goes with method fp, not {}",
                                 to_string(config.criterion), to_string(config.method)));
  }
  if (takes_row_scores(config.criterion) && (config.axis == winograd::Axis::column || config.method == Method::wwp)) {
    throw UsageError(fmt::format("criterion {} ranks rows: it does not go with {}", to_string(config.criterion),
                                 config.method == Method::wwp ? "method wwp" : "axis column"));
  }
  if (config.axis == winograd::Axis::element && config.method != Method::wwp && config.method != Method::dense) {
    throw UsageError(fmt::format("method {} removes rows or columns, not elements", to_string(config.method)));
  }
  if (config.axis == winograd::Axis::column && (config.method == Method::fp || config.method == Method::wwp)) {
    throw UsageError(fmt::format("method {} does not go with axis column", to_string(config.method)));
  }
  if (config.method == Method::wwp && config.round_to != 1) {
    throw UsageError(fmt::format("method wwp has no rows to round to a multiple of {}", config.round_to));
  }
}

void check_known(const std::vector<std::string>& known, const std::string& name) {
  if (std::find(known.begin(), known.end(), name) != known.end()) return;
  throw UsageError(fmt::format("{}: no such prunable layer (there are: {})", name, fmt::join(known, ", ")));
}

}  // namespace

std::vector<std::string> prunable_layers(const graph::Graph& graph, std::map<std::string, std::string>* reasons,
                                         bool strided) {
  std::vector<std::string> layers;
  for (const graph::Node& node : graph.nodes) {
    if (node.as<graph::WinogradConv>() != nullptr) {
      layers.push_back(node.name);
    } else if (node.as<graph::Conv>() != nullptr) {
      const std::string reason = refusal(graph, node, strided);
      if (reason.empty()) layers.push_back(node.name);
      else if (reasons != nullptr) (*reasons)[node.name] = reason;
    }
  }
  return layers;
}

double ratio_of(const PruneConfig& config, const std::string& layer) {
  if (config.method == Method::dense) return 0;
  const auto found = config.layer_ratio.find(layer);
  return found == config.layer_ratio.end() ? config.ratio : found->second;
}

std::vector<std::string> chosen_layers(const graph::Graph& graph, const PruneConfig& config) {
  check_numbers(config);
  check_combination(config);
  std::vector<std::string> layers = prunable_layers(graph, nullptr, config.strided);
  require(!layers.empty() || (config.columns && config.method == Method::dense),
          "{}: no layer to prune (no {} 3x3 convolution with {} or more input channels)",
          graph.name.empty() ? "the network" : graph.name, config.strided ? "stride-1 or stride-2" : "stride-1",
          kMinChannels);
  std::vector<std::string> known = layers;
  if (config.columns) {
    const std::vector<std::string> pointwise = column_layers(graph);
    known.insert(known.end(), pointwise.begin(), pointwise.end());
  }
  for (const auto& [layer, ratio] : config.layer_ratio) check_known(known, layer);
  for (const std::string& layer : config.exclude) {
    check_known(known, layer);
    if (config.layer_ratio.contains(layer)) throw UsageError(fmt::format("{}: both excluded and given a ratio", layer));
  }
  std::erase_if(layers, [&](const std::string& layer) {
    return std::find(config.exclude.begin(), config.exclude.end(), layer) != config.exclude.end();
  });
  return layers;
}

std::vector<double> output_scale(const graph::Graph& graph, const graph::Node& node, std::int64_t K) {
  const auto* conv = node.as<graph::Conv>();
  const auto* winograd = node.as<graph::WinogradConv>();
  const graph::Activation activation = conv != nullptr ? conv->activation : winograd->activation;
  const bool plain = activation == graph::Activation{} && node.input(3) == graph::kNone;
  const std::vector<std::size_t> readers = graph.consumers(node.outputs.at(0));
  if (!plain || readers.size() != 1) return {};
  const graph::Node& next = graph.nodes[readers[0]];
  if (next.input(0) != node.outputs[0]) return {};
  std::vector<double> factors = graph::batch_norm_scale(graph, next);
  if (static_cast<std::int64_t>(factors.size()) != K) factors.clear();
  return factors;
}

void set_weights(graph::Graph& graph, const std::string& name, const winograd::Mask& mask, Tensor U) {
  graph::Node& node = graph::node_named(graph, name);
  auto* conv = node.as<graph::WinogradConv>();
  require(conv != nullptr, "{}: not a WinogradConv", name);
  conv->mask = mask;
  graph::set_constant_input(graph, name, 1, std::move(U), name + ".U");
}

}  // namespace wins::pruning

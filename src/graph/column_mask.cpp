#include "wins/graph/column_mask.hpp"

#include <nlohmann/json.hpp>

#include "wins/base/error.hpp"

namespace wins::graph {

ColumnMask ColumnMask::full(std::int64_t rows, std::int64_t columns, std::int64_t block) {
  require(rows >= 1 && columns >= 1 && block >= 1 && block <= kMaxBlock, "column mask: {} x {} weights in blocks of {}", rows, columns, block);
  ColumnMask mask{rows, columns, block, {}};
  mask.keep.assign(static_cast<std::size_t>(mask.blocks() * columns), 1);
  return mask;
}

std::int64_t ColumnMask::kept_in(std::int64_t b) const {
  const auto first = keep.begin() + static_cast<std::ptrdiff_t>(b * columns);
  return std::count_if(first, first + static_cast<std::ptrdiff_t>(columns), [](std::uint8_t k) { return k != 0; });
}

std::int64_t ColumnMask::kept_weights() const {
  std::int64_t total = 0;
  for (std::int64_t b = 0; b < blocks(); ++b) total += kept_in(b) * height(b);
  return total;
}

double ColumnMask::pruning_ratio() const {
  return 1 - static_cast<double>(kept_weights()) / static_cast<double>(rows * columns);
}

std::string pointwise_refusal(const Graph& graph, const Node& node) {
  const auto* conv = node.as<Conv>();
  if (conv == nullptr) return "not a convolution";
  if (conv->window.kernel != std::array<std::int64_t, 2>{1, 1}) return "its kernel is not 1x1";
  if (conv->group != 1) return fmt::format("{} groups", conv->group);
  const Tensor* weights = graph.constant_input(node, 1);
  if (weights == nullptr) return "its weights are not constant";
  if (weights->dtype() != DType::f32) return "its weights are not float32";
  return weights->rank() == 4 && weights->size() > 0 ? "" : "its weights are no K x C matrix";
}

std::map<std::string, std::int64_t> column_blocks(const Graph& graph) {
  std::map<std::string, std::int64_t> blocks;
  const auto found = graph.metadata.find(kColumnPruning);
  if (found == graph.metadata.end()) return blocks;
  try {
    const auto record = nlohmann::json::parse(found->second);
    const auto block = record.at("block").get<std::int64_t>();
    require(block >= 1 && block <= kMaxBlock, "metadata {}: blocks of {} rows", kColumnPruning, block);
    for (const auto& layer : record.at("layers")) blocks[layer.at("name").get<std::string>()] = block;
  } catch (const nlohmann::json::exception& error) {
    fail("metadata {}: {}", kColumnPruning, error.what());
  }
  return blocks;
}

ColumnMask nonzero_columns(const Tensor& weights, std::int64_t block) {
  ColumnMask mask = ColumnMask::full(weights.dim(0), weights.dim(1), block);
  std::fill(mask.keep.begin(), mask.keep.end(), std::uint8_t{0});
  const auto w = weights.data<float>();
  for (std::int64_t k = 0; k < mask.rows; ++k) {
    for (std::int64_t c = 0; c < mask.columns; ++c) {
      if (w[static_cast<std::size_t>(k * mask.columns + c)] != 0)
        mask.keep[static_cast<std::size_t>(k / block * mask.columns + c)] = 1;
    }
  }
  return mask;
}

std::optional<ColumnMask> column_mask(const Graph& graph, const Node& node) {
  if (!graph.metadata.contains(kColumnPruning) || !pointwise_refusal(graph, node).empty()) return std::nullopt;
  const std::map<std::string, std::int64_t> blocks = column_blocks(graph);
  const auto found = blocks.find(node.name);
  if (found == blocks.end()) return std::nullopt;
  return nonzero_columns(*graph.constant_input(node, 1), found->second);
}

}  // namespace wins::graph

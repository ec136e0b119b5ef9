// A small data set that can be learned, and a small network that learns it.
#pragma once

#include <string>
#include <vector>

#include "wins/data/loader.hpp"
#include "wins/graph/passes.hpp"
#include "wins/graph/zoo.hpp"

namespace wins::training {

/// Bright squares whose corner is the class; noise elsewhere. Deterministic in the index.
class Squares : public data::Dataset {
 public:
  explicit Squares(std::size_t size, std::int64_t classes = 4, bool labelled = true)
      : size_(size), classes_(classes), labelled_(labelled) {
    for (std::int64_t c = 0; c < classes; ++c) names_.push_back("corner" + std::to_string(c));
  }
  std::size_t size() const override { return size_; }
  std::int64_t label(std::size_t index) const override {
    return labelled_ ? static_cast<std::int64_t>(index) % classes_ : data::kNoLabel;
  }
  std::string name(std::size_t index) const override { return "square" + std::to_string(index); }
  const std::vector<std::string>& classes() const override { return names_; }
  data::Image load(std::size_t index) const override {
    data::Image image{kSide, kSide, 1, std::vector<std::uint8_t>(kSide * kSide)};
    std::uint64_t random = index * 0x9E3779B97F4A7C15ULL + 1;
    for (auto& pixel : image.pixels) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      pixel = static_cast<std::uint8_t>((random >> 56) / 2);
    }
    const std::int64_t corner = static_cast<std::int64_t>(index) % classes_;
    for (std::int64_t y = 0; y < kSide / 2; ++y) {
      for (std::int64_t x = 0; x < kSide / 2; ++x) {
        const std::int64_t row = y + (corner / 2 % 2) * kSide / 2, col = x + (corner % 2) * kSide / 2;
        auto& pixel = image.pixels[static_cast<std::size_t>(row * kSide + col)];
        pixel = static_cast<std::uint8_t>(pixel / 2 + 90);
      }
    }
    return image;
  }
  static data::Preprocess preprocess() {
    data::Preprocess p;
    p.channels = 1;
    p.height = p.width = kSide;
    p.mean = {0.3F};
    p.deviation = {0.2F};
    return p;
  }

  static constexpr std::int64_t kSide = 12;

 private:
  std::size_t size_;
  std::int64_t classes_;
  bool labelled_;
  std::vector<std::string> names_;
};

inline graph::Graph small_network(std::uint64_t seed = 1) {
  graph::ZooOptions options;
  options.classes = 4;
  options.channels = 1;
  options.height = options.width = Squares::kSide;
  options.seed = seed;
  return graph::zoo("resnet8", options);
}

/// Every fitting convolution in the Winograd domain, with rows, columns or elements pruned by rank
/// of their index (no particular criterion).
inline graph::Graph pruned(graph::Graph graph, winograd::Axis axis, std::size_t one_in) {
  std::vector<std::string> names;
  for (const graph::Node& node : graph.nodes) {
    if (node.as<graph::Conv>() && graph::winograd_refusal(graph, node).empty()) names.push_back(node.name);
  }
  for (const std::string& name : names) graph::to_winograd(graph, name, 2);
  for (graph::Node& node : graph.nodes) {
    auto* op = node.as<graph::WinogradConv>();
    if (op == nullptr) continue;
    op->mask = winograd::Mask::full(axis, op->mask.positions, op->mask.rows, op->mask.columns);
    for (std::size_t i = 0; i < op->mask.keep.size(); ++i) op->mask.keep[i] = i * 7919 % one_in == 0 ? 0 : 1;
    Tensor U = *graph.value(node.inputs[1]).constant;
    auto weights = U.mutable_data<float>();
    std::size_t at = 0;
    for (int xi = 0; xi < op->mask.positions; ++xi) {
      for (std::int64_t k = 0; k < op->mask.rows; ++k) {
        for (std::int64_t c = 0; c < op->mask.columns; ++c, ++at) {
          if (!op->mask.weight_kept(xi, k, c)) weights[at] = 0;
        }
      }
    }
    graph.value(node.inputs[1]).constant = U;
  }
  return graph;
}

}  // namespace wins::training

// A layer that is linear in its weights, as matrices: the common form of WinogradConv, Conv and Gemm.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"
#include "wins/winograd/mask.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::refit {

/// Output pixel a of a tile is y_a[k] = sum over positions xi and channels c of
/// Aw[xi, a] weights[xi, k, c] V[xi, c]. A convolution has its kernel's taps as positions, one output
/// pixel a tile and Aw = 1; a fully connected layer has one position, and a picture is a tile.
struct LinearLayer {
  std::string name;
  int positions = 0;
  std::int64_t C = 0, K = 0;
  int m = 1;               ///< a tile has m x m output pixels
  winograd::Mask mask;     ///< full for other layers than WinogradConv and 1x1 convolutions with pruned columns
  /// Output channels of a block that share their kept input channels (BCBP: one position, the mask by elements); 0 for
  /// any other layer.
  std::int64_t block = 0;
  Tensor weights;          ///< [positions, K, C] float32, zero where pruned
  std::vector<double> Aw;  ///< [positions, m*m]

  /// How V is cut from the input: B^T d B of a p x p patch, or the taps themselves.
  const winograd::Algorithm* algorithm = nullptr;  ///< of a WinogradConv, else null
  std::array<std::int64_t, 2> kernel{1, 1}, stride{1, 1}, dilation{1, 1};
  std::array<std::int64_t, 4> pads{};

  double aw(int xi, int a) const { return Aw[static_cast<std::size_t>(xi * m * m + a)]; }
  bool pruned() const { return algorithm != nullptr || block > 0; }  ///< Winograd layers count even with all weights
  /// Whether any weight of position xi is kept.
  bool alive(int xi) const { return mask.kept_in(xi) > 0; }
};

/// Whether a node is linear in its weights: Conv, WinogradConv or Gemm.
bool is_linear(const graph::Node& node);

/// The layer of a node, or nothing and the reason. `node` stands in a specialised graph.
std::optional<LinearLayer> describe(const graph::Graph& graph, const graph::Node& node, std::string& reason);

/// Puts `weights` ([positions, K, C]) into the node of the same name.
void store_weights(graph::Graph& graph, const LinearLayer& layer, const Tensor& weights);

/// The K values that a layer adds to its products; zeros without a constant bias of that length.
std::vector<double> bias_of(const graph::Graph& graph, const graph::Node& node, std::int64_t K);

/// Adds `shift` (K values) to the bias of a Conv, WinogradConv or Gemm; makes one where there is none.
void add_to_bias(graph::Graph& graph, const std::string& node, const std::vector<double>& shift);

}  // namespace wins::refit

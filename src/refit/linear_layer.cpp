#include "wins/refit/linear_layer.hpp"

#include <algorithm>

#include "wins/base/error.hpp"
#include "wins/graph/column_mask.hpp"
#include "wins/graph/edit.hpp"

namespace wins::refit {
namespace {

Tensor transposed(const Tensor& matrix) {
  const std::int64_t rows = matrix.dim(0), cols = matrix.dim(1);
  Tensor result(DType::f32, {cols, rows});
  const auto from = matrix.data<float>();
  const auto to = result.mutable_data<float>();
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      to[static_cast<std::size_t>(c * rows + r)] = from[static_cast<std::size_t>(r * cols + c)];
    }
  }
  return result;
}

void describe_winograd(const graph::WinogradConv& conv, const Tensor& U, LinearLayer& layer) {
  layer.algorithm = &winograd::algorithm(conv.m, conv.r, conv.stride);
  const winograd::Algorithm& F = *layer.algorithm;
  const int p = F.p();
  layer.m = conv.m;
  layer.stride = {conv.stride, conv.stride};
  layer.pads = conv.pads;
  layer.mask = conv.mask;
  layer.weights = U;
  layer.Aw.resize(static_cast<std::size_t>(p * p * conv.m * conv.m));
  for (int xi = 0; xi < p * p; ++xi) {
    for (int a = 0; a < conv.m * conv.m; ++a) {
      layer.Aw[static_cast<std::size_t>(xi * conv.m * conv.m + a)] =
          F.A(xi / p, a / conv.m) * F.A(xi % p, a % conv.m);
    }
  }
}

/// The mask of a 1x1 convolution whose columns are pruned, by elements.
void describe_columns(const graph::ColumnMask& columns, LinearLayer& layer) {
  layer.block = columns.block;
  layer.mask = winograd::Mask::full(winograd::Axis::element, 1, layer.K, layer.C);
  for (std::int64_t k = 0; k < layer.K; ++k) {
    const auto row = columns.keep.begin() + static_cast<std::ptrdiff_t>(k / columns.block * layer.C);
    std::copy_n(row, layer.C, layer.mask.keep.begin() + static_cast<std::ptrdiff_t>(k * layer.C));
  }
}

/// Why a layer cannot be refitted although it is linear; empty when it can.
std::string refusal(const graph::Graph& graph, const graph::Node& node) {
  const Tensor* weights = graph.constant_input(node, 1);
  if (weights == nullptr) return "its weights are not constant";
  if (weights->dtype() != DType::f32) return "its weights are not float32";
  if (const auto* conv = node.as<graph::Conv>()) {
    if (conv->group != 1) return fmt::format("{} groups", conv->group);
    if (conv->activation != graph::Activation{} || node.input(3) != graph::kNone)
      return "it carries an epilogue";
  } else if (const auto* winograd = node.as<graph::WinogradConv>()) {
    if (winograd->activation != graph::Activation{} || node.input(3) != graph::kNone)
      return "it carries an epilogue";
  } else if (const auto* gemm = node.as<graph::Gemm>()) {
    if (gemm->trans_a || gemm->alpha != 1 || gemm->beta != 1 || gemm->activation != graph::Activation{}) {
      return "a scaled or transposed product";
    }
  } else {
    return "not a linear layer";
  }
  return "";
}

void set_constant(graph::Graph& graph, const std::string& node, std::size_t i, Tensor tensor) {
  graph::set_constant_input(graph, node, i, std::move(tensor), node + (i == 1 ? ".weight" : ".bias"));
}

}  // namespace

bool is_linear(const graph::Node& node) {
  return node.as<graph::Conv>() != nullptr || node.as<graph::WinogradConv>() != nullptr ||
         node.as<graph::Gemm>() != nullptr;
}

std::optional<LinearLayer> describe(const graph::Graph& graph, const graph::Node& node, std::string& reason) {
  reason = refusal(graph, node);
  if (!reason.empty()) return std::nullopt;
  const Tensor& weights = *graph.constant_input(node, 1);
  LinearLayer layer;
  layer.name = node.name;
  if (const auto* winograd = node.as<graph::WinogradConv>()) {
    describe_winograd(*winograd, weights, layer);
  } else if (const auto* conv = node.as<graph::Conv>()) {
    // [K, C, kh, kw] to [kh*kw, K, C].
    const std::int64_t K = weights.dim(0), C = weights.dim(1), taps = weights.dim(2) * weights.dim(3);
    layer.weights = transposed(weights.reshaped({K * C, taps})).reshaped({taps, K, C});
    layer.kernel = conv->window.kernel;
    layer.stride = conv->window.stride;
    layer.dilation = conv->window.dilation;
    layer.pads = conv->window.pads;
  } else {
    const Tensor matrix = node.as<graph::Gemm>()->trans_b ? weights : transposed(weights);
    layer.weights = matrix.reshaped({1, matrix.dim(0), matrix.dim(1)});
  }
  layer.positions = static_cast<int>(layer.weights.dim(0));
  layer.K = layer.weights.dim(1);
  layer.C = layer.weights.dim(2);
  if (layer.algorithm == nullptr) {
    layer.mask = winograd::Mask::full(winograd::Axis::row, layer.positions, layer.K, layer.C);
    layer.Aw.assign(static_cast<std::size_t>(layer.positions), 1.0);
    const auto columns = graph::column_mask(graph, node);
    if (columns && columns->pruning_ratio() > 0) describe_columns(*columns, layer);
  }
  return layer;
}

void store_weights(graph::Graph& graph, const LinearLayer& layer, const Tensor& weights) {
  const graph::Node& node = graph::node_named(graph, layer.name);
  if (node.as<graph::WinogradConv>() != nullptr) {
    set_constant(graph, layer.name, 1, weights);
  } else if (node.as<graph::Conv>() != nullptr) {
    const Shape shape = graph.constant_input(node, 1)->shape();
    set_constant(graph, layer.name, 1,
                 transposed(weights.reshaped({layer.positions, layer.K * layer.C})).reshaped(shape));
  } else {
    const Tensor matrix = weights.reshaped({layer.K, layer.C});
    set_constant(graph, layer.name, 1, node.as<graph::Gemm>()->trans_b ? matrix : transposed(matrix));
  }
}

std::vector<double> bias_of(const graph::Graph& graph, const graph::Node& node, std::int64_t K) {
  std::vector<double> result(static_cast<std::size_t>(K), 0.0);
  const Tensor* bias = node.input(2) == graph::kNone ? nullptr : graph.constant_input(node, 2);
  if (bias == nullptr || bias->size() != K || bias->dtype() != DType::f32) return result;
  const auto values = bias->data<float>();
  std::copy(values.begin(), values.end(), result.begin());
  return result;
}

void add_to_bias(graph::Graph& graph, const std::string& name, const std::vector<double>& shift) {
  const auto K = static_cast<std::int64_t>(shift.size());
  Tensor bias(DType::f32, {K});
  const graph::ValueId existing = graph::node_named(graph, name).input(2);
  if (existing != graph::kNone) {
    const Tensor* old = graph.constant_input(graph::node_named(graph, name), 2);
    // A bias that broadcasts or is computed stays as it is.
    if (old == nullptr || old->size() != K || old->dtype() != DType::f32) return;
    bias = *old;
  }
  const auto values = bias.mutable_data<float>();
  for (std::size_t k = 0; k < shift.size(); ++k) {
    values[k] = static_cast<float>(static_cast<double>(values[k]) + shift[k]);
  }
  if (existing != graph::kNone) {
    set_constant(graph, name, 2, std::move(bias));
    return;
  }
  const graph::ValueId added = graph.add_constant(name + ".bias", std::move(bias));
  graph::Node& node = graph::node_named(graph, name);
  node.inputs.resize(std::max<std::size_t>(node.inputs.size(), 3), graph::kNone);
  node.inputs[2] = added;
}

}  // namespace wins::refit

#include <algorithm>
#include <cmath>

#include "rewriter.hpp"
#include "wins/graph/passes.hpp"

namespace wins::graph {
namespace {

/// y = factor[k] x + offset[k] for each channel k.
struct Affine {
  std::vector<double> factor, offset;
};

std::optional<std::vector<double>> vector_constant(const Graph& graph, const Node& node, std::size_t i) {
  const Tensor* tensor = graph.constant_input(node, i);
  if (tensor == nullptr) return {};
  const Tensor wide = tensor->cast(DType::f64);
  return std::vector<double>(wide.data<double>().begin(), wide.data<double>().end());
}

std::optional<Affine> affine_of(const Graph& graph, const Node& node, const BatchNorm& op) {
  const auto scale = vector_constant(graph, node, 1), shift = vector_constant(graph, node, 2);
  const auto mean = vector_constant(graph, node, 3), variance = vector_constant(graph, node, 4);
  if (!scale || !shift || !mean || !variance) return {};
  const std::size_t size = scale->size();
  if (shift->size() != size || mean->size() != size || variance->size() != size) return {};
  Affine affine{std::vector<double>(size), std::vector<double>(size)};
  for (std::size_t k = 0; k < size; ++k) {
    affine.factor[k] = (*scale)[k] / std::sqrt((*variance)[k] + static_cast<double>(op.epsilon));
    affine.offset[k] = (*shift)[k] - (*mean)[k] * affine.factor[k];
  }
  return affine;
}

/// Where the output channel stands in a weight tensor: flat index = (outer * channels + k) * inner + ...
struct ChannelLayout {
  std::size_t outer = 1, inner = 1;
  std::size_t groups = 1;  ///< ConvTranspose: channel k of group g stands at row block g
};

/// Multiplies the weights of output channel k by factor[k].
Tensor scaled(const Tensor& weights, const std::vector<double>& factor, const ChannelLayout& layout) {
  Tensor result = weights;
  const auto data = result.mutable_data<float>();
  const std::size_t channels = factor.size() / layout.groups;
  for (std::size_t o = 0; o < layout.outer; ++o) {
    const std::size_t group = o * layout.groups / layout.outer;
    for (std::size_t k = 0; k < channels; ++k) {
      const double f = factor[group * channels + k];
      float* block = data.data() + (o * channels + k) * layout.inner;
      std::transform(block, block + layout.inner, block, [&](float w) { return static_cast<float>(w * f); });
    }
  }
  return result;
}

std::size_t dim(const Tensor& tensor, std::size_t axis) {
  return static_cast<std::size_t>(tensor.dim(axis));
}

/// Layout of the output channels of a linear node; nothing when it cannot take an affine map.
struct LayoutOf {
  const Tensor& w;

  std::optional<ChannelLayout> operator()(const Conv& op) const {
    if (op.activation.kind != UnaryKind::identity || w.rank() != 4) return {};
    return ChannelLayout{1, dim(w, 1) * dim(w, 2) * dim(w, 3), 1};
  }
  std::optional<ChannelLayout> operator()(const WinogradConv& op) const {
    if (op.activation.kind != UnaryKind::identity || w.rank() != 3) return {};
    return ChannelLayout{dim(w, 0), dim(w, 2), 1};
  }
  std::optional<ChannelLayout> operator()(const ConvTranspose& op) const {
    if (w.rank() != 4 || op.group < 1 || w.dim(0) % op.group != 0) return {};
    return ChannelLayout{dim(w, 0), dim(w, 2) * dim(w, 3), static_cast<std::size_t>(op.group)};
  }
  std::optional<ChannelLayout> operator()(const Gemm& op) const {
    if (op.activation.kind != UnaryKind::identity || w.rank() != 2) return {};
    return op.trans_b ? ChannelLayout{1, dim(w, 1), 1} : ChannelLayout{dim(w, 0), 1, 1};
  }
  template <class Other>
  std::optional<ChannelLayout> operator()(const Other&) const {
    return {};
  }
};

/// Bias of every channel before folding; nothing when it is not one value per channel.
std::optional<std::vector<double>> bias_of(const Graph& graph, const Node& node, std::size_t channels) {
  if (node.input(2) == kNone) return std::vector<double>(channels, 0);
  auto bias = vector_constant(graph, node, 2);
  if (!bias) return {};
  const Tensor& tensor = *graph.constant_input(node, 2);
  if (bias->size() == 1) bias->assign(channels, bias->front());
  // A Gemm's C may be a column [M, 1] or a whole matrix: those have no value per channel.
  const bool per_channel =
      bias->size() == channels && (tensor.size() == 1 || tensor.shape().back() == tensor.size());
  if (!per_channel) return {};
  const auto* gemm = node.as<Gemm>();
  if (gemm != nullptr) std::ranges::for_each(*bias, [&](double& b) { b *= gemm->beta; });
  return bias;
}

Tensor to_float(const std::vector<double>& values) {
  return Tensor::of<float>({static_cast<std::int64_t>(values.size())},
                           std::vector<float>(values.begin(), values.end()));
}

/// The linear node with the batch norm inside; nothing when it cannot be folded.
std::optional<Node> folded(Graph& graph, const Node& linear, const Affine& affine) {
  const Tensor* weights = graph.constant_input(linear, 1);
  if (weights == nullptr || weights->dtype() != DType::f32 || linear.input(3) != kNone) return {};
  const std::optional<ChannelLayout> layout = std::visit(LayoutOf{*weights}, linear.op);
  const std::size_t channels = affine.factor.size();
  if (!layout || static_cast<std::size_t>(weights->size()) * layout->groups !=
                     layout->outer * layout->inner * channels) {
    return {};
  }
  auto bias = bias_of(graph, linear, channels);
  if (!bias) return {};
  for (std::size_t k = 0; k < channels; ++k) (*bias)[k] = (*bias)[k] * affine.factor[k] + affine.offset[k];
  Node result = linear;
  // New constants: other readers of shared weights keep the old ones.
  Tensor new_weights = scaled(*weights, affine.factor, *layout);
  result.inputs.resize(3, kNone);
  result.inputs[1] = graph.add_constant(graph.value(linear.inputs[1]).name, std::move(new_weights));
  result.inputs[2] = graph.add_constant(linear.name + ".folded_bias", to_float(*bias));
  if (auto* gemm = result.as<Gemm>()) gemm->beta = 1;
  return result;
}

}  // namespace

int fold_batch_norm(Graph& graph) {
  Rewriter rewriter(graph);
  int count = 0;
  for (std::size_t slot = 0; slot < graph.nodes.size(); ++slot) {
    const Node& node = graph.nodes[slot];
    const auto* op = node.as<BatchNorm>();
    if (op == nullptr) continue;
    const std::size_t before = rewriter.producer(node.inputs[0]);
    if (before == Rewriter::kNoSlot || rewriter.only_reader(node.inputs[0]) != slot) continue;
    const std::optional<Affine> affine = affine_of(graph, node, *op);
    if (!affine) continue;
    std::optional<Node> replacement = folded(graph, graph.nodes[before], *affine);
    if (!replacement) continue;
    replacement->outputs = node.outputs;
    rewriter.remove(slot);
    rewriter.put(before, std::move(*replacement));
    ++count;
  }
  rewriter.finish();
  return count;
}

}  // namespace wins::graph

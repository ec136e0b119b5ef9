#include <algorithm>

#include "rewriter.hpp"
#include "shape_probe.hpp"
#include "wins/graph/passes.hpp"

namespace wins::graph {
namespace {

/// The activation field of a node that has one, else nullptr.
Activation* activation_of(Node& node) {
  if (auto* conv = node.as<Conv>()) return &conv->activation;
  if (auto* conv = node.as<WinogradConv>()) return &conv->activation;
  if (auto* gemm = node.as<Gemm>()) return &gemm->activation;
  if (auto* binary = node.as<Binary>()) return &binary->activation;
  return nullptr;
}

bool is_activation(UnaryKind kind) {
  switch (kind) {
    case UnaryKind::relu:
    case UnaryKind::clip:
    case UnaryKind::leaky_relu:
    case UnaryKind::sigmoid:
    case UnaryKind::tanh:
    case UnaryKind::hard_swish:
    case UnaryKind::hard_sigmoid:
    case UnaryKind::elu:
    case UnaryKind::silu:
    case UnaryKind::gelu:
    case UnaryKind::gelu_tanh:
    case UnaryKind::softplus:
    case UnaryKind::mish:
      return true;
    default:
      return false;
  }
}

bool is_float(const Graph& graph, ValueId id) {
  return graph.value(id).dtype == DType::f32 || graph.value(id).dtype == DType::f64;
}

/// Output channels of a linear node by its constant weights; 0 when they are not known.
std::int64_t output_channels(const Graph& graph, const Node& node) {
  const Tensor* w = graph.constant_input(node, 1);
  if (w == nullptr) return 0;
  if (node.as<Conv>() && w->rank() == 4) return w->dim(0);
  if (node.as<WinogradConv>() && w->rank() == 3) return w->dim(1);
  if (const auto* op = node.as<ConvTranspose>(); op != nullptr && w->rank() == 4)
    return w->dim(1) * op->group;
  if (const auto* op = node.as<Gemm>(); op != nullptr && w->rank() == 2) return w->dim(op->trans_b ? 0 : 1);
  return 0;
}

/// `constant` as one value per channel, when adding it to an output of this rank does that.
std::optional<std::vector<double>> per_channel(const Tensor& constant, std::int64_t channels,
                                               std::size_t rank) {
  if (constant.rank() > rank) return {};
  // Axes behind the channel axis, counted from the end.
  const std::size_t behind = rank - 2;
  const bool vector = constant.rank() > behind && constant.dim(constant.rank() - 1 - behind) == channels;
  if (constant.size() != 1 && !(vector && constant.size() == channels)) return {};
  const Tensor wide = constant.cast(DType::f64);
  std::vector<double> values(wide.data<double>().begin(), wide.data<double>().end());
  if (values.size() == 1) values.assign(static_cast<std::size_t>(channels), values.front());
  return values;
}

class EpilogueFuser {
 public:
  explicit EpilogueFuser(Graph& graph) : graph_(graph), rewriter_(graph), probe_(graph) {}

  int run() {
    int count = 0;
    for (std::size_t slot = 0; slot < graph_.nodes.size(); ++slot) {
      // A node that absorbs its reader may move to the reader's later slot and is met there again.
      while (rewriter_.alive(slot) && absorb(slot)) ++count;
    }
    rewriter_.finish();
    return count;
  }

 private:
  bool absorb(std::size_t slot) {
    const Node& node = rewriter_.node(slot);
    if (node.outputs.size() != 1) return false;
    const std::size_t reader = rewriter_.only_reader(node.outputs[0]);
    if (reader == Rewriter::kNoSlot) return false;
    return absorb_bias(slot, reader) || absorb_residual(slot, reader) || absorb_activation(slot, reader);
  }

  static bool active(Node& node) {
    const Activation* activation = activation_of(node);
    return activation != nullptr && activation->kind != UnaryKind::identity;
  }

  static bool is_linear(const Node& node) {
    return node.as<Conv>() || node.as<WinogradConv>() || node.as<ConvTranspose>() || node.as<Gemm>();
  }

  /// Conv(x) + constant, constant + Conv(x), Conv(x) - constant.
  bool absorb_bias(std::size_t slot, std::size_t reader) {
    Node node = rewriter_.node(slot);
    const Node& sum = rewriter_.node(reader);
    const auto* op = sum.as<Binary>();
    const bool adds = op != nullptr && (op->kind == BinaryKind::add || op->kind == BinaryKind::sub);
    if (!adds || !is_linear(node) || active(node)) return false;
    if (op->activation.kind != UnaryKind::identity && activation_of(node) == nullptr) return false;
    const bool subtracts = op->kind == BinaryKind::sub;
    if (subtracts && sum.inputs[0] != node.outputs[0]) return false;
    const ValueId added = other_input(sum, node.outputs[0]);
    if (added == kNone || !graph_.value(added).constant) return false;
    const std::int64_t channels = output_channels(graph_, node);
    auto bias = channels == 0 ? std::nullopt
                              : per_channel(*graph_.value(added).constant, channels, node.as<Gemm>() ? 2 : 4);
    if (!bias) return false;
    if (subtracts) std::ranges::for_each(*bias, [](double& b) { b = -b; });
    if (!add_old_bias(node, *bias)) return false;

    const DType type = graph_.value(node.outputs[0]).dtype;
    node.inputs.resize(std::max<std::size_t>(node.inputs.size(), 3), kNone);
    node.inputs[2] =
        graph_.add_constant(node.name + ".fused_bias", Tensor::of<double>({channels}, *bias).cast(type));
    if (auto* gemm = node.as<Gemm>()) gemm->beta = 1;
    merge(slot, reader, std::move(node), op->activation);
    return true;
  }

  /// Adds the bias that `node` has already; false when it is not one constant per channel.
  bool add_old_bias(const Node& node, std::vector<double>& bias) const {
    if (node.input(2) == kNone) return true;
    const Tensor* old = graph_.constant_input(node, 2);
    if (old == nullptr) return false;
    const auto* gemm = node.as<Gemm>();
    const auto values = per_channel(old->rank() == 1 ? old->reshaped({1, old->size()}) : *old,
                                    static_cast<std::int64_t>(bias.size()), 2);
    if (!values) return false;
    const double beta = gemm == nullptr ? 1.0 : static_cast<double>(gemm->beta);
    for (std::size_t k = 0; k < bias.size(); ++k) bias[k] += beta * (*values)[k];
    return true;
  }

  bool takes_residual(const Node& node) const {
    return (node.as<Conv>() || node.as<WinogradConv>()) && node.input(3) == kNone;
  }

  /// Conv(x) + y of the same shape. Of two convolutions the later one takes the other as residual.
  bool absorb_residual(std::size_t slot, std::size_t reader) {
    Node node = rewriter_.node(slot);
    const Node& sum = rewriter_.node(reader);
    const auto* op = sum.as<Binary>();
    if (op == nullptr || op->kind != BinaryKind::add || !takes_residual(node) || active(node)) return false;
    const ValueId residual = other_input(sum, node.outputs[0]);
    if (residual == kNone || graph_.value(residual).constant) return false;
    const std::size_t rival = rewriter_.producer(residual);
    if (rival != Rewriter::kNoSlot && rival > slot && takes_residual(rewriter_.node(rival)) &&
        !active(rewriter_.node(rival)) && rewriter_.only_reader(residual) == reader) {
      return false;
    }
    if (!probe_.same(graph_, node.outputs[0], residual)) return false;
    node.inputs.resize(4, kNone);
    node.inputs[3] = residual;
    merge(slot, reader, std::move(node), op->activation);
    return true;
  }

  bool absorb_activation(std::size_t slot, std::size_t reader) {
    Node node = rewriter_.node(slot);
    const auto* unary = rewriter_.node(reader).as<Unary>();
    Activation* activation = activation_of(node);
    if (unary == nullptr || activation == nullptr || active(node)) return false;
    if (!is_activation(unary->function.kind) || !is_float(graph_, node.outputs[0])) return false;
    merge(slot, reader, std::move(node), unary->function);
    return true;
  }

  /// Puts `node` in the place of its reader, where all its inputs have been computed.
  void merge(std::size_t slot, std::size_t reader, Node node, Activation activation) {
    if (activation.kind != UnaryKind::identity) *activation_of(node) = activation;
    node.outputs = rewriter_.node(reader).outputs;
    rewriter_.remove(slot);
    rewriter_.put(reader, std::move(node));
  }

  Graph& graph_;
  Rewriter rewriter_;
  ShapeProbe probe_;
};

}  // namespace

int fuse_epilogues(Graph& graph) {
  return EpilogueFuser(graph).run();
}

}  // namespace wins::graph

// What a kernel is: a named way to run one node, that refuses with a reason, predicts, and builds.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aligned.hpp"
#include "cost.hpp"
#include "wins/runtime/weight_store.hpp"
#include "winograd_kernels.hpp"
#include "wins/graph/graph.hpp"
#include "wins/runtime/fusion.hpp"
#include "wins/runtime/session.hpp"

namespace wins::runtime::cpu {

/// How a value lies in memory: row-major, or nChw{B}c with channels padded by zeros (rank 4 only).
enum class Layout : std::uint8_t { plain, blocked };

/// What a step wants of one of its node's inputs.
enum class Need : std::uint8_t { none, plain, blocked };
constexpr Need need(Layout layout) {
  return layout == Layout::plain ? Need::plain : Need::blocked;
}

/// Fixed while one graph is compiled.
struct Environment {
  const graph::Graph& graph;
  const SessionOptions& options;
  int threads;
  int block;  ///< B
  const WinogradKernels& winograd;
  const Machine& machine;
  WeightStore& weights;
};

/// One node of a specialised graph.
struct Problem {
  const Environment& env;
  const graph::Node& node;
  /// Layout in which each input exists already (plain for constants).
  std::vector<Layout> existing;
  /// Floats between the images of each input and output in blocks, where its kernel follows them
  /// (`Implementation::pitched`); 0 for values of other ranks.
  std::vector<std::int64_t> input_pitches, output_pitches;
  /// What stands before input 0 and is not a step of its own; `node` reads what the norm reads.
  Prologue prologue;
  /// The max-pool behind the node that is not a step of its own, or null; the step writes the pool's output.
  const graph::Node* max_pool = nullptr;
  /// How the kernel cuts the work, one of its `variants`; empty or unknown: the best predicted.
  std::string variant = {};

  /// The values that the step writes.
  const std::vector<graph::ValueId>& outputs() const { return max_pool != nullptr ? max_pool->outputs : node.outputs; }
  bool has_input(std::size_t i) const { return node.input(i) != graph::kNone; }
  const graph::Value& input(std::size_t i) const { return env.graph.value(node.inputs.at(i)); }
  const Shape& input_shape(std::size_t i) const { return input(i).shape.value(); }
  const graph::Value& output(std::size_t i = 0) const { return env.graph.value(node.outputs.at(i)); }
  const Shape& output_shape(std::size_t i = 0) const { return output(i).shape.value(); }
  /// Null when input `i` is absent or not constant.
  const Tensor* constant(std::size_t i) const {
    return has_input(i) ? env.graph.constant_input(node, i) : nullptr;
  }
  /// Some input or output is a part of a larger value, whose images are not next to each other.
  bool has_parts() const;
  /// Every input and output that is not an integer tensor of sizes is float32.
  bool is_float() const;
};

/// Pointers of one run, in the order of the node's inputs and outputs (null for Need::none).
struct Arguments {
  const void* const* inputs;
  void* const* outputs;
  void* workspace;
};

class Step {
 public:
  virtual ~Step() = default;
  /// Called by one thread at a time.
  virtual void run(const Arguments& arguments) = 0;
};

/// A kernel made ready for one problem.
struct Implementation {
  std::string name;  ///< as the plan shows it, "cpu:..." or "ref:..."
  Cost cost;
  std::vector<Need> inputs;  ///< one for each input of the node
  Layout output = Layout::plain;
  /// Blocked inputs and outputs are read and written at the problem's pitches; else as if their
  /// images were next to each other.
  bool pitched = false;
  bool by_image = false;  ///< one image after the other, since some are parts of larger values
  int in_place = -1;  ///< input whose memory the first output may take
  std::size_t workspace_bytes = 0;
  std::size_t weight_bytes = 0;
  std::unique_ptr<Step> step;
};

/// A way to cut the work of a kernel.
struct Variant {
  std::string name;
  Cost cost;
};

struct Kernel {
  std::string_view name;
  /// Why this kernel cannot take the problem; nothing when it can.
  std::optional<std::string> (*refuse)(const Problem&);
  Cost (*predict)(const Problem&);
  Implementation (*build)(const Problem&);
  bool takes_prologue = false;
  bool takes_max_pool = false;
  /// The one that `predict` means first. Null: there is one way alone.
  std::vector<Variant> (*variants)(const Problem&) = nullptr;
};

/// Best first, the reference last.
std::vector<Kernel> kernels_for(const graph::Op& op);

/// The constant bias (input 2, or zeros) with channels padded to whole blocks, made once.
std::shared_ptr<const AlignedFloats> padded_bias(const Problem& problem);

/// Kernel names are in lower case: "AVX3", "Conv".
std::string lower_case(std::string text);

/// B-padded elements of one image of a blocked rank-4 value; 0 for values of other ranks.
std::int64_t image_count(const Shape& shape, int block);
/// Of all of them.
std::int64_t blocked_count(const Shape& shape, int block);

}  // namespace wins::runtime::cpu

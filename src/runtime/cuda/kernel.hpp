// What a kernel of the CUDA backend is: a named way to run one node, that refuses with a reason, predicts, and
// builds steps that enqueue work on a stream.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device.hpp"
#include "wins/graph/graph.hpp"
#include "wins/runtime/backend.hpp"
#include "wins/runtime/cuda/row_pack.hpp"
#include "wins/runtime/cuda/weights_ahead.hpp"
#include "wins/runtime/fusion.hpp"
#include "wins/runtime/session.hpp"
#include "wins/runtime/shared_weights.hpp"

namespace wins::runtime::cuda {

/// Fixed while one graph is compiled.
struct Environment {
  const graph::Graph& graph;
  const SessionOptions& options;
  Operand operand;  ///< of the precision asked for
  SharedWeights& weights;
  Libraries& libraries;

  /// Bytes of an element of a float value.
  std::int64_t element_bytes() const { return storage_bytes(operand); }
  /// Channels of a rank-4 value are padded to a multiple of it: 16 bytes.
  std::int64_t unit() const { return unit_channels(operand); }
};

/// A float value on the device: dimensions in ONNX's order, with the elements from one index to the next. Rank 4 is
/// NHWC with `pitch` elements a pixel, which channels up to the next whole unit fill with zeros; others
/// are row-major.
struct Layout {
  Shape shape;
  std::vector<std::int64_t> strides;
  std::int64_t pitch = 0;  ///< of rank 4, else 0
  bool operator==(const Layout&) const = default;
};
/// `pitch` 0: the channels padded to a whole unit.
Layout layout_of(const Shape& shape, std::int64_t unit, std::int64_t pitch = 0);
/// Row-major, whatever the rank.
Layout plain_layout(const Shape& shape);
/// Elements from the first to the last, pads counted in.
std::int64_t extent_of(const Layout& layout);

/// One node of a specialised graph, with where its inputs and outputs lie.
struct Problem {
  const Environment& env;
  const graph::Node& node;
  std::vector<Layout> inputs, outputs;  ///< in the node's order; empty for absent and for integer inputs
  Prologue prologue = {};               ///< that the kernel runs too; `node` reads what it reads
  /// Computed in the same step; `outputs` are then its own.
  const graph::Node* max_pool = nullptr;
  /// A 1x1 convolution of stride 1 whose result this one, 1x1 too, adds in the same step; input 3 of `node` is then what it reads.
  const graph::Node* summand = nullptr;
  /// More filters, of one tap; `node` gives what both give.
  const Companion* companion = nullptr;
  /// Input 0 is an input of the network, so that it is there as float32 NCHW too.
  bool host_input = false;
  /// Where the outputs go if not side by side: a fourth of the filters for each output of a 2x2 tile, as pixels of this layout.
  const Layout* tiles_to = nullptr;
  /// More than 1: input 0, a list of rows, is a flattened [N, C, pixels] that still lies as [N][pixels][C].
  std::int64_t input_pixels = 1;
  /// What converting input 0 for this node alone would take, microseconds.
  double conversion_us = 0;

  /// One of Kernel::variants; empty: the best predicted.
  std::string variant = {};

  /// The same elsewhere.
  Problem in(const Environment& other) const {
    return {.env = other, .node = node, .inputs = inputs, .outputs = outputs, .prologue = prologue, .max_pool = max_pool, .summand = summand, .companion = companion,
            .host_input = host_input, .tiles_to = tiles_to, .input_pixels = input_pixels, .conversion_us = conversion_us, .variant = variant};
  }

  bool has_input(std::size_t i) const { return node.input(i) != graph::kNone; }
  const graph::Value& input(std::size_t i) const { return env.graph.value(node.inputs.at(i)); }
  const Shape& input_shape(std::size_t i) const { return input(i).shape.value(); }
  const graph::Value& output(std::size_t i = 0) const { return env.graph.value(node.outputs.at(i)); }
  const Shape& output_shape(std::size_t i = 0) const { return output(i).shape.value(); }
  /// What the step writes.
  const std::vector<graph::ValueId>& results() const { return max_pool != nullptr ? max_pool->outputs : node.outputs; }
  /// Null when input `i` is absent or not constant.
  const Tensor* constant(std::size_t i) const { return has_input(i) ? env.graph.constant_input(node, i) : nullptr; }
};

/// Pointers of one run, in the order of the node's inputs and outputs; null for inputs that a step does not
/// read. `workspace` has Implementation::workspace_bytes.
struct Arguments {
  const void* const* inputs;
  void* const* outputs;
  void* workspace;
  cudaStream_t stream;
  WeightsAhead ahead = {};  ///< for those that take it
};

/// Enqueues; neither allocates nor waits, so that it can be captured. Throws `Error`.
using Step = std::function<void(const Arguments&)>;

/// A kernel made ready for one problem.
struct Implementation {
  std::string name;  ///< as the plan shows it, "cuda:..."
  std::vector<bool> reads;  ///< of each input of the node: whether the step reads it from the value; empty: all
  bool reads_host = false;  ///< input 0 as float32 NCHW
  std::size_t workspace_bytes = 0;
  std::vector<std::shared_ptr<const DeviceBuffer>> weights;  ///< that the step reads; null entries do not count
  bool asks_ahead = false;  ///< takes Arguments::ahead
  Step step;
};

struct Kernel {
  std::string_view name;
  /// Why this kernel cannot take the problem; nothing when it can.
  std::optional<std::string> (*refuse)(const Problem&);
  /// Microseconds.
  double (*predict)(const Problem&);
  /// Throws `Unsupported` where a library says so only now.
  Implementation (*build)(const Problem&);
  /// Ways to cut its work, the best predicted first; null when there is one.
  std::vector<std::string> (*variants)(const Problem&) = nullptr;
  bool takes_prologue = false;  ///< batch norm and ReLU before the node
  bool takes_max_pool = false;  ///< the one behind the node
  bool takes_summand = false;   ///< the convolution that the node adds
  bool takes_companion = false; ///< the 1x1 convolution beside it
  bool takes_tiles = false;     ///< Problem::tiles_to
  bool takes_pixels = false;    ///< Problem::input_pixels above 1
  bool reads_host = false;      ///< the network's input as it comes; refuses others
};

struct Unsupported {
  std::string reason;
};

/// Candidates, best first by habit; the compiler takes the one that predicts least.
std::vector<Kernel> kernels_for(const graph::Op& op);

/// A tensor in the storage type of the precision and a layout, on the device. `key` names it in the store.
/// Throws `Error` on a value that is not finite in it.
std::shared_ptr<const DeviceBuffer> upload(const Environment& env, const std::string& key, const Tensor& tensor, const Layout& layout);
/// The same of what `make` gives, row-major, made only where the store has none yet.
std::shared_ptr<const DeviceBuffer> upload(const Environment& env, const std::string& key, const std::function<Tensor()>& make);
/// The same, kept by the caller alone; `name` is for messages.
std::shared_ptr<const DeviceBuffer> upload_unshared(const Environment& env, const std::string& name, const Tensor& tensor, const Layout& layout);
/// float32, as it is.
std::shared_ptr<const DeviceBuffer> upload_floats(const Environment& env, const std::string& key, const std::vector<float>& values);

/// Microseconds that moving so many bytes takes at least.
double predict_bytes(double bytes);

}  // namespace wins::runtime::cuda

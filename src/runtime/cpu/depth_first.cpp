#include "depth_first.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace wins::runtime::cpu {
namespace {

using graph::Graph;
using graph::kNone;
using graph::Node;
using graph::ValueId;

/// Activations of one step that the last cache holds for a few cores that share it with others. Intel Xeon, two cores of a virtual
/// machine, batch 8: VGG-16 at 84 % gains 10 %, dense 3 %; with half as much, ResNet-50 and DenseNet-121 take part too and gain nothing.
constexpr double kLastCacheBytes = 60 << 20;
/// Output pixels of an image for each thread.
constexpr std::int64_t kPixelsOfThread = 256;

/// Whether images do not meet in it.
bool is_image_wise(const Node& node) {
  if (const auto* concat = node.as<graph::Concat>()) return concat->axis == 1;
  return node.as<graph::Conv>() != nullptr || node.as<graph::WinogradConv>() != nullptr || node.as<graph::Pool>() != nullptr ||
         node.as<graph::BatchNorm>() != nullptr || node.as<graph::Unary>() != nullptr || node.as<graph::Binary>() != nullptr;
}

/// Whether a value has an image of rank 3 for each of the batch.
bool has_images(const graph::Value& value, std::int64_t images) {
  const Shape& shape = value.shape.value();
  return value.dtype == DType::f32 && shape.size() == 4 && shape[0] == images;
}

bool fits(const Graph& graph, const Node& node, std::int64_t images, int threads) {
  if (!is_image_wise(node) || node.outputs.size() != 1) return false;
  const graph::Value& output = graph.value(node.outputs[0]);
  if (!has_images(output, images)) return false;
  const Shape& shape = output.shape.value();
  if (shape[2] * shape[3] < kPixelsOfThread * threads) return false;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == kNone) continue;
    const graph::Value& input = graph.value(node.inputs[i]);
    // A constant operand would be one of all images together.
    if (input.constant ? node.as<graph::Binary>() != nullptr && input.constant->rank() == 4 && input.constant->dim(0) != 1
                       : !has_images(input, images)) {
      return false;
    }
  }
  return true;
}

/// Bytes of all activations that a node reads and writes.
double activation_bytes(const Graph& graph, const Node& node) {
  double floats = 0;
  for (const auto* ids : {&node.inputs, &node.outputs}) {
    for (const ValueId id : *ids) {
      if (id != kNone && !graph.value(id).constant) floats += static_cast<double>(element_count(graph.value(id).shape.value()));
    }
  }
  return 4 * floats;
}

/// About, as packed.
double weight_bytes(const Graph& graph, const Node& node) {
  if (const auto* winograd = node.as<graph::WinogradConv>()) {
    const double kept = static_cast<double>(winograd->mask.kept_total());
    return 4 * kept * (winograd->mask.axis == winograd::Axis::row ? static_cast<double>(winograd->mask.columns) : static_cast<double>(winograd->mask.rows));
  }
  const auto* conv = node.as<graph::Conv>();
  const Tensor* weights = conv != nullptr ? graph.constant_input(node, 1) : nullptr;
  if (weights == nullptr) return 0;
  const bool winograd = weights->dim(2) == 3 && weights->dim(3) == 3;  // F(4,3) has four times the weights
  return static_cast<double>(weights->byte_size()) * (winograd ? 4 : 1);
}

}  // namespace

FirstPart find_first_part(const Graph& graph, const Machine& machine, int threads) {
  FirstPart part;
  if (graph.inputs.size() != 1) return part;
  const Shape& input = graph.value(graph.inputs[0]).shape.value();
  const std::int64_t images = input.empty() ? 0 : input[0];
  if (images < 2 || !has_images(graph.value(graph.inputs[0]), images)) return part;
  std::map<ValueId, std::size_t> last_read;  // by the node's place
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const ValueId id : graph.nodes[n].inputs) last_read[id] = n;
  }
  for (const ValueId id : graph.outputs) last_read[id] = graph.nodes.size();
  std::set<ValueId> open{graph.inputs[0]};  // made, and read later
  bool worth = false;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (!fits(graph, node, images, threads) || weight_bytes(graph, node) > machine.l2_bytes / 2) break;
    const double bytes = activation_bytes(graph, node);
    worth = worth || (bytes > kLastCacheBytes && bytes / static_cast<double>(images) <= kLastCacheBytes);
    open.insert(node.outputs[0]);
    std::erase_if(open, [&](ValueId id) { return !last_read.contains(id) || last_read.at(id) <= n; });
    // Behind the last large one; a cut before it would part it from what it reads.
    if (open.size() == 1 && *open.begin() == node.outputs[0] && worth) {
      part = {n + 1, node.outputs[0]};
      worth = false;
    }
  }
  return part;
}

Graph graph_of(const Graph& graph, const FirstPart& part) {
  Graph first;
  first.name = graph.name;
  first.values = graph.values;
  first.nodes.assign(graph.nodes.begin(), graph.nodes.begin() + static_cast<std::ptrdiff_t>(part.nodes));
  first.inputs = graph.inputs;
  first.outputs = {part.cut};
  const std::int64_t images = graph.value(part.cut).shape.value()[0];
  for (graph::Value& value : first.values) {
    if (!value.constant && value.shape && has_images(value, images)) value.shape.value()[0] = 1;
  }
  return first;
}

void add_for_each_image(Program& program, Program part, std::size_t cut, std::int64_t images) {
  Buffer memory;
  memory.bytes = part.plan.arena_bytes;
  program.buffers.push_back(std::move(memory));
  const std::size_t arena = program.buffers.size() - 1, first_line = program.plan.layers.size(), part_cut = part.outputs.at(0).buffer;
  for (LayerPlan& line : part.plan.layers) {
    line.predicted_us *= static_cast<double>(images);
    line.refused.emplace_back("all images at once", "one after the other their activations stay in the caches");
    program.plan.layers.push_back(std::move(line));
  }
  std::vector<std::size_t> place(part.buffers.size(), kNoBuffer);
  for (std::int64_t image = 0; image < images; ++image) {
    for (std::size_t b = 0; b < part.buffers.size(); ++b) {
      Buffer& given = part.buffers[b];
      const bool of_image = given.graph_input || b == part_cut;
      if (image > 0 && !of_image) continue;
      Buffer buffer;
      buffer.bytes = given.bytes;
      buffer.graph_input = given.graph_input;
      buffer.constant = std::move(given.constant);
      if (of_image) buffer.parent_offset = static_cast<std::size_t>(image) * given.bytes;
      if (!given.graph_input && !buffer.constant) {
        buffer.parent = b == part_cut ? cut : arena;
        if (b != part_cut) buffer.parent_offset = given.offset;
      }
      program.buffers.push_back(std::move(buffer));
      place[b] = program.buffers.size() - 1;
    }
    const auto placed = [&](const std::vector<std::size_t>& given) {
      std::vector<std::size_t> result;
      for (const std::size_t b : given) result.push_back(b == kNoBuffer ? kNoBuffer : place[b]);
      return result;
    };
    for (const PlannedStep& step : part.steps) {
      program.steps.push_back({step.step, placed(step.inputs), placed(step.outputs), -1, first_line + step.line});
    }
  }
}

}  // namespace wins::runtime::cpu

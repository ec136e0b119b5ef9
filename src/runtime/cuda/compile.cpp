#include "compile.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "candidates.hpp"
#include "copy.hpp"
#include "input_conversion.hpp"
#include "tuner.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/arena.hpp"
#include "wins/runtime/fusion.hpp"
#include "wins/runtime/problem.hpp"

namespace wins::runtime::cuda {
namespace {

using graph::kNone;
using graph::Node;
using graph::Value;
using graph::ValueId;

constexpr std::size_t kArenaAlignment = 256;

/// Nodes that give their input's elements in the same order under another shape.
bool is_reshape(const Node& node) {
  if (const auto* unary = node.as<graph::Unary>()) return unary->function.kind == graph::UnaryKind::identity;
  return node.as<graph::Flatten>() != nullptr || node.as<graph::Reshape>() != nullptr || node.as<graph::Squeeze>() != nullptr ||
         node.as<graph::Unsqueeze>() != nullptr;
}

/// Whether the elements lie row-major next to each other.
bool is_plain(const Layout& layout) {
  const Layout plain = plain_layout(layout.shape);
  for (std::size_t d = 0; d < layout.shape.size(); ++d) {
    if (layout.shape[d] > 1 && layout.strides[d] != plain.strides[d]) return false;
  }
  return true;
}

/// Microseconds between two short steps of a graph, which those of a step by itself do not have (DenseNet-121 at batch 1, H200).
constexpr double kNextStep = 1.5;

/// Of the memory's bandwidth, what a step asks of the weights behind it; of the second-level cache, what these fill at most.
constexpr double kAheadRate = 0.2, kAheadShare = 0.5;

/// Nodes whose constants are weights.
bool has_weights(const Node& node) {
  return node.as<graph::Conv>() != nullptr || node.as<graph::WinogradConv>() != nullptr || node.as<graph::ConvTranspose>() != nullptr ||
         node.as<graph::Gemm>() != nullptr || node.as<graph::MatMul>() != nullptr;
}

class Compiler {
 public:
  Compiler(const Environment& env, Decisions& decisions)
      : env_(env),
        prologues_(find_prologues(env.graph)),
        max_pools_(find_max_pools(env.graph)),
        summands_(find_summands(env.graph)),
        companions_(find_companions(env.graph)),
        placements_(find_placements(env.graph, static_cast<int>(env.unit()))),
        buffers_(env.graph.values.size(), kNoBuffer) {
    if (env.options.tune && env.options.force_kernel.empty()) tuner_.emplace(env, decisions);
  }

  Program run() {
    for (const ValueId id : env_.graph.inputs) add_input(id);
    choose_prologues();
    choose_max_pools();
    choose_summands();
    choose_companions();
    for (const Node& node : env_.graph.nodes) {
      if (!absorbed_.contains(&node) && !place_concat(node) && !add_alias(node)) add_node(node);
    }
    require(unsupported_.empty(), "no cuda kernel for: {}", unsupported_);
    for (const ValueId id : env_.graph.outputs) add_output(id);
    if (tuner_) tuner_->save();
    ask_ahead();
    assign_memory();
    return std::move(program_);
  }

 private:
  const Value& value(ValueId id) const { return env_.graph.value(id); }
  static bool is_float(const Value& value) { return value.dtype == DType::f32; }
  std::size_t& buffer_of(ValueId id) { return buffers_[static_cast<std::size_t>(id)]; }

  Layout layout(ValueId id) const {
    const Shape& shape = value(id).shape.value();
    const auto placed = placements_.find(id);
    if (placed == placements_.end()) return layout_of(shape, env_.unit());
    return layout_of(shape, env_.unit(), layout_of(value(placed->second.root).shape.value(), env_.unit()).pitch);
  }

  std::size_t add_bytes(std::size_t bytes) {
    Buffer buffer;
    buffer.bytes = bytes;
    program_.buffers.push_back(std::move(buffer));
    return program_.buffers.size() - 1;
  }

  /// Memory for a value that a step writes.
  std::size_t add_buffer(ValueId id) {
    const auto bytes = static_cast<std::size_t>(extent_of(layout(id)) * env_.element_bytes());
    const std::size_t index = add_bytes(bytes);
    if (const auto placed = placements_.find(id); placed != placements_.end()) {
      const auto [root, channel] = placed->second;
      if (buffer_of(root) == kNoBuffer) add_buffer(root);
      program_.buffers[index].parent = buffer_of(root);
      program_.buffers[index].parent_offset = static_cast<std::size_t>(channel * env_.element_bytes());
    }
    buffer_of(id) = index;
    return index;
  }

  /// Where a value is read from; constants go to the device, and the network's inputs are converted, when something reads them.
  std::size_t read(ValueId id) {
    if (buffer_of(id) != kNoBuffer) return buffer_of(id);
    if (hosts_.contains(id)) return convert_input(id);
    const Value& constant = value(id);
    require(constant.constant.has_value(), "cuda: value '{}' is read before it is made", constant.name);
    const std::size_t index = add_bytes(0);
    // Of a plan, not of the session: a folded constant may depend on the input shapes.
    program_.buffers[index].constant = upload_unshared(env_, constant.name, *constant.constant, layout(id));
    buffer_of(id) = index;
    return index;
  }

  void add_input(ValueId id) {
    const Value& input = value(id);
    require(is_float(input), "cuda: input '{}' is not float32", input.name);
    const Shape& shape = input.shape.value();
    const std::size_t host = add_bytes(static_cast<std::size_t>(element_count(shape)) * sizeof(float));
    program_.inputs.push_back({host, shape});
    hosts_[id] = host;
    if (layout(id) == plain_layout(shape) && env_.element_bytes() == 4) buffer_of(id) = host;
  }

  std::size_t convert_input(ValueId id) {
    const Layout to = layout(id);
    const std::size_t result = add_buffer(id);
    const bool units = to.pitch > 0 && extent_of(to) > 0 && extent_of(to) <= INT32_MAX;
    add_copy(id, "cuda:reorder_from_host", hosts_.at(id), result, [&] {
      if (units) return input_conversion_step(to, env_.operand);
      return copy_step({whole(plain_layout(to.shape), to, env_.unit()), Number::f32, number_of(env_.operand)});
    });
    return result;
  }

  /// Between float32 as it comes and the layout of a value.
  double predict_copy(ValueId id) const {
    const Layout inside = layout(id);
    return predict_bytes(4.0 * static_cast<double>(element_count(inside.shape)) + static_cast<double>(extent_of(inside) * env_.element_bytes()));
  }

  void add_output(ValueId id) {
    const Value& output = value(id);
    const Shape& shape = output.shape.value();
    require(is_float(output), "cuda: output '{}' is not float32", output.name);
    const std::size_t from = read(id);
    const std::size_t host = add_bytes(static_cast<std::size_t>(element_count(shape)) * sizeof(float));
    program_.outputs.push_back({host, shape});
    add_copy(id, "cuda:reorder_to_host", from, host, [&] {
      return copy_step({whole(layout(id), plain_layout(shape), 1), number_of(env_.operand), Number::f32});
    });
  }

  template <class MakeStep>
  void add_copy(ValueId id, std::string name, std::size_t from, std::size_t to, const MakeStep& make) {
    LayerPlan line;
    line.node = value(id).name;
    line.kernel = std::move(name);
    line.problem = to_string(value(id).shape.value());
    line.predicted_us = predict_copy(id);
    try {
      program_.steps.push_back({make(), {from}, {to}});
    } catch (const Error& error) {
      fail("{}: {}", line.node, error.what());
    }
    program_.plan.layers.push_back(std::move(line));
  }

  /// A concatenation whose inputs are written in place needs no step.
  bool place_concat(const Node& node) {
    if (!is_placed_concat(node, placements_)) return false;
    if (std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) { return value(id).constant.has_value(); })) return false;
    const ValueId output = node.outputs[0];
    if (buffer_of(output) == kNoBuffer) add_buffer(output);
    for (const ValueId id : node.inputs) read(id);
    return true;
  }

  bool add_alias(const Node& node) {
    if (!is_reshape(node) || !is_float(value(node.outputs[0]))) return false;
    if (add_flattened(node)) return true;
    const ValueId from = node.inputs[0], to = node.outputs[0];
    if (placements_.contains(to) || !is_plain(layout(from)) || !is_plain(layout(to))) return false;
    if (layout(to).pitch > 0 && layout(to).pitch != value(to).shape.value()[1]) return false;
    buffer_of(to) = read(from);
    return true;
  }

  /// Pixels that become rows for products alone stay as they lie; the products' weights change places instead.
  bool add_flattened(const Node& node) {
    const ValueId from = node.inputs[0], to = node.outputs[0];
    const Shape &in = value(from).shape.value(), &out = value(to).shape.value();
    if (in.size() != 4 || out.size() != 2 || out[0] != in[0] || in[2] * in[3] <= 1 || layout(from).pitch != in[1]) return false;
    if (placements_.contains(from) || placements_.contains(to) || value(from).constant || std::ranges::count(env_.graph.outputs, to) > 0) return false;
    pixels_[to] = in[2] * in[3];
    const bool taken = std::ranges::all_of(env_.graph.nodes, [&](const Node& reader) {
      const auto reads = std::ranges::count(reader.inputs, to);
      return reads == 0 || (reads == 1 && reader.inputs[0] == to && !find_candidates(problem_of(reader)).taking.empty());
    });
    if (taken) buffer_of(to) = read(from);
    else pixels_.erase(to);
    return taken;
  }

  /// Constants of other nodes may be infinite, as those of masks are. Looked through once a session.
  void check_weights(const Node& node) const {
    for (const ValueId id : node.inputs) {
      if (id == kNone || !value(id).constant || !is_float(value(id))) continue;
      env_.weights.get<bool>(node.name + "/finite/" + value(id).name, [&] {
        for (const float weight : value(id).constant->data<float>()) require(std::isfinite(weight), "{}: a weight is {}", node.name, weight);
        return true;
      });
    }
  }

  /// `node` as it reads behind its prologue or with its summand, or gives its companion's too; all of these are computed in the same step.
  Problem problem_of(const Node& node, const Prologue& prologue = {}, const Node* max_pool = nullptr, const Node* summand = nullptr, const Companion* companion = nullptr) {
    Problem problem{env_, node, {}, {}, prologue, max_pool, summand, companion};
    for (const ValueId id : node.inputs) problem.inputs.push_back(id != kNone && is_float(value(id)) ? layout(id) : Layout{});
    for (const ValueId id : problem.results()) problem.outputs.push_back(id != kNone ? layout(id) : Layout{});
    problem.host_input = hosts_.contains(node.input(0));
    if (const auto flattened = pixels_.find(node.input(0)); flattened != pixels_.end()) problem.input_pixels = flattened->second;
    if (problem.host_input && buffer_of(node.input(0)) == kNoBuffer && count_readers(node.input(0)) == 1) {
      problem.conversion_us = predict_copy(node.input(0));
    }
    return problem;
  }

  std::ptrdiff_t count_readers(ValueId id) const {
    std::ptrdiff_t readers = std::ranges::count(env_.graph.outputs, id);
    for (const Node& node : env_.graph.nodes) readers += std::ranges::count(node.inputs, id);
    return readers;
  }

  /// Whether a convolution does what `others` would take in the same step, by the times of best kernels; 0 where one is forced.
  static bool is_taken(double together, double alone, double others) {
    if (together == 0 || alone == 0) return together == 0;
    return together < alone + others;
  }

  /// Keeps the max-pools that are predicted faster inside the convolution before them, and those that a forced kernel takes;
  /// they get no steps.
  void choose_max_pools() {
    std::erase_if(max_pools_, [&](const auto& entry) {
      const auto& [node, pool] = entry;
      if (prologues_.contains(node)) return true;  // no kernel takes both
      return !is_taken(predict_best(problem_of(*node, {}, pool)), predict_best(problem_of(*node)), predict_best(problem_of(*pool)));
    });
    for (const auto& [node, pool] : max_pools_) absorbed_.insert(pool);
  }

  /// Whether a convolution's step has other nodes too, or it has none: no kernel takes more.
  bool has_others(const Node* node) const { return prologues_.contains(node) || max_pools_.contains(node) || absorbed_.contains(node); }

  /// The same for convolutions that others add.
  void choose_summands() {
    std::erase_if(summands_, [&](const auto& entry) {
      const auto& [node, summand] = entry;
      if (has_others(node) || has_others(summand)) return true;
      const Node both = with_summand(*node, *summand);
      return !is_taken(predict_best(problem_of(both, {}, nullptr, summand)), predict_best(problem_of(*node)), kNextStep + predict_best(problem_of(*summand)));
    });
    for (const auto& [node, summand] : summands_) absorbed_.insert(summand);
  }

  /// The same for 1x1 convolutions beside others, and their concatenation.
  void choose_companions() {
    std::erase_if(companions_, [&](const auto& entry) {
      const auto& [node, companion] = entry;
      if (has_others(node) || has_others(companion.pointwise)) return true;
      const Node both = with_companion(*node, companion);
      return !is_taken(predict_best(problem_of(both, {}, nullptr, nullptr, &companion)), predict_best(problem_of(*node)),
                       kNextStep + predict_best(problem_of(*companion.pointwise)));
    });
    for (const auto& [node, companion] : companions_) absorbed_.insert({companion.pointwise, companion.concat});
  }

  /// The same for what stands before a convolution.
  void choose_prologues() {
    std::erase_if(prologues_, [&](const auto& entry) {
      const auto& [node, prologue] = entry;
      const Node inside = behind_prologue(*node, prologue);
      double others = kNextStep + predict_best(problem_of(*prologue.norm));
      if (prologue.relu != nullptr) others += kNextStep + predict_best(problem_of(*prologue.relu));
      return !is_taken(predict_best(problem_of(inside, prologue)), predict_best(problem_of(*node)), others);
    });
    absorbed_.merge(nodes_of(prologues_));
  }

  void add_node(const Node& given) {
    if (has_weights(given)) check_weights(given);
    const auto behind = prologues_.find(&given);
    const auto partner = [&](const std::map<const Node*, const Node*>& of) { return of.contains(&given) ? of.at(&given) : nullptr; };
    const Prologue prologue = behind != prologues_.end() ? behind->second : Prologue();
    const Node* summand = partner(summands_);
    const auto beside = companions_.find(&given);
    const Companion companion = beside != companions_.end() ? beside->second : Companion();
    Node node = behind_prologue(given, prologue);
    if (summand != nullptr) node = with_summand(given, *summand);
    if (companion.concat != nullptr) node = with_companion(given, companion);
    const Problem problem = problem_of(node, prologue, partner(max_pools_), summand, companion.concat != nullptr ? &companion : nullptr);
    for (const Node* other : {summand, companion.pointwise}) {
      if (other != nullptr) check_weights(*other);
    }
    LayerPlan line;
    std::optional<Implementation> chosen = choose(problem, line);
    if (!chosen) {
      unsupported_ += fmt::format("{}{} ({}{})", unsupported_.empty() ? "" : ", ", node.name, graph::op_name(node.op),
                                  line.refused.empty() ? "" : ": " + line.refused.back().second);
      for (const ValueId id : problem.results()) {
        if (id != kNone) add_buffer(id);
      }
      return;
    }
    PlannedStep planned;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const bool wanted = node.inputs[i] != kNone && (chosen->reads.empty() || chosen->reads.at(i));
      const bool as_it_comes = i == 0 && chosen->reads_host;
      planned.inputs.push_back(as_it_comes ? hosts_.at(node.inputs[i]) : wanted ? read(node.inputs[i]) : kNoBuffer);
    }
    for (const ValueId id : problem.results()) planned.outputs.push_back(id != kNone ? add_buffer(id) : kNoBuffer);
    line.node = node.name;
    line.kernel = chosen->name;
    line.problem = problem_text(env_.graph, given);
    line.workspace_bytes = chosen->workspace_bytes;
    for (const auto& weights : chosen->weights) line.weight_bytes += weights ? weights->size() : 0;
    for (const Node* inside : {problem.max_pool, summand, companion.pointwise, companion.concat, prologue.norm, prologue.relu}) {
      if (inside != nullptr) line.inside.push_back(inside->name);
    }
    planned.step = std::move(chosen->step);
    planned.weights = std::move(chosen->weights);
    planned.asks_ahead = chosen->asks_ahead;
    program_.steps.push_back(std::move(planned));
    program_.plan.layers.push_back(std::move(line));
  }

  /// The kernel that was measured fastest, else the one with the least predicted time among those that take the problem.
  std::optional<Implementation> choose(const Problem& problem, LayerPlan& line) {
    auto [candidates, refused] = find_candidates(problem);
    line.refused = std::move(refused);
    const Decision* decision = tuner_ ? tuner_->decide(problem) : nullptr;
    if (decision != nullptr) prefer(decision->choice, candidates);
    std::optional<Implementation> result;
    for (const Candidate& candidate : candidates) {
      if (result) {
        line.refused.emplace_back(std::string(candidate.kernel.name), fmt::format("predicted {:.0f} us, slower", candidate.us));
        continue;
      }
      try {
        result = build(candidate, problem);
        line.predicted_us = candidate.us;
        line.choice = candidate.name();
      } catch (const Unsupported& unsupported) {
        line.refused.emplace_back(std::string(candidate.kernel.name), unsupported.reason);
      } catch (const Error& error) {
        fail("{}: {}", problem.node.name, error.what());
      }
    }
    if (decision != nullptr) tell_times(*decision, line);
    return result;
  }

  void ask_ahead() {
    std::vector<StepWeights> steps;
    for (std::size_t s = 0; s < program_.steps.size(); ++s) {
      const PlannedStep& planned = program_.steps[s];
      steps.push_back({program_.plan.layers[s].predicted_us, planned.asks_ahead, {}});
      for (const auto& weights : planned.weights) {
        if (weights) steps.back().weights.push_back({weights->data(), static_cast<std::uint32_t>(std::min<std::size_t>(weights->size(), INT32_MAX))});
      }
    }
    const auto most_bytes = static_cast<std::size_t>(kAheadShare * device().cache_bytes);
    const std::vector<WeightsAhead> ahead = plan_weights_ahead(steps, kAheadRate * device().bandwidth, most_bytes);
    for (std::size_t s = 0; s < ahead.size(); ++s) program_.steps[s].ahead = ahead[s];
  }

  void assign_memory() {
    BufferUses uses = find_uses(program_);
    // What the host writes and reads lives all the time: the host need not wait for a layer.
    for (const HostValue& host : program_.inputs) uses.first[host.buffer] = 0;
    std::vector<std::size_t> owners;
    std::vector<Lifetime> lifetimes;
    for (std::size_t b = 0; b < program_.buffers.size(); ++b) {
      const Buffer& buffer = program_.buffers[b];
      if (buffer.constant || buffer.parent != kNoBuffer || uses.first[b] == kNoBuffer) continue;
      owners.push_back(b);
      lifetimes.push_back({buffer.bytes, uses.first[b], uses.last[b]});
    }
    const ArenaPlan arena = plan_arena(lifetimes, kArenaAlignment);
    for (std::size_t i = 0; i < owners.size(); ++i) program_.buffers[owners[i]].offset = arena.offsets[i];
    for (std::size_t b = 0; b < program_.buffers.size(); ++b) {
      Buffer& buffer = program_.buffers[b];
      std::size_t root = b, within = 0;
      for (; program_.buffers[root].parent != kNoBuffer; root = program_.buffers[root].parent) within += program_.buffers[root].parent_offset;
      if (root != b) buffer.offset = program_.buffers[root].offset + within;
    }
    complete(program_.plan, arena.bytes);
  }

  const Environment& env_;
  std::optional<Tuner> tuner_;
  std::map<const Node*, Prologue> prologues_;     // by the convolution
  std::map<const Node*, const Node*> max_pools_;  // by the convolution
  std::map<const Node*, const Node*> summands_;   // by the convolution that adds
  std::map<const Node*, Companion> companions_;   // by the 3x3 convolution
  std::set<const Node*> absorbed_;                // into other steps
  std::map<ValueId, Placement> placements_;
  std::map<ValueId, std::int64_t> pixels_;  // Problem::input_pixels, by the input
  std::vector<std::size_t> buffers_;     // by value
  std::map<ValueId, std::size_t> hosts_;  // of the network's inputs, float32 row-major
  Program program_;
  std::string unsupported_;
};

}  // namespace

Program compile_program(const Environment& environment, Decisions& decisions) { return Compiler(environment, decisions).run(); }

}  // namespace wins::runtime::cuda

#include "compile.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "arena.hpp"
#include "candidates.hpp"
#include "dnnl_step.hpp"
#include "tuner.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/problem.hpp"

namespace wins::runtime::cpu {
namespace {

using graph::kNone;
using graph::Node;
using graph::Value;
using graph::ValueId;

std::size_t plain_bytes(const Value& value) {
  return static_cast<std::size_t>(element_count(value.shape.value())) * size_of(value.dtype);
}

class Compiler {
 public:
  explicit Compiler(const Environment& env)
      : env_(env),
        homes_(env.graph.values.size()),
        prologues_(find_prologues(env.graph)),
        placements_(find_placements(env.graph, env.block)),
        tuning_(env.options.tune && env.options.force_kernel.empty()) {}

  Program run() {
    place_inputs_and_constants();
    choose_prologues();
    if (tuning_) tune();
    for (const Node& node : env_.graph.nodes) {
      if (!absorbed_.contains(&node) && !place_concat(node)) add_node(node);
    }
    require(unsupported_.empty(), "no cpu kernel for: {}", unsupported_);
    for (const ValueId id : env_.graph.outputs) {
      const Value& value = env_.graph.value(id);
      program_.outputs.push_back({buffer_of(id, Layout::plain), value.dtype, value.shape.value()});
    }
    assign_memory();
    return std::move(program_);
  }

 private:
  /// Buffers of one value, by layout.
  struct Home {
    std::size_t buffers[2] = {kNoBuffer, kNoBuffer};
    Layout first = Layout::plain;  ///< the one that was made, not reordered
  };

  Home& home(ValueId id) { return homes_[static_cast<std::size_t>(id)]; }

  std::size_t add_buffer(ValueId id, Layout layout) {
    const Value& value = env_.graph.value(id);
    Buffer buffer;
    buffer.bytes =
        layout == Layout::plain
            ? plain_bytes(value)
            : static_cast<std::size_t>(blocked_count(value.shape.value(), env_.block)) * sizeof(float);
    const auto placed = placements_.find(id);
    if (layout == Layout::blocked && placed != placements_.end()) {
      const auto [root, channel] = placed->second;
      const Shape& shape = value.shape.value();
      const std::size_t there = home(root).buffers[static_cast<std::size_t>(layout)];
      buffer.parent = there != kNoBuffer ? there : add_buffer(root, layout);
      buffer.parent_offset = static_cast<std::size_t>(channel * shape[2] * shape[3]) * sizeof(float);
    }
    program_.buffers.push_back(std::move(buffer));
    const std::size_t index = program_.buffers.size() - 1;
    home(id).buffers[static_cast<std::size_t>(layout)] = index;
    return index;
  }

  /// A concatenation whose inputs lie in place already, or are put there, needs no step.
  bool place_concat(const Node& node) {
    if (node.as<graph::Concat>() == nullptr) return false;
    const ValueId output = node.outputs[0];
    const auto root_of = [&](ValueId id) {
      const auto placed = placements_.find(id);
      return placed != placements_.end() ? placed->second.root : id;
    };
    const ValueId root = root_of(output);
    const bool placed = std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) {
      return placements_.contains(id) && root_of(id) == root;
    });
    if (!placed) return false;
    for (const ValueId id : node.inputs) buffer_of(id, Layout::blocked);
    if (home(output).buffers[static_cast<std::size_t>(Layout::blocked)] == kNoBuffer) add_buffer(output, Layout::blocked);
    home(output).first = Layout::blocked;
    return true;
  }

  Problem problem_of(const Node& node) {
    Problem problem{env_, node, {}, {}, {}};
    for (const ValueId id : node.inputs)
      problem.existing.push_back(id == kNone ? Layout::plain : home(id).first);
    return problem;
  }

  /// Keeps the prologues that a kernel takes; their nodes get no steps.
  void choose_prologues() {
    std::erase_if(prologues_, [&](const auto& entry) {
      const auto& [node, prologue] = entry;
      Problem problem = problem_of(*node);
      problem.prologue = prologue;
      const std::string wanted = split_choice(env_.options.force_kernel).first;
      const std::vector<Kernel> kernels = kernels_for(node->op);
      return std::none_of(kernels.begin(), kernels.end(), [&](const Kernel& kernel) {
        return kernel.takes_prologue && (wanted.empty() || wanted == kernel.name) && !kernel.refuse(problem);
      });
    });
    for (const auto& [node, prologue] : prologues_) {
      absorbed_.insert(prologue.norm);
      if (prologue.relu != nullptr) absorbed_.insert(prologue.relu);
    }
  }

  void place_inputs_and_constants() {
    for (std::size_t i = 0; i < env_.graph.inputs.size(); ++i) {
      program_.buffers[add_buffer(env_.graph.inputs[i], Layout::plain)].graph_input = i;
    }
    for (std::size_t id = 0; id < env_.graph.values.size(); ++id) {
      const Value& value = env_.graph.values[id];
      if (!value.constant) continue;
      // Constants that no step reads in this form (weights) cost nothing: no copy is made.
      program_.buffers[add_buffer(static_cast<ValueId>(id), Layout::plain)].constant = *value.constant;
    }
  }

  /// The buffer of a value in a layout; a reorder is added when it exists in the other one alone.
  std::size_t buffer_of(ValueId id, Layout layout) {
    const std::size_t have = home(id).buffers[static_cast<std::size_t>(layout)];
    if (have != kNoBuffer) return have;
    const Layout other = layout == Layout::plain ? Layout::blocked : Layout::plain;
    const std::size_t from = home(id).buffers[static_cast<std::size_t>(other)];
    require(from != kNoBuffer, "cpu: value '{}' is read before it is made", env_.graph.value(id).name);
    return add_reorder(id, from, layout);
  }

  std::size_t add_reorder(ValueId id, std::size_t from, Layout to) {
    const Value& value = env_.graph.value(id);
    const Shape& shape = value.shape.value();
    const dnnl::memory::desc plain = plain_desc(shape), blocked = blocked_desc(shape, env_.block);
    const bool blocks = to == Layout::blocked;
    auto step = std::make_unique<DnnlStep>(make_reorder(blocks ? plain : blocked, blocks ? blocked : plain));
    step->bind_input(DNNL_ARG_FROM, 0, blocks ? plain : blocked);
    step->bind_output(DNNL_ARG_TO, 0, blocks ? blocked : plain);
    LayerPlan line;
    line.node = value.name;
    line.kernel = blocks ? "cpu:reorder_to_blocked" : "cpu:reorder_to_plain";
    line.problem = to_string(shape);
    line.workspace_bytes = step->workspace_bytes();
    const double bytes = 4.0 * static_cast<double>(element_count(shape));
    line.predicted_us = predict_roofline(0, 2 * bytes, 1, env_.threads, env_.machine).us;
    const std::size_t result = add_buffer(id, to);
    program_.steps.push_back({std::move(step), {from}, {result}, -1});
    program_.plan.layers.push_back(std::move(line));
    return result;
  }

  void add_node(const Node& given) {
    Node node = given;
    const Prologue prologue = take_prologue(given, node);
    Problem problem = problem_of(node);
    problem.prologue = prologue;
    LayerPlan line;
    std::optional<Implementation> chosen = choose(problem, line);
    if (!chosen) {
      unsupported_ +=
          fmt::format("{}{} ({})", unsupported_.empty() ? "" : ", ", node.name, graph::op_name(node.op));
      for (const ValueId id : node.outputs) add_buffer(id, Layout::plain);
      return;
    }
    PlannedStep planned;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Need wanted = i < chosen->inputs.size() ? chosen->inputs[i] : Need::none;
      const bool read = node.inputs[i] != kNone && wanted != Need::none;
      planned.inputs.push_back(
          read ? buffer_of(node.inputs[i], wanted == Need::plain ? Layout::plain : Layout::blocked)
               : kNoBuffer);
    }
    for (const ValueId id : node.outputs) {
      planned.outputs.push_back(id == kNone ? kNoBuffer : add_buffer(id, chosen->output));
      if (id != kNone) home(id).first = chosen->output;
    }
    planned.in_place = chosen->in_place;
    line.node = node.name;
    line.kernel = chosen->name;
    for (const Node* inside : {prologue.norm, prologue.relu}) {
      if (inside != nullptr) line.inside.push_back(inside->name);
    }
    line.problem = problem_text(env_.graph, node);
    line.predicted_us = chosen->cost.us;
    line.workspace_bytes = chosen->workspace_bytes;
    line.weight_bytes = chosen->weight_bytes;
    planned.step = std::move(chosen->step);
    program_.steps.push_back(std::move(planned));
    program_.plan.layers.push_back(std::move(line));
  }

  /// The kernel that tuning decided on, else the one with the least predicted time among those that
  /// take the problem.
  std::optional<Implementation> choose(Problem& problem, LayerPlan& line) {
    auto [candidates, refused] = find_candidates(problem);
    line.refused = std::move(refused);
    const Decision* decision = decision_for(problem);
    if (decision != nullptr) prefer(decision->choice, candidates);
    std::optional<Implementation> result;
    for (const Candidate& candidate : candidates) {
      if (result) {
        if (candidate.kernel.name == "ref") continue;
        line.refused.emplace_back(std::string(candidate.kernel.name),
                                  fmt::format("predicted {:.0f} us, slower", candidate.cost.us));
        continue;
      }
      try {
        problem.variant = candidate.variant;
        result = candidate.kernel.build(problem);
        result->cost = candidate.cost;
        line.choice = candidate.name();
      } catch (const dnnl::error& error) {
        line.refused.emplace_back(std::string(candidate.kernel.name),
                                  fmt::format("oneDNN: {}", error.what()));
      }
    }
    if (decision != nullptr) tell_times(*decision, line);
    return result;
  }

  /// Null when the cost model chooses.
  const Decision* decision_for(const Problem& problem) {
    if (!tuning_) return nullptr;
    const auto& known = env_.weights.decisions().by_problem;
    const auto found = known.find(tuning_key(problem));
    return found != known.end() && !found->second.choice.empty() ? &found->second : nullptr;
  }

  /// Puts the candidate of this name first, cut as the name says.
  static void prefer(const std::string& choice, std::vector<Candidate>& candidates) {
    const auto [kernel, variant] = split_choice(choice);
    const auto chosen = std::find_if(candidates.begin(), candidates.end(),
                                     [&, &name = kernel](const Candidate& c) { return c.kernel.name == name; });
    if (chosen == candidates.end()) return;
    chosen->variant = variant;
    std::rotate(candidates.begin(), chosen, chosen + 1);
  }

  /// What the chosen kernel and the others took when they were measured.
  static void tell_times(const Decision& decision, LayerPlan& line) {
    std::erase_if(line.refused, [&](const auto& entry) {
      return std::any_of(decision.measured.begin(), decision.measured.end(),
                         [&](const auto& time) { return split_choice(time.first).first == entry.first; });
    });
    for (const auto& [choice, us] : decision.measured) {
      if (choice == line.choice) line.tuned_us = us;
      else line.refused.emplace_back(choice, fmt::format("measured {:.0f} us", us));
    }
  }

  /// Convolutions as they will be chosen for, before anything is.
  void tune() {
    std::vector<Node> nodes;
    nodes.reserve(env_.graph.nodes.size());  // problems point to them
    std::vector<Problem> problems;
    for (const Node& given : env_.graph.nodes) {
      if (absorbed_.contains(&given)) continue;
      const Prologue prologue = take_prologue(given, nodes.emplace_back(given));
      problems.push_back(problem_of(nodes.back()));
      problems.back().prologue = prologue;
    }
    Tuner(env_, env_.weights.decisions()).tune(problems);
  }

  /// Makes `node`, a copy of `given`, read what its prologue reads.
  Prologue take_prologue(const Node& given, Node& node) const {
    const auto found = prologues_.find(&given);
    if (found == prologues_.end()) return {};
    node.inputs[0] = found->second.norm->inputs[0];
    return found->second;
  }

  /// Buffers that share memory: a step that may work in place takes over an input that dies there.
  std::vector<std::size_t> find_owners(const std::vector<std::size_t>& last_use) const {
    std::vector<std::size_t> owner(program_.buffers.size());
    for (std::size_t i = 0; i < owner.size(); ++i) owner[i] = i;
    std::vector<std::size_t> owner_last = last_use;
    std::vector<bool> shared(program_.buffers.size(), false);  // parts, and what has parts
    for (std::size_t b = 0; b < program_.buffers.size(); ++b) {
      if (program_.buffers[b].parent == kNoBuffer) continue;
      shared[b] = shared[program_.buffers[b].parent] = true;
    }
    for (std::size_t s = 0; s < program_.steps.size(); ++s) {
      const PlannedStep& step = program_.steps[s];
      if (step.in_place < 0 || step.outputs.empty() || step.outputs[0] == kNoBuffer) continue;
      const std::size_t from = step.inputs[static_cast<std::size_t>(step.in_place)], to = step.outputs[0];
      if (from == kNoBuffer) continue;
      const Buffer& source = program_.buffers[from];
      if (source.graph_input || source.constant || source.bytes != program_.buffers[to].bytes) continue;
      if (shared[from] || shared[to]) continue;
      const auto reads = std::count(step.inputs.begin(), step.inputs.end(), from);
      if (owner_last[owner[from]] != s || reads != 1) continue;
      owner[to] = owner[from];
      owner_last[owner[from]] = std::max(owner_last[owner[from]], last_use[to]);
    }
    return owner;
  }

  /// Steps from the first write to the last read of every buffer; of one with parts, over all of them.
  std::pair<std::vector<std::size_t>, std::vector<std::size_t>> find_uses() const {
    std::vector<std::size_t> first(program_.buffers.size(), kNoBuffer), last(program_.buffers.size(), 0);
    for (std::size_t s = 0; s < program_.steps.size(); ++s) {
      for (const auto* buffers : {&program_.steps[s].outputs, &program_.steps[s].inputs}) {
        for (const std::size_t b : *buffers) {
          if (b == kNoBuffer) continue;
          first[b] = std::min(first[b], s);
          last[b] = std::max(last[b], s);
        }
      }
    }
    for (const GraphOutput& output : program_.outputs) last[output.buffer] = program_.steps.size();
    for (std::size_t b = 0; b < program_.buffers.size(); ++b) {
      const std::size_t parent = program_.buffers[b].parent;
      if (parent == kNoBuffer) continue;
      first[parent] = std::min(first[parent], first[b]);
      last[parent] = std::max(last[parent], last[b]);
    }
    for (std::size_t& step : first) step = step == kNoBuffer ? 0 : step;
    return {std::move(first), std::move(last)};
  }

  void assign_memory() {
    const auto [first, last] = find_uses();
    const std::vector<std::size_t> owner = find_owners(last);
    std::map<std::size_t, std::size_t> lifetime_of;
    std::vector<Lifetime> lifetimes;
    for (std::size_t b = 0; b < program_.buffers.size(); ++b) {
      const Buffer& buffer = program_.buffers[b];
      if (buffer.graph_input || buffer.constant || buffer.parent != kNoBuffer) continue;
      const auto [entry, added] = lifetime_of.emplace(owner[b], lifetimes.size());
      if (added) lifetimes.push_back({0, first[b], last[b]});
      Lifetime& lifetime = lifetimes[entry->second];
      lifetime.bytes = std::max(lifetime.bytes, program_.buffers[b].bytes);
      lifetime.first = std::min(lifetime.first, first[b]);
      lifetime.last = std::max(lifetime.last, last[b]);
    }
    const ArenaPlan arena = plan_arena(lifetimes);
    for (std::size_t b = 0; b < program_.buffers.size(); ++b) {
      if (const auto found = lifetime_of.find(owner[b]); found != lifetime_of.end()) {
        program_.buffers[b].offset = arena.offsets[found->second];
      }
    }
    for (Buffer& buffer : program_.buffers) {
      if (buffer.parent != kNoBuffer) buffer.offset = program_.buffers[buffer.parent].offset + buffer.parent_offset;
    }
    program_.plan.arena_bytes = arena.bytes;
    for (const LayerPlan& line : program_.plan.layers) {
      program_.plan.workspace_bytes = std::max(program_.plan.workspace_bytes, line.workspace_bytes);
      program_.plan.weight_bytes += line.weight_bytes;
    }
    drop_unread_constants();
  }

  /// Weights that were packed elsewhere must not be kept twice.
  void drop_unread_constants() {
    std::vector<bool> read(program_.buffers.size(), false);
    for (const PlannedStep& step : program_.steps) {
      for (const std::size_t b : step.inputs) {
        if (b != kNoBuffer) read[b] = true;
      }
    }
    for (const GraphOutput& output : program_.outputs) read[output.buffer] = true;
    for (std::size_t b = 0; b < program_.buffers.size(); ++b) {
      if (program_.buffers[b].constant && !read[b]) program_.buffers[b].constant = Tensor();
    }
  }

  const Environment& env_;
  std::vector<Home> homes_;
  std::map<const Node*, Prologue> prologues_;
  std::map<ValueId, Placement> placements_;
  bool tuning_;
  std::set<const Node*> absorbed_;
  Program program_;
  std::string unsupported_;
};

}  // namespace

Program compile_program(const Environment& environment) {
  return Compiler(environment).run();
}

}  // namespace wins::runtime::cpu

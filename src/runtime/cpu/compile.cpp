#include "compile.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <span>

#include "candidates.hpp"
#include "depth_first.hpp"
#include "dnnl_step.hpp"
#include "image_copy.hpp"
#include "tuner.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/arena.hpp"
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
  /// `first`: nodes that run before, image by image.
  explicit Compiler(const Environment& env, const FirstPart& first = {})
      : env_(env),
        first_(first),
        homes_(env.graph.values.size()),
        prologues_(find_prologues(env.graph)),
        max_pools_(find_max_pools(env.graph)),
        placements_(find_placements(env.graph, env.block)),
        tuning_(env.options.tune && env.options.force_kernel.empty()) {}

  Program run() {
    place_inputs_and_constants();
    if (first_.nodes > 0) add_first_part();
    compile_nodes();
    for (const ValueId id : env_.graph.outputs) add_output(id, Form::plain);
    assign_memory();
    return std::move(program_);
  }

 private:
  /// Row-major, in blocks, or in blocks as a part of a larger value. A part whose images are next to
  /// each other is `blocked` to those who read it, but has no other blocked form.
  enum class Form : std::uint8_t { plain, blocked, part };

  void compile_nodes() {
    choose_prologues();
    choose_max_pools();
    if (tuning_) tune();
    for (const Node& node : nodes_behind()) {
      if (!absorbed_.contains(&node) && !place_concat(node)) add_node(node);
    }
    require(unsupported_.empty(), "no cpu kernel for: {}", unsupported_);
  }

  void add_output(ValueId id, Form form) {
    const Value& value = env_.graph.value(id);
    program_.outputs.push_back({buffer_of(id, form), value.dtype, value.shape.value()});
  }

  /// Those behind the first part.
  std::span<const Node> nodes_behind() const { return std::span(env_.graph.nodes).subspan(first_.nodes); }
  bool is_behind(const Node* node) const { return node == nullptr || node >= nodes_behind().data(); }

  /// The steps of the first part, whose result then has its home here.
  void add_first_part() {
    const graph::Graph graph = graph_of(env_.graph, first_);
    SessionOptions options = env_.options;
    options.tune = false;  // the budget is the rest's
    const Environment env{graph, options, env_.threads, env_.block, env_.winograd, env_.machine, env_.weights};
    Compiler compiler(env);
    compiler.place_inputs_and_constants();
    compiler.compile_nodes();
    const Home& made = compiler.home(first_.cut);
    const Form form = made.first == Layout::plain ? Form::plain : Form::blocked;
    compiler.add_output(first_.cut, form);
    compiler.assign_memory();
    home(first_.cut).first = made.first;
    home(first_.cut).maker = made.maker;
    const std::size_t cut = add_buffer(first_.cut, form);
    add_for_each_image(program_, std::move(compiler.program_), cut, shape_of(first_.cut)[0]);
  }

  /// Buffers of one value, by form.
  struct Home {
    std::size_t buffers[3] = {kNoBuffer, kNoBuffer, kNoBuffer};
    Layout first = Layout::plain;  ///< the one that was made, not reordered
    std::string maker;             ///< kernel
    std::size_t in(Form form) const { return buffers[static_cast<std::size_t>(form)]; }
  };

  Home& home(ValueId id) { return homes_[static_cast<std::size_t>(id)]; }
  const Home& home(ValueId id) const { return homes_[static_cast<std::size_t>(id)]; }
  const Shape& shape_of(ValueId id) const { return env_.graph.value(id).shape.value(); }

  /// Floats between the images of a form in blocks.
  std::int64_t pitch_of(ValueId id, Form form) const {
    const auto placed = placements_.find(id);
    const ValueId whole = form == Form::part && placed != placements_.end() ? placed->second.root : id;
    return image_count(shape_of(whole), env_.block);
  }

  /// The form in blocks that a step reads or writes. One that follows pitches takes what there is.
  Form blocked_form(ValueId id, bool pitched) const {
    if (!placements_.contains(id)) return Form::blocked;
    const bool side_by_side = shape_of(id)[0] == 1 || pitch_of(id, Form::part) == pitch_of(id, Form::blocked);
    if (side_by_side) return Form::part;
    const bool copied = home(id).in(Form::blocked) != kNoBuffer && home(id).in(Form::part) == kNoBuffer;
    return pitched && !copied ? Form::part : Form::blocked;
  }

  std::size_t add_buffer(ValueId id, Form form) {
    const Value& value = env_.graph.value(id);
    const Shape& shape = value.shape.value();
    Buffer buffer;
    if (form == Form::plain) {
      buffer.bytes = plain_bytes(value);
    } else {
      const std::int64_t floats = (shape[0] - 1) * pitch_of(id, form) + image_count(shape, env_.block);
      buffer.bytes = static_cast<std::size_t>(floats) * sizeof(float);
    }
    if (form == Form::part) {
      const auto [root, channel] = placements_.at(id);
      const std::size_t there = home(root).in(Form::blocked);
      buffer.parent = there != kNoBuffer ? there : add_buffer(root, Form::blocked);
      buffer.parent_offset = static_cast<std::size_t>(channel * shape[2] * shape[3]) * sizeof(float);
    }
    program_.buffers.push_back(std::move(buffer));
    const std::size_t index = program_.buffers.size() - 1;
    home(id).buffers[static_cast<std::size_t>(form)] = index;
    return index;
  }

  /// A concatenation whose inputs lie in place already, or are put there, needs no step.
  bool place_concat(const Node& node) {
    if (!is_placed_concat(node, placements_)) return false;
    const ValueId output = node.outputs[0];
    for (const ValueId id : node.inputs) buffer_of(id, Form::part);
    const Form form = placements_.contains(output) ? Form::part : Form::blocked;
    if (home(output).in(form) == kNoBuffer) add_buffer(output, form);
    home(output).first = Layout::blocked;
    return true;
  }

  Problem problem_of(const Node& node, const Node* max_pool = nullptr) {
    Problem problem{env_, node, {}, {}, {}, {}, max_pool, {}};
    const auto pitch = [&](ValueId id) { return id == kNone ? 0 : pitch_of(id, blocked_form(id, true)); };
    for (const ValueId id : node.inputs) {
      problem.existing.push_back(id == kNone ? Layout::plain : home(id).first);
      problem.input_pitches.push_back(pitch(id));
    }
    for (const ValueId id : problem.outputs()) problem.output_pitches.push_back(pitch(id));
    return problem;
  }

  /// Keeps the prologues that a kernel takes; their nodes get no steps.
  void choose_prologues() {
    std::erase_if(prologues_, [&](const auto& entry) {
      const auto& [node, prologue] = entry;
      if (!is_behind(node) || !is_behind(prologue.norm)) return true;
      Problem problem = problem_of(*node);
      problem.prologue = prologue;
      const std::string wanted = split_choice(env_.options.force_kernel).first;
      const std::vector<Kernel> kernels = kernels_for(node->op);
      return std::none_of(kernels.begin(), kernels.end(), [&](const Kernel& kernel) {
        return kernel.takes_prologue && (wanted.empty() || wanted == kernel.name) && !kernel.refuse(problem);
      });
    });
    absorbed_.merge(nodes_of(prologues_));
  }


  /// Whether the kernel that is forced pools too.
  bool is_forced_together(const Problem& problem) const {
    const std::string wanted = split_choice(env_.options.force_kernel).first;
    const std::vector<Kernel> kernels = kernels_for(problem.node.op);
    return std::any_of(kernels.begin(), kernels.end(), [&](const Kernel& kernel) {
      return kernel.takes_max_pool && wanted == kernel.name && !kernel.refuse(problem);
    });
  }

  /// Keeps the max-pools that are predicted faster inside the convolution before them; they get no steps.
  void choose_max_pools() {
    std::erase_if(max_pools_, [&](const auto& entry) {
      const auto& [node, pool] = entry;
      if (prologues_.contains(node) || !is_behind(node)) return true;
      if (is_forced_together(problem_of(*node, pool))) return false;
      const double separate = predict_best(problem_of(*node)) + predict_best(problem_of(*pool));
      return !(predict_best(problem_of(*node, pool)) < separate);
    });
    for (const auto& [node, pool] : max_pools_) absorbed_.insert(pool);
  }

  void place_inputs_and_constants() {
    for (std::size_t i = 0; i < env_.graph.inputs.size(); ++i) {
      program_.buffers[add_buffer(env_.graph.inputs[i], Form::plain)].graph_input = i;
    }
    for (std::size_t id = 0; id < env_.graph.values.size(); ++id) {
      const Value& value = env_.graph.values[id];
      if (!value.constant) continue;
      // Constants that no step reads in this form (weights) cost nothing: no copy is made.
      program_.buffers[add_buffer(static_cast<ValueId>(id), Form::plain)].constant = *value.constant;
    }
  }

  /// The buffer of a value in a form for the kernel `reader`; a reorder or a copy is added when it
  /// exists in others alone.
  std::size_t buffer_of(ValueId id, Form form, const std::string& reader = {}) {
    if (home(id).in(form) != kNoBuffer) return home(id).in(form);
    for (const Form from : {Form::part, Form::blocked, Form::plain}) {
      if (home(id).in(from) == kNoBuffer) continue;
      if (from == Form::plain || form == Form::plain) return add_reorder(id, from, form);
      return add_copy(id, from, form, reader);
    }
    fail("cpu: value '{}' is read before it is made", env_.graph.value(id).name);
  }

  /// Between two forms, one of them plain.
  std::size_t add_reorder(ValueId id, Form from, Form to) {
    const bool blocks = from == Form::plain;
    const Form other = blocks ? to : from;
    const std::int64_t pitch = pitch_of(id, other);
    Shape shape = shape_of(id);
    const std::int64_t plain_pitch = shape[1] * shape[2] * shape[3];
    const std::int64_t images = pitch == image_count(shape, env_.block) ? 1 : shape[0];
    if (images > 1) shape[0] = 1;
    const dnnl::memory::desc plain = plain_desc(shape), blocked = blocked_desc(shape, env_.block);
    auto step = std::make_unique<DnnlStep>(make_reorder(blocks ? plain : blocked, blocks ? blocked : plain));
    step->bind_input(DNNL_ARG_FROM, 0, blocks ? plain : blocked, blocks ? plain_pitch : pitch);
    step->bind_output(DNNL_ARG_TO, 0, blocks ? blocked : plain, blocks ? pitch : plain_pitch);
    step->repeat(images);
    LayerPlan line;
    line.kernel = blocks ? "cpu:reorder_to_blocked" : "cpu:reorder_to_plain";
    line.workspace_bytes = step->workspace_bytes();
    return add_move(id, from, to, std::move(step), std::move(line));
  }

  /// Into a larger value, or out of it for a kernel that reads whole values alone.
  std::size_t add_copy(ValueId id, Form from, Form to, const std::string& reader) {
    const Shape& shape = shape_of(id);
    const ImageCopy copy{shape[0], image_count(shape, env_.block), pitch_of(id, from), pitch_of(id, to)};
    LayerPlan line;
    line.kernel = to == Form::part ? "cpu:copy_to_part" : "cpu:copy_from_part";
    line.refused.emplace_back("in place", to == Form::part ? home(id).maker + " writes whole values alone"
                                                           : reader + " reads whole values alone");
    return add_move(id, from, to, image_copy_step(copy, env_.threads), std::move(line));
  }

  /// A step from one form of a value to another, in the plan under the value's name.
  std::size_t add_move(ValueId id, Form from, Form to, std::unique_ptr<Step> step, LayerPlan line) {
    line.node = env_.graph.value(id).name;
    line.problem = to_string(shape_of(id));
    const double bytes = 4.0 * static_cast<double>(element_count(shape_of(id)));
    line.predicted_us = predict_roofline(0, 2 * bytes, 1, env_.threads, env_.machine).us;
    const std::size_t result = add_buffer(id, to);
    program_.steps.push_back({std::move(step), {home(id).in(from)}, {result}, -1, program_.plan.layers.size()});
    program_.plan.layers.push_back(std::move(line));
    return result;
  }

  void add_node(const Node& given) {
    const Prologue prologue = prologue_of(given);
    const Node node = behind_prologue(given, prologue);
    Problem problem = problem_of(node, max_pool_of(given));
    problem.prologue = prologue;
    const std::vector<ValueId>& outputs = problem.outputs();
    LayerPlan line;
    std::optional<Implementation> chosen = choose(problem, line);
    if (!chosen) {
      unsupported_ +=
          fmt::format("{}{} ({})", unsupported_.empty() ? "" : ", ", node.name, graph::op_name(node.op));
      for (const ValueId id : outputs) add_buffer(id, Form::plain);
      return;
    }
    PlannedStep planned;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Need wanted = i < chosen->inputs.size() ? chosen->inputs[i] : Need::none;
      const bool read = node.inputs[i] != kNone && wanted != Need::none;
      planned.inputs.push_back(
          read ? buffer_of(node.inputs[i], wanted == Need::plain ? Form::plain
                                                                 : blocked_form(node.inputs[i], chosen->pitched),
                           chosen->name)
               : kNoBuffer);
    }
    for (const ValueId id : outputs) {
      planned.outputs.push_back(kNoBuffer);
      if (id == kNone) continue;
      const bool plain = chosen->output == Layout::plain;
      planned.outputs.back() = add_buffer(id, plain ? Form::plain : blocked_form(id, chosen->pitched));
      home(id).first = chosen->output;
      home(id).maker = chosen->name;
    }
    planned.in_place = chosen->in_place;
    line.node = node.name;
    line.kernel = chosen->name;
    for (const Node* inside : {prologue.norm, prologue.relu, problem.max_pool}) {
      if (inside != nullptr) line.inside.push_back(inside->name);
    }
    if (chosen->by_image) line.refused.emplace_back("all images at once", "parts of larger values are read or written");
    line.problem = problem_text(env_.graph, node);
    line.predicted_us = chosen->cost.us;
    line.workspace_bytes = chosen->workspace_bytes;
    line.weight_bytes = chosen->weight_bytes;
    planned.step = std::move(chosen->step);
    planned.line = program_.plan.layers.size();
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


  /// Convolutions as they will be chosen for, before anything is.
  void tune() {
    std::vector<Node> nodes;
    nodes.reserve(env_.graph.nodes.size());  // problems point to them
    std::vector<Problem> problems;
    for (const Node& given : nodes_behind()) {
      if (absorbed_.contains(&given)) continue;
      const Prologue prologue = prologue_of(given);
      problems.push_back(problem_of(nodes.emplace_back(behind_prologue(given, prologue)), max_pool_of(given)));
      problems.back().prologue = prologue;
    }
    Tuner(env_, env_.weights.decisions()).tune(problems);
  }

  const Node* max_pool_of(const Node& node) const {
    const auto found = max_pools_.find(&node);
    return found != max_pools_.end() ? found->second : nullptr;
  }

  Prologue prologue_of(const Node& node) const {
    const auto found = prologues_.find(&node);
    return found != prologues_.end() ? found->second : Prologue();
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

  void assign_memory() {
    const BufferUses uses = find_uses(program_);
    const std::vector<std::size_t> owner = find_owners(uses.last);
    std::map<std::size_t, std::size_t> lifetime_of;
    std::vector<Lifetime> lifetimes;
    for (std::size_t b = 0; b < program_.buffers.size(); ++b) {
      const Buffer& buffer = program_.buffers[b];
      if (buffer.graph_input || buffer.constant || buffer.parent != kNoBuffer) continue;
      const auto [entry, added] = lifetime_of.emplace(owner[b], lifetimes.size());
      const std::size_t first = uses.first[b] == kNoBuffer ? 0 : uses.first[b];
      if (added) lifetimes.push_back({0, first, uses.last[b]});
      Lifetime& lifetime = lifetimes[entry->second];
      lifetime.bytes = std::max(lifetime.bytes, program_.buffers[b].bytes);
      lifetime.first = std::min(lifetime.first, first);
      lifetime.last = std::max(lifetime.last, uses.last[b]);
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
    complete(program_.plan, arena.bytes);
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
  FirstPart first_;
  std::vector<Home> homes_;
  std::map<const Node*, Prologue> prologues_;
  std::map<const Node*, const Node*> max_pools_;
  std::map<ValueId, Placement> placements_;
  bool tuning_;
  std::set<const Node*> absorbed_;
  Program program_;
  std::string unsupported_;
};

}  // namespace

Program compile_program(const Environment& environment) {
  const SessionOptions& options = environment.options;
  const bool whole = !options.depth_first || !options.force_kernel.empty();
  return Compiler(environment, whole ? FirstPart() : find_first_part(environment.graph, environment.machine, environment.threads)).run();
}

}  // namespace wins::runtime::cpu

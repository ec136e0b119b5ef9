// The invariants of a Graph, checked all at once.
#include <fmt/format.h>

#include <unordered_set>

#include "arity.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/graph.hpp"

namespace wins::graph {
namespace {

constexpr std::size_t kListed = 20;

class Validator {
 public:
  explicit Validator(const Graph& graph) : graph_(graph), available_(graph.values.size(), false) {}

  void run() {
    check_values();
    check_inputs();
    std::unordered_set<std::string_view> names;
    for (const Node& node : graph_.nodes) {
      if (!names.insert(node.name).second) fault("two nodes are named '{}'", node.name);
      check_node(node);
    }
    if (graph_.outputs.empty()) fault("the graph has no outputs");
    for (const ValueId id : graph_.outputs) {
      if (!exists(id))
        fault("graph output refers to value {}, which does not exist", id);
      else if (!available(id))
        fault("graph output '{}' is never computed", graph_.value(id).name);
    }
    report();
  }

 private:
  template <class... Args>
  void fault(fmt::format_string<Args...> format, Args&&... args) {
    if (++count_ <= kListed) faults_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  bool exists(ValueId id) const { return id >= 0 && static_cast<std::size_t>(id) < graph_.values.size(); }
  bool available(ValueId id) const { return available_[static_cast<std::size_t>(id)]; }

  void check_values() {
    std::unordered_set<std::string_view> names;
    for (std::size_t i = 0; i < graph_.values.size(); ++i) {
      const Value& value = graph_.values[i];
      if (!names.insert(value.name).second) fault("two values are named '{}'", value.name);
      if (!value.constant) continue;
      available_[i] = true;
      if (!value.constant->defined())
        fault("constant '{}' is empty", value.name);
      else if (value.constant->dtype() != value.dtype)
        fault("constant '{}' has another type than its value", value.name);
      else if (value.shape && *value.shape != value.constant->shape()) {
        fault("constant '{}' is {}, its value says {}", value.name, to_string(value.constant->shape()),
              to_string(*value.shape));
      }
    }
  }

  void check_inputs() {
    for (const ValueId id : graph_.inputs) {
      if (!exists(id))
        fault("graph input refers to value {}, which does not exist", id);
      else if (available(id))
        fault("graph input '{}' is listed twice or is a constant", graph_.value(id).name);
      else
        available_[static_cast<std::size_t>(id)] = true;
    }
  }

  void check_node(const Node& node) {
    const std::string arity = arity_fault(node);
    if (!arity.empty()) fault("node '{}' ({}) {}", node.name, op_name(node.op), arity);
    for (const ValueId id : node.inputs) {
      if (id == kNone) continue;
      if (!exists(id))
        fault("node '{}' reads value {}, which does not exist", node.name, id);
      else if (!available(id))
        fault("node '{}' reads '{}' before it is computed", node.name, graph_.value(id).name);
    }
    for (const ValueId id : node.outputs) {
      if (!exists(id))
        fault("node '{}' writes value {}, which does not exist", node.name, id);
      else if (available(id))
        fault("node '{}' writes '{}', which exists already", node.name, graph_.value(id).name);
      else
        available_[static_cast<std::size_t>(id)] = true;
    }
  }

  void report() const {
    if (count_ == 0) return;
    std::string text = fmt::format("graph '{}' is broken: {}", graph_.name, fmt::join(faults_, "; "));
    if (count_ > kListed) text += fmt::format("; and {} more", count_ - kListed);
    throw Error(text);
  }

  const Graph& graph_;
  std::vector<bool> available_;
  std::vector<std::string> faults_;
  std::size_t count_ = 0;
};

}  // namespace

void validate(const Graph& graph) {
  Validator(graph).run();
}

}  // namespace wins::graph

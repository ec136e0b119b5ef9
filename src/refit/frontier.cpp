#include "frontier.hpp"

#include <algorithm>
#include <set>

#include "wins/base/error.hpp"
#include "wins/runtime/session.hpp"

namespace wins::refit {
namespace {

/// Values that nodes [begin, ...) or the caller of the network read.
std::set<graph::ValueId> read_from(const graph::Graph& graph, std::size_t begin) {
  std::set<graph::ValueId> ids(graph.outputs.begin(), graph.outputs.end());
  for (std::size_t i = begin; i < graph.nodes.size(); ++i) {
    for (const graph::ValueId id : graph.nodes[i].inputs) {
      if (id != graph::kNone && !graph.value(id).constant) ids.insert(id);
    }
  }
  return ids;
}

}  // namespace

Frontier::Frontier(const graph::Graph& graph, const std::vector<Tensor>& batches, int threads)
    : graph_(graph), threads_(threads), batches_(batches.size()) {
  live_[graph.value(graph.inputs.at(0)).name] = batches;
}

const Activations& Frontier::at(const std::string& value) const {
  const auto found = live_.find(value);
  require(found != live_.end(), "{}: its activations are not at hand", value);
  return found->second;
}

void Frontier::adopt(const Frontier& other) {
  live_ = other.live_;
  position_ = other.position_;
}

/// Nodes [begin, end) as a network of their own: its inputs are live values, its outputs what is read later.
graph::Graph Frontier::segment(std::size_t begin, std::size_t end) const {
  graph::Graph part = graph_;
  part.nodes.assign(graph_.nodes.begin() + static_cast<std::ptrdiff_t>(begin),
                    graph_.nodes.begin() + static_cast<std::ptrdiff_t>(end));
  std::set<graph::ValueId> made;
  std::set<graph::ValueId> inputs;
  for (const graph::Node& node : part.nodes) {
    for (const graph::ValueId id : node.inputs) {
      if (id != graph::kNone && !graph_.value(id).constant && !made.contains(id)) inputs.insert(id);
    }
    made.insert(node.outputs.begin(), node.outputs.end());
  }
  const std::set<graph::ValueId> later = read_from(graph_, end);
  const std::vector<graph::ValueId>& last = part.nodes.back().outputs;
  part.outputs.clear();
  for (const graph::ValueId id : made) {
    const bool asked = std::find(last.begin(), last.end(), id) != last.end();
    if (later.contains(id) || asked) part.outputs.push_back(id);
  }
  part.inputs.assign(inputs.begin(), inputs.end());
  graph::remove_unused(part);
  return part;
}

void Frontier::run(const graph::Graph& part,
                   const std::function<void(std::size_t, std::vector<Tensor>)>& visit) const {
  runtime::SessionOptions options;
  options.threads = threads_;
  runtime::Session session = runtime::Session::open(part, options);
  for (std::size_t b = 0; b < batches_; ++b) {
    std::vector<Tensor> inputs;
    for (const graph::ValueId id : part.inputs) inputs.push_back(at(part.value(id).name)[b]);
    visit(b, session.run(inputs));
  }
}

/// What later nodes or the caller (outputs of the last node) read.
std::set<std::string> Frontier::wanted_values() const {
  std::set<std::string> wanted;
  for (const graph::ValueId id : read_from(graph_, position_)) wanted.insert(graph_.value(id).name);
  if (position_ > 0) {
    for (const graph::ValueId id : graph_.nodes[position_ - 1].outputs) wanted.insert(graph_.value(id).name);
  }
  return wanted;
}

void Frontier::forget() {
  const std::set<std::string> wanted = wanted_values();
  std::erase_if(live_, [&](const auto& entry) { return !wanted.contains(entry.first); });
}

void Frontier::advance(std::size_t node) {
  require(node >= position_ && node <= graph_.nodes.size(), "the walk cannot go from node {} to {}",
          position_, node);
  if (node > position_) {
    const graph::Graph part = segment(position_, node);
    position_ = node;
    const std::set<std::string> wanted = wanted_values();
    std::map<std::string, Activations> made;
    run(part, [&](std::size_t batch, std::vector<Tensor> outputs) {
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        made[part.value(part.outputs[i]).name].push_back(std::move(outputs[i]));
      }
      // What this batch needed goes at once: old and new activations are never there together.
      for (auto& [name, activations] : live_) {
        if (!wanted.contains(name)) activations[batch] = Tensor();
      }
    });
    for (auto& [name, activations] : made) live_[name] = std::move(activations);
  }
  forget();
}

void Frontier::evaluate(const std::function<void(std::size_t, Tensor)>& visit) const {
  run(segment(position_, position_ + 1),
      [&](std::size_t batch, std::vector<Tensor> outputs) { visit(batch, std::move(outputs.at(0))); });
}

std::size_t walk_bytes(const graph::Graph& graph, const std::function<bool(const graph::Node&)>& stops) {
  const auto live = [&](std::size_t position) {
    std::set<graph::ValueId> ids = read_from(graph, position);
    if (position > 0) ids.insert(graph.nodes[position - 1].outputs.begin(), graph.nodes[position - 1].outputs.end());
    std::set<graph::ValueId> made(graph.inputs.begin(), graph.inputs.end());
    for (std::size_t i = 0; i < position; ++i) made.insert(graph.nodes[i].outputs.begin(), graph.nodes[i].outputs.end());
    std::size_t bytes = 0;
    for (const graph::ValueId id : ids) {
      const auto& shape = graph.value(id).shape;
      if (made.contains(id) && shape) bytes += static_cast<std::size_t>(element_count(*shape)) * sizeof(float);
    }
    return bytes;
  };
  std::size_t peak = 0;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (stops(graph.nodes[i])) peak = std::max(peak, live(i) + live(i + 1));
  }
  return peak;
}

}  // namespace wins::refit

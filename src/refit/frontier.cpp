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

/// Drops what neither later nodes nor the caller (outputs of the last node) read.
void Frontier::forget() {
  std::set<std::string> wanted;
  for (const graph::ValueId id : read_from(graph_, position_)) wanted.insert(graph_.value(id).name);
  if (position_ > 0) {
    for (const graph::ValueId id : graph_.nodes[position_ - 1].outputs) wanted.insert(graph_.value(id).name);
  }
  std::erase_if(live_, [&](const auto& entry) { return !wanted.contains(entry.first); });
}

void Frontier::advance(std::size_t node) {
  require(node >= position_ && node <= graph_.nodes.size(), "the walk cannot go from node {} to {}",
          position_, node);
  if (node > position_) {
    const graph::Graph part = segment(position_, node);
    std::map<std::string, Activations> made;
    run(part, [&](std::size_t, std::vector<Tensor> outputs) {
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        made[part.value(part.outputs[i]).name].push_back(std::move(outputs[i]));
      }
    });
    for (auto& [name, activations] : made) live_[name] = std::move(activations);
    position_ = node;
  }
  forget();
}

void Frontier::evaluate(const std::function<void(std::size_t, Tensor)>& visit) const {
  run(segment(position_, position_ + 1),
      [&](std::size_t batch, std::vector<Tensor> outputs) { visit(batch, std::move(outputs.at(0))); });
}

void Frontier::pass(Activations outputs) {
  live_[graph_.value(graph_.nodes.at(position_).outputs.at(0)).name] = std::move(outputs);
  ++position_;
  forget();
}

std::size_t peak_live_bytes(const graph::Graph& graph) {
  // Bytes of each value from the node that makes it to the last that reads it.
  std::map<graph::ValueId, std::size_t> last;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const graph::ValueId id : graph.nodes[i].inputs) {
      if (id != graph::kNone && !graph.value(id).constant) last[id] = i;
    }
  }
  const auto bytes = [&](graph::ValueId id) {
    const auto& shape = graph.value(id).shape;
    return shape ? static_cast<std::size_t>(element_count(*shape)) * sizeof(float) : 0;
  };
  std::set<graph::ValueId> live(graph.inputs.begin(), graph.inputs.end());
  std::size_t peak = 0;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    live.insert(graph.nodes[i].outputs.begin(), graph.nodes[i].outputs.end());
    std::size_t now = 0;
    for (const graph::ValueId id : live) now += bytes(id);
    peak = std::max(peak, now);
    std::erase_if(live, [&](graph::ValueId id) { return !last.contains(id) || last[id] <= i; });
  }
  return peak;
}

}  // namespace wins::refit

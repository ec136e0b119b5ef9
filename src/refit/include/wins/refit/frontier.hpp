// Activations of a network at a moving cut, for all calibration pictures at once.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "wins/base/error.hpp"
#include "wins/graph/graph.hpp"
#include "wins/refit/cut.hpp"

namespace wins::refit {

/// Runs a specialised graph a few nodes at a time: `advance(i)` computes nodes [position, i) and keeps what
/// later nodes read, so that a walk over all layers costs one pass over the network. Values are known by
/// name, which two networks of the same nodes share. `Array`: the tensor type of whoever computes.
template <class Array>
class Frontier {
 public:
  using Activations = std::vector<Array>;  ///< one for each batch
  using Run = std::function<std::vector<Array>(const std::vector<Array>& inputs)>;
  /// Makes a segment runnable.
  using Open = std::function<Run(const graph::Graph& part)>;

  /// `graph` must outlive the frontier; its weights may change behind the cut.
  Frontier(const graph::Graph& graph, Activations batches, Open open)
      : graph_(graph), open_(std::move(open)), batches_(batches.size()) {
    live_[graph.value(graph.inputs.at(0)).name] = std::move(batches);
  }

  std::size_t position() const { return position_; }
  bool has(const std::string& value) const { return live_.contains(value); }
  /// Throws `Error` when the value is not live.
  const Activations& at(const std::string& value) const {
    const auto found = live_.find(value);
    require(found != live_.end(), "{}: its activations are not at hand", value);
    return found->second;
  }

  /// Also keeps values that nobody reads any more but the caller: outputs of node i - 1.
  void advance(std::size_t node) {
    require(node >= position_ && node <= graph_.nodes.size(), "the walk cannot go from node {} to {}", position_, node);
    const std::set<std::string> wanted = values_behind(graph_, node);
    if (node > position_) {
      const graph::Graph part = segment(graph_, position_, node);
      position_ = node;
      std::map<std::string, Activations> made;
      run(open_(part), part, [&](std::size_t batch, std::vector<Array> outputs) {
        for (std::size_t i = 0; i < outputs.size(); ++i)
          made[part.value(part.outputs[i]).name].push_back(std::move(outputs[i]));
        // What this batch needed goes at once: old and new activations are never there together.
        for (auto& [name, activations] : live_) {
          if (!wanted.contains(name)) activations[batch] = Array();
        }
      });
      for (auto& [name, activations] : made) live_[name] = std::move(activations);
    }
    std::erase_if(live_, [&](const auto& entry) { return !wanted.contains(entry.first); });
  }

  /// The node at the cut as a network of its own.
  graph::Graph next() const { return segment(graph_, position_, position_ + 1); }

  /// Outputs of the node at the cut by `go`, or with the weights that it has now, batch by batch; the cut stays.
  using Visit = std::function<void(std::size_t batch, const Array& output)>;
  void evaluate(const Run& go, const Visit& visit) const {
    const graph::Graph part = next();
    run(go, part, [&](std::size_t batch, std::vector<Array> outputs) { visit(batch, outputs.at(0)); });
  }
  void evaluate(const Visit& visit) const { evaluate(open_(next()), visit); }

  /// Takes the other's activations and position: both networks are the same up to there.
  void adopt(const Frontier& other) {
    live_ = other.live_;
    position_ = other.position_;
  }

 private:
  template <class Take>
  void run(const Run& go, const graph::Graph& part, const Take& take) const {
    for (std::size_t b = 0; b < batches_; ++b) {
      std::vector<Array> inputs;
      for (const graph::ValueId id : part.inputs) inputs.push_back(at(part.value(id).name)[b]);
      take(b, go(inputs));
    }
  }

  const graph::Graph& graph_;
  Open open_;
  std::size_t batches_;
  std::size_t position_ = 0;
  std::map<std::string, Activations> live_;
};

}  // namespace wins::refit

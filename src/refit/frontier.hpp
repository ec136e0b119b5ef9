// Activations of a network at a moving cut, for all calibration pictures at once.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::refit {

/// One tensor for each batch.
using Activations = std::vector<Tensor>;

/// Runs a specialised graph a few nodes at a time: `advance(i)` computes nodes [position, i) and keeps what
/// later nodes read, so that a walk over all layers costs one pass over the network. Values are known by
/// name, which two networks of the same nodes share.
class Frontier {
 public:
  /// `graph` must outlive the frontier; its weights may change behind the cut.
  Frontier(const graph::Graph& graph, const std::vector<Tensor>& batches, int threads);

  /// Also keeps values that nobody reads any more but the caller: outputs of node i - 1.
  void advance(std::size_t node);
  std::size_t position() const { return position_; }

  bool has(const std::string& value) const { return live_.contains(value); }
  /// Throws `Error` when the value is not live.
  const Activations& at(const std::string& value) const;

  /// Outputs of the node at the cut with the weights that it has now, batch by batch; the cut stays.
  void evaluate(const std::function<void(std::size_t batch, Tensor output)>& visit) const;

  /// Takes the other's activations and position: both networks are the same up to there.
  void adopt(const Frontier& other);

 private:
  graph::Graph segment(std::size_t begin, std::size_t end) const;
  void run(const graph::Graph& part,
           const std::function<void(std::size_t, std::vector<Tensor>)>& visit) const;
  std::set<std::string> wanted_values() const;
  void forget();

  const graph::Graph& graph_;
  int threads_;
  std::size_t batches_;
  std::size_t position_ = 0;
  std::map<std::string, Activations> live_;
};

/// Most bytes of activations that two networks of these nodes hold together for one run, when the second
/// stands at a node that `stops` names and the first just behind it.
std::size_t walk_bytes(const graph::Graph& graph, const std::function<bool(const graph::Node&)>& stops);

}  // namespace wins::refit

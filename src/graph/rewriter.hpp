// Editing a graph node by node with producers and readers kept up to date.
#pragma once

#include <limits>
#include <optional>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::graph {

/// Slots (indices of Graph::nodes) stay stable until `finish`, which drops the removed ones.
class Rewriter {
 public:
  static constexpr std::size_t kNoSlot = std::numeric_limits<std::size_t>::max();

  explicit Rewriter(Graph& graph);

  Graph& graph() { return graph_; }
  bool alive(std::size_t slot) const { return alive_[slot]; }
  Node& node(std::size_t slot) { return graph_.nodes[slot]; }

  /// Slot of the node that makes `id`, or kNoSlot.
  std::size_t producer(ValueId id) const;
  template <class T>
  const T* producer_as(ValueId id) const {
    const std::size_t slot = producer(id);
    return slot == kNoSlot ? nullptr : graph_.nodes[slot].as<T>();
  }
  bool is_output(ValueId id) const;
  /// Slots that read `id`, once for each read.
  const std::vector<std::size_t>& readers(ValueId id) const { return readers_[static_cast<std::size_t>(id)]; }
  /// The slot of the only read of `id`, unless it is a graph output; kNoSlot otherwise.
  std::size_t only_reader(ValueId id) const;

  void remove(std::size_t slot);
  /// Puts `node` into `slot`, in place of what was there.
  void put(std::size_t slot, Node node);
  /// Every read of `from` becomes a read of `to` (graph outputs stay).
  void replace_reads(ValueId from, ValueId to);
  /// Makes the graph see `to` wherever `from` was, one of them being a copy of the other: reads are
  /// redirected, or, when `from` is a graph output, the producer of `to` makes `from` instead.
  /// False when neither is possible.
  bool alias(ValueId from, ValueId to);

  /// Drops removed nodes.
  void finish();

 private:
  void attach(std::size_t slot);
  void detach(std::size_t slot);
  void grow();

  Graph& graph_;
  std::vector<bool> alive_;
  std::vector<std::size_t> producers_;
  std::vector<std::vector<std::size_t>> readers_;
  std::vector<bool> outputs_;
};

/// A constant with one element, as a double; nothing for anything else.
std::optional<double> scalar_constant(const Graph& graph, ValueId id);

/// For a commutative node with two inputs, the one that is not `id`; kNone when neither is.
ValueId other_input(const Node& node, ValueId id);

}  // namespace wins::graph

// What the compiler does to several nodes at once, found on the specialised graph beforehand.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::runtime {

/// A batch norm, and perhaps a ReLU, that stand before a convolution and nothing else.
struct Prologue {
  const graph::Node* norm = nullptr;
  const graph::Node* relu = nullptr;  ///< null: none
};

/// By the convolution. Whether its kernel can take the prologue is the compiler's business.
std::map<const graph::Node*, Prologue> find_prologues(const graph::Graph& graph);
/// The convolution `node`, reading what its prologue reads.
graph::Node behind_prologue(const graph::Node& node, const Prologue& prologue);
/// The nodes of prologues, which get no steps of their own.
std::set<const graph::Node*> nodes_of(const std::map<const graph::Node*, Prologue>& prologues);

/// Max-pools behind a convolution whose result nothing else reads, by the convolution.
std::map<const graph::Node*, const graph::Node*> find_max_pools(const graph::Graph& graph);

/// 1x1 convolutions that add the result of another 1x1 convolution of stride 1, which nothing else reads, by the one that adds: the first
/// block of a stage of ResNet-50.
std::map<const graph::Node*, const graph::Node*> find_summands(const graph::Graph& graph);
/// The convolution `node`, its input 3 being what its summand reads in place of what that gives.
graph::Node with_summand(const graph::Node& node, const graph::Node& summand);

/// A 1x1 convolution that reads what a 3x3 one reads, whose results are concatenated and read in no other way: the Fire modules of SqueezeNet.
struct Companion {
  const graph::Node* pointwise = nullptr;
  const graph::Node* concat = nullptr;
  bool first = false;  ///< its channels come before the other's
};
/// By the 3x3 convolution, dense or in the Winograd domain. Both have stride 1, one group and the same activation.
std::map<const graph::Node*, Companion> find_companions(const graph::Graph& graph);
/// The convolution `node`, giving what the concatenation gives.
graph::Node with_companion(const graph::Node& node, const Companion& companion);

/// Where a value lies inside a larger one: channels [channel, channel + C) of `root`.
struct Placement {
  graph::ValueId root;
  std::int64_t channel;
};

/// Inputs of concatenations along channels whose producers can write straight into the result:
/// every part begins at a block of `block` channels. A concatenation inside a larger one is inside
/// that too. Of several images each lies in its image of `root`, so they are not next to each other.
std::map<graph::ValueId, Placement> find_placements(const graph::Graph& graph, int block);

/// Whether a node is a concatenation whose inputs all lie where its output does.
bool is_placed_concat(const graph::Node& node, const std::map<graph::ValueId, Placement>& placements);

}  // namespace wins::runtime

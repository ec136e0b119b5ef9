// The first part of a network one image after the other, so that its activations stay in the caches.
//
// Of a batch whose early activations are larger than the caches, each layer would read what the layer before pushed out. The
// nodes up to one value, the *cut*, run for one image at a time, with the memory of one image.
#pragma once

#include <cstddef>

#include "compile.hpp"
#include "cost.hpp"
#include "wins/graph/graph.hpp"

namespace wins::runtime::cpu {

struct FirstPart {
  std::size_t nodes = 0;  ///< 0: the network runs as a whole
  graph::ValueId cut = graph::kNone;
};

/// Up to the last node whose activations are too large for all images together and not for one, as long as weights, which are
/// read again for every image, stay in the second-level cache.
FirstPart find_first_part(const graph::Graph& graph, const Machine& machine, int threads);

/// Its nodes for one image; the cut is the output.
graph::Graph graph_of(const graph::Graph& graph, const FirstPart& part);

/// Appends the steps of `part`, a program for one image whose output 0 is the cut in the form that `cut`, a buffer of
/// `program` for all images, has: once for each of `images`. Its lines stand once in the plan.
void add_for_each_image(Program& program, Program part, std::size_t cut, std::int64_t images);

}  // namespace wins::runtime::cpu

#include "wins/graph/passes.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::graph {

void optimize_for_inference(Graph& graph) {
  infer_shapes(graph);
  remove_identities(graph);
  fold_batch_norm(graph);
  fuse_composite_activations(graph);
  fuse_epilogues(graph);
  remove_unused(graph);
}

}  // namespace wins::graph

// --max-loss: the largest ratio that the held-out pictures allow.
#pragma once

#include <vector>

#include "allocation.hpp"
#include "workflow.hpp"

namespace wins::cli {

/// How much a network loses on the held-out pictures against the dense one.
class HeldOutLoss {
 public:
  /// `dense` and `job` must outlive it. Throws `Error` when nothing is held out, or when the network does not classify.
  HeldOutLoss(const graph::Graph& dense, const PruneJob& job);

  /// Points of top-1 with labels (negative: it gained); without, percent of the pictures whose top answer changed.
  double operator()(const graph::Graph& pruned) const;
  /// Unit of the loss, for people.
  const char* unit() const { return labelled_ ? "points of top-1" : "% of the answers changed"; }

 private:
  double top1(const graph::Graph& graph) const;

  const graph::Graph& dense_;
  const PruneJob& job_;
  std::vector<std::size_t> held_out_;
  bool labelled_ = false;
  double dense_top1_ = 0;
  std::vector<Tensor> batches_;  ///< without labels
};

/// One round of the search.
struct SearchStep {
  double ratio = 0;
  double loss = 0;
};

struct SearchResult {
  Pruned pruned;     ///< at `ratio`
  double ratio = 0;  ///< the largest whose loss is within the bound
  std::vector<SearchStep> steps;
};

/// Bisection over whole percents up to `max_ratio`, each round pruned and refitted from the dense network and
/// printed on a line. The loss is taken to rise with the ratio; where it does not, the result still keeps the bound.
/// `allocator` may be null: one ratio for all layers then. Leaves the job's ratios at the result's.
/// Throws `Error` when 1 % loses more than `max_loss`.
SearchResult search_ratio(const graph::Graph& dense, PruneJob& job, const Allocator* allocator,
                          const HeldOutLoss& loss_of, double max_loss, double max_ratio);

Json to_json(const std::vector<SearchStep>& steps);

}  // namespace wins::cli

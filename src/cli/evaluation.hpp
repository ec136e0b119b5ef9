// What networks answer on pictures: accuracy, and agreement of two networks.
#pragma once

#include <string>
#include <vector>

#include "common.hpp"
#include "wins/data/loader.hpp"
#include "wins/runtime/session.hpp"
#include "wins/training/training.hpp"

namespace wins::cli {

/// Outputs of a network for its inputs.
using Forward = training::Forward;

/// On "cpu" the engine that `options` name, on "cuda" libtorch.
Forward open_forward(const graph::Graph& graph, const runtime::SessionOptions& options, const std::string& device);

struct Accuracy {
  std::int64_t pictures = 0;
  std::int64_t broken = 0;
  double top1 = 0;       ///< in [0, 1]; NaN without labels
  double top5 = 0;
};

/// Top-1 and top-5 over a data set. Throws `Error` when the output is not [N, classes] or a label lies outside it.
Accuracy evaluate(const Forward& network, const data::Dataset& dataset, const data::Preprocess& preprocess,
                  const std::string& label, std::int64_t batch = 64);

/// How far two networks agree on pictures, by their first outputs.
struct Agreement {
  std::int64_t pictures = 0;
  double top = 0;  ///< share of pictures with the same largest score; NaN unless the output is [N, classes]
  double relative_error = 0;  ///< L2 of the difference over L2 of the first network's output
};
Agreement compare(const Forward& dense, const Forward& pruned, const std::vector<Tensor>& batches);

struct Comparison {
  Agreement agreement;
  Accuracy dense, pruned;  ///< NaN where there are no labels or the networks do not classify
};
/// Both at once, over all pictures that have labels; over at most `limit` where they have none.
Comparison compare(const Forward& dense, const Forward& pruned, const data::Dataset& dataset,
                   const data::Preprocess& preprocess, std::int64_t limit);

}  // namespace wins::cli

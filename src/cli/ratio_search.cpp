#include "ratio_search.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "refit_flags.hpp"
#include "wins/base/error.hpp"

namespace wins::cli {
namespace {

/// Pictures without labels that are compared at most.
constexpr std::int64_t kMaxPictures = 5000;

}  // namespace

HeldOutLoss::HeldOutLoss(const graph::Graph& dense, const PruneJob& job)
    : dense_(dense), job_(job), held_out_(data::hold_out(*job.dataset, job.outlook.held_out, job.outlook.seed).held_out) {
  require(!held_out_.empty(), "--max-loss: no picture is held out (--held-out)");
  const data::Subset pictures(*job.dataset, held_out_);
  labelled_ = pictures.label(0) != data::kNoLabel;
  batches_ = calibration_batches(pictures, job.preprocess, labelled_ ? 1 : kMaxPictures, job.outlook.seed);
  require(!batches_.empty(), "--max-loss: no held-out picture can be read");
  const std::vector<Tensor> outputs = open_forward(dense, job)({batches_[0]});
  require(!outputs.empty() && outputs[0].rank() == 2 && outputs[0].dtype() == DType::f32,
          "--max-loss: the network's first output is not [N, classes] scores, so that there are no answers to lose: "
          "give --ratio");
  if (labelled_) dense_top1_ = top1(dense);
}

double HeldOutLoss::top1(const graph::Graph& graph) const {
  return evaluate(open_forward(graph, job_), data::Subset(*job_.dataset, held_out_), job_.preprocess, "held-out").top1;
}

double HeldOutLoss::operator()(const graph::Graph& pruned) const {
  if (labelled_) return (dense_top1_ - top1(pruned)) * 100;
  return (1 - compare(open_forward(dense_, job_), open_forward(pruned, job_), batches_).top) * 100;
}

SearchResult search_ratio(const graph::Graph& dense, PruneJob& job, const Allocator* allocator,
                          const HeldOutLoss& loss_of, double max_loss, double max_ratio) {
  const double most = allocator != nullptr ? std::min(max_ratio, allocator->largest()) : max_ratio;
  // In percent: `low` is within the bound, `high` is not or may not be tried.
  int low = 0, high = static_cast<int>(std::floor(most * 100 + 1e-6)) + 1;
  require(high > 1, "--max-loss: the largest ratio of a layer, {}, leaves nothing to search", most);
  SearchResult result{{dense, {}, {}, 0}, 0, {}};
  pruning::PruneConfig chosen = job.config;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    job.config.ratio = middle / 100.0;
    if (allocator != nullptr) allocator->apply(job.config.ratio, job.config);
    Pruned pruned = prune_network(dense, dense, job);
    const double loss = loss_of(pruned.graph);
    const bool within = loss <= max_loss + 1e-9;
    result.steps.push_back({job.config.ratio, loss});
    fmt::print("ratio {:.2f}: loss {:.2f} {}{}\n", job.config.ratio, loss, loss_of.unit(), within ? "" : ", too much");
    std::fflush(stdout);
    (within ? low : high) = middle;
    if (!within) continue;
    result.pruned = std::move(pruned);
    result.ratio = job.config.ratio;
    chosen = job.config;
  }
  job.config = chosen;
  require(low > 0, "--max-loss {}: even ratio {:.2f} loses {:.2f} {} on the held-out pictures", max_loss,
          result.steps.back().ratio, result.steps.back().loss, loss_of.unit());
  return result;
}

Json to_json(const std::vector<SearchStep>& steps) {
  Json rows = Json::array();
  for (const SearchStep& step : steps) rows.push_back({{"ratio", step.ratio}, {"loss", step.loss}});
  return rows;
}

}  // namespace wins::cli

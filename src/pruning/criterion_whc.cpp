// WHC: weighted hybrid criterion (Chen, Sun & Huang, "WHC: Weighted Hybrid Criterion for Filter
// Pruning on Convolutional Neural Networks", ICASSP 2023):
//   score_k = |f_k| sum_{j != k} |f_j| (1 - |cos(f_k, f_j)|),
// small for filters that are weak or that depend linearly on strong ones.
#include "criterion.hpp"
#include "wins/base/parallel.hpp"

namespace wins::pruning {
namespace {

double dot(const std::vector<double>& f, const std::vector<double>& g) {
  double sum = 0;
  for (std::size_t i = 0; i < f.size(); ++i) sum += f[i] * g[i];
  return sum;
}

}  // namespace

std::vector<double> whc_filter_scores(const LayerView& layer) {
  const std::vector<std::vector<double>> filters = filter_vectors(layer);
  std::vector<double> norms;
  for (const auto& filter : filters) norms.push_back(std::sqrt(dot(filter, filter)));
  std::vector<double> scores(filters.size(), 0.0);
  parallel_for(static_cast<std::int64_t>(filters.size()), default_threads(), [&](std::int64_t index, int) {
    const auto k = static_cast<std::size_t>(index);
    for (std::size_t j = 0; j < filters.size(); ++j) {
      // |f_k| |f_j| (1 - |cos|) without the division; rounding must not push it below zero.
      if (j != k) scores[k] += std::max(0.0, norms[k] * norms[j] - std::abs(dot(filters[k], filters[j])));
    }
  });
  return scores;
}

}  // namespace wins::pruning

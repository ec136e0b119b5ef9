// FPGM: distance to the geometric median (He et al., "Filter Pruning via Geometric Median for Deep
// Convolutional Neural Networks Acceleration", CVPR 2019, equations 4 to 6): the filter with the
// smallest  sum_j |f_k - f_j|_2  is the one that the others replace best.
#include "criterion.hpp"
#include "wins/base/parallel.hpp"

namespace wins::pruning {
namespace {

bool is_zero(const std::vector<double>& filter) {
  for (const double u : filter) {
    if (u != 0) return false;
  }
  return true;
}

double distance(const std::vector<double>& f, const std::vector<double>& g) {
  double sum = 0;
  for (std::size_t i = 0; i < f.size(); ++i) sum += (f[i] - g[i]) * (f[i] - g[i]);
  return std::sqrt(sum);
}

}  // namespace

std::vector<double> fpgm_filter_scores(const LayerView& layer) {
  const std::vector<std::vector<double>> filters = filter_vectors(layer);
  std::vector<std::uint8_t> removed;
  for (const auto& filter : filters) removed.push_back(is_zero(filter) ? 1 : 0);
  std::vector<double> scores(filters.size(), 0.0);
  parallel_for(static_cast<std::int64_t>(filters.size()), default_threads(), [&](std::int64_t index, int) {
    const auto k = static_cast<std::size_t>(index);
    if (removed[k] != 0) return;
    for (std::size_t j = 0; j < filters.size(); ++j) {
      if (removed[j] == 0) scores[k] += distance(filters[k], filters[j]);
    }
  });
  return scores;
}

}  // namespace wins::pruning

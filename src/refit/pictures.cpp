#include "pictures.hpp"

#include <algorithm>
#include <cmath>

#include "frontier.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::refit {

std::vector<Tensor> usable_pictures(const graph::Graph& dense, const std::vector<Tensor>& batches,
                                    std::size_t memory_limit) {
  require(!batches.empty(), "refit needs at least one picture");
  require(dense.inputs.size() == 1, "refit: the network has {} inputs, one is supported",
          dense.inputs.size());
  std::vector<Tensor> result;
  for (const Tensor& batch : batches) {
    if (batch.shape() == batches[0].shape()) result.push_back(batch);
  }
  if (memory_limit > 0) {
    // Both networks, and the targets of one layer.
    const std::size_t each = 3 * peak_live_bytes(graph::specialize(dense, {batches[0].shape()}));
    const std::size_t fits = std::max<std::size_t>(1, memory_limit / std::max<std::size_t>(1, each));
    if (result.size() > fits) result.resize(fits);
  }
  std::int64_t number = 0;
  for (const Tensor& batch : result) {
    const auto values = batch.data<float>();
    const std::int64_t each = batch.size() / batch.dim(0);
    const auto bad = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
    require(bad == values.end(), "refit: calibration picture {} holds a value that is not finite",
            number + (bad - values.begin()) / each);
    number += batch.dim(0);
  }
  return result;
}

}  // namespace wins::refit

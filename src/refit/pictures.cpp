#include "pictures.hpp"

#include <algorithm>
#include <cmath>

#include "frontier.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::refit {

std::vector<Tensor> usable_pictures(const graph::Graph& graph, const std::vector<Tensor>& batches,
                                    std::size_t memory_limit, std::size_t networks, const std::string& what) {
  require(!batches.empty(), "{} needs at least one picture", what);
  require(graph.inputs.size() == 1, "{}: the network has {} inputs, one is supported", what,
          graph.inputs.size());
  std::vector<Tensor> result;
  for (const Tensor& batch : batches) {
    if (batch.shape() == batches[0].shape()) result.push_back(batch);
  }
  if (memory_limit > 0) {
    const std::size_t each = networks * peak_live_bytes(graph::specialize(graph, {batches[0].shape()}));
    const std::size_t fits = std::max<std::size_t>(1, memory_limit / std::max<std::size_t>(1, each));
    if (result.size() > fits) result.resize(fits);
  }
  std::int64_t number = 0;
  for (const Tensor& batch : result) {
    const auto values = batch.data<float>();
    const std::int64_t each = batch.size() / batch.dim(0);
    const auto bad = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
    require(bad == values.end(), "{}: calibration picture {} holds a value that is not finite", what,
            number + (bad - values.begin()) / each);
    number += batch.dim(0);
  }
  return result;
}

}  // namespace wins::refit

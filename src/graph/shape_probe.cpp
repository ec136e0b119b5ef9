#include "shape_probe.hpp"

#include <algorithm>
#include <utility>

#include "wins/base/error.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::graph {
namespace {

bool concrete(const std::optional<wins::Shape>& shape) {
  return shape && std::ranges::all_of(*shape, [](std::int64_t extent) { return extent >= 0; });
}

}  // namespace

void ShapeProbe::take_trials() {
  trials_.emplace();
  const std::pair<std::int64_t, std::int64_t> sizes[] = {{2, 224}, {3, 256}};
  for (const auto& [batch, spatial] : sizes) {
    Shapes shapes;
    try {
      const Graph trial = specialize(graph_, default_input_shapes(graph_, batch, spatial));
      for (const Value& value : trial.values) {
        if (value.shape) shapes.emplace(value.name, *value.shape);
      }
    } catch (const Error&) {
      // Sizes that this graph does not take prove nothing: an empty trial equates no values.
    }
    trials_->push_back(std::move(shapes));
  }
}

bool ShapeProbe::same(const Graph& current, ValueId a, ValueId b) {
  const auto& x = current.value(a).shape;
  const auto& y = current.value(b).shape;
  if (concrete(x) && concrete(y)) return *x == *y;
  if (x && y && x->size() != y->size()) return false;
  if (!trials_) take_trials();
  return std::ranges::all_of(*trials_, [&](const Shapes& shapes) {
    const auto first = shapes.find(current.value(a).name);
    const auto second = shapes.find(current.value(b).name);
    return first != shapes.end() && second != shapes.end() && first->second == second->second;
  });
}

}  // namespace wins::graph

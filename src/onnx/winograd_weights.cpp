#include "winograd_weights.hpp"

#include <algorithm>

#include "wins/base/error.hpp"

namespace wins::onnx {
namespace {

using winograd::Axis;
using winograd::Mask;

/// Where the weights of unit `index` (xi * units + unit) lie in U: first offset and step.
struct Run {
  std::int64_t first = 0;
  std::int64_t step = 1;
};

Run run_of(const Mask& mask, std::int64_t index) {
  if (mask.axis != Axis::column) return {index * mask.unit_weights(), 1};
  const std::int64_t xi = index / mask.columns;
  return {xi * mask.rows * mask.columns + index % mask.columns, mask.columns};
}

wins::Shape values_shape(const Mask& mask, std::int64_t kept) {
  if (mask.axis == Axis::element) return {kept};
  return {kept, mask.unit_weights()};
}

}  // namespace

std::string to_string(Axis axis) {
  switch (axis) {
    case Axis::row: return "row";
    case Axis::column: return "column";
    case Axis::element: return "element";
  }
  return "row";
}

Axis parse_axis(const std::string& text) {
  for (const Axis axis : {Axis::row, Axis::column, Axis::element}) {
    if (text == to_string(axis)) return axis;
  }
  fail("axis '{}' is unknown (row, column, element)", text);
}

CarriedWeights carry(const Mask& mask, const Tensor& U) {
  const std::int64_t units = mask.positions * mask.units();
  require(static_cast<std::int64_t>(mask.keep.size()) == units &&
              U.shape() == wins::Shape{mask.positions, mask.rows, mask.columns},
          "mask of {} x {} x {} does not fit weights {}", mask.positions, mask.rows, mask.columns,
          wins::to_string(U.shape()));
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < units; ++i) {
    if (mask.keep[static_cast<std::size_t>(i)] != 0) kept.push_back(i);
  }
  const auto count = static_cast<std::int64_t>(kept.size());
  CarriedWeights carried{Tensor(DType::f32, values_shape(mask, count)), Tensor::of<std::int64_t>({count}, kept)};
  const auto from = U.data<float>();
  auto to = carried.values.mutable_data<float>();
  std::size_t next = 0;
  for (const std::int64_t index : kept) {
    const Run run = run_of(mask, index);
    for (std::int64_t i = 0; i < mask.unit_weights(); ++i) {
      to[next++] = from[static_cast<std::size_t>(run.first + i * run.step)];
    }
  }
  return carried;
}

RestoredWeights restore(Axis axis, const wins::Shape& shape, const CarriedWeights& carried) {
  RestoredWeights restored;
  Mask& mask = restored.mask;
  mask.axis = axis;
  mask.positions = static_cast<int>(shape.at(0));
  mask.rows = shape.at(1);
  mask.columns = shape.at(2);
  const std::int64_t units = mask.positions * mask.units();
  require(carried.indices.rank() == 1, "indices must be a vector");
  require(carried.values.shape() == values_shape(mask, carried.indices.size()),
          "values {} do not fit {} indices and shape {}", wins::to_string(carried.values.shape()),
          carried.indices.size(), wins::to_string(shape));
  mask.keep.assign(static_cast<std::size_t>(units), 0);
  restored.U = Tensor(DType::f32, shape);
  const auto from = carried.values.data<float>();
  auto to = restored.U.mutable_data<float>();
  std::int64_t last = -1;
  std::size_t next = 0;
  for (const std::int64_t index : carried.indices.data<std::int64_t>()) {
    require(index > last && index < units, "index {} is out of range or out of order", index);
    last = index;
    mask.keep[static_cast<std::size_t>(index)] = 1;
    const Run run = run_of(mask, index);
    for (std::int64_t i = 0; i < mask.unit_weights(); ++i) {
      to[static_cast<std::size_t>(run.first + i * run.step)] = from[next++];
    }
  }
  return restored;
}

}  // namespace wins::onnx

// How a file carries the weights of a WinogradConv: kept units and their indices (docs/onnx.md).
#pragma once

#include <string>

#include "wins/graph/ops.hpp"

namespace wins::onnx {

/// Row masks: values [R, C], index xi * K + k. Column masks: values [R, K], index xi * C + c.
/// Element masks: values [R], index (xi * K + k) * C + c. Indices rise; R is the number of units kept.
struct CarriedWeights {
  Tensor values;   ///< float32
  Tensor indices;  ///< int64 [R]
};

std::string to_string(winograd::Axis axis);
/// Throws `Error` for anything but "row", "column", "element".
winograd::Axis parse_axis(const std::string& text);

/// U is [p*p, K, C] float32, as `mask` describes it.
CarriedWeights carry(const winograd::Mask& mask, const Tensor& U);

struct RestoredWeights {
  winograd::Mask mask;
  Tensor U;  ///< [p*p, K, C] float32, zero where pruned
};

/// The exact inverse. `shape` is [p*p, K, C], positive. Throws `Error` when sizes do not fit or
/// indices do not rise within range.
RestoredWeights restore(winograd::Axis axis, const wins::Shape& shape, const CarriedWeights& carried);

}  // namespace wins::onnx

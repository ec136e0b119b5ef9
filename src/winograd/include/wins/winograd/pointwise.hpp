// A 1x1 convolution as rows of a Winograd layer: the middle tap of a 3x3 kernel reaches (p - 2)^2 of the p^2 positions alone, in F(2,3)
// 4 of 16, as many products as the 1x1 convolution has by itself. So it can share the tiles, and V, of a 3x3 layer beside it.
#pragma once

#include "wins/base/tensor.hpp"
#include "wins/winograd/mask.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::winograd {

/// The rows of `filters` 1x1 filters over `channels`. Throws `Error` for an algorithm whose kernel has no middle.
Mask pointwise_mask(const Algorithm& algorithm, std::int64_t filters, std::int64_t channels);

/// U [p*p, K, C] of `weights` [K, C, 1, 1], zero where that mask prunes. Throws `Error` for other shapes.
Tensor transform_pointwise(const Algorithm& algorithm, const Tensor& weights);

/// One layer of the filters of both, `first`'s before `second`'s. Throws `Error` where positions or channels differ, or masks are not of rows.
Mask join_rows(const Mask& first, const Mask& second);
/// The same of U [p*p, K, C].
Tensor join_filters(const Tensor& first, const Tensor& second);

}  // namespace wins::winograd

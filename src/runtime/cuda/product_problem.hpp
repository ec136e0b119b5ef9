// A convolution with one group as our products of pixels and filters take it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "implicit_product.hpp"
#include "kernel.hpp"
#include "wins/runtime/cuda/filter_pack.hpp"

namespace wins::runtime::cuda {

/// Why no product of pixels and filters takes the convolution; a prologue does not count.
std::optional<std::string> refuse_product(const Problem& problem);

/// Why it is no 1x1 convolution without pads, with strides of at most `stride`.
std::optional<std::string> refuse_pointwise(const graph::Conv& conv, std::int64_t stride);

/// Its shapes and epilogue, without what belongs to a FilterPack.
ProductLayer product_layer(const Problem& problem);

/// Of one run: input, output, the residual if there is one, and the bias or null.
ProductPointers product_pointers(const Arguments& arguments, bool residual, const std::shared_ptr<const DeviceBuffer>& bias);

/// Units of 16 bytes of a pixel's input channels.
std::int64_t input_units(const Problem& problem);

/// Its filters as pack_filters leaves them, and on the device; every kernel that takes them so has the same.
struct PackedFilters {
  std::shared_ptr<const FilterPack> pack;
  std::shared_ptr<const DeviceBuffer> buffer;
};
PackedFilters packed_filters(const Problem& problem);

/// What a kernel's name ends with where it runs the prologue too.
std::string prologue_suffix(const Problem& problem);

/// Bytes of its values, read and written once; strides do not count.
double product_bytes(const Problem& problem);

}  // namespace wins::runtime::cuda

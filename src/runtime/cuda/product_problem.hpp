// A convolution with one group as our products of pixels and filters take it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "implicit_product.hpp"
#include "kernel.hpp"

namespace wins::runtime::cuda {

/// Why no product of pixels and filters takes the convolution; a prologue does not count.
std::optional<std::string> refuse_product(const Problem& problem);

/// Its shapes and epilogue, without what belongs to a FilterPack.
ProductLayer product_layer(const Problem& problem);

/// Of one run: input, output, the residual if there is one, and the bias or null.
ProductPointers product_pointers(const Arguments& arguments, bool residual, const std::shared_ptr<const DeviceBuffer>& bias);

/// Bytes of its values, read and written once; strides do not count.
double product_bytes(const Problem& problem);

}  // namespace wins::runtime::cuda

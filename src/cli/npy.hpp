// NumPy's .npy files: one tensor each.
#pragma once

#include <filesystem>

#include "wins/base/tensor.hpp"

namespace wins::cli {

/// Reads a C-ordered little-endian array of float32/float64/int64/int32/uint8 (format 1.0 to 3.0).
/// Throws `Error` naming the file: missing, truncated, another layout or type.
Tensor read_npy(const std::filesystem::path& path);

/// Writes format 1.0, atomically.
void write_npy(const std::filesystem::path& path, const Tensor& tensor);

}  // namespace wins::cli

// Sparse matrices by rows, for the comparison with irregular pruning.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace wins::runtime::cuda {

/// Compressed sparse rows: the entries of row r are those from offsets[r] to offsets[r + 1], by rising column.
struct Csr {
  std::int64_t rows = 0, columns = 0;
  std::vector<std::int32_t> offsets;  ///< rows + 1
  std::vector<std::int32_t> indices;  ///< columns of the entries
  std::vector<float> values;
};

/// What is not zero of a row-major matrix. Throws `Error` when the size does not fit or 32-bit indices do not reach.
Csr pack_csr(std::span<const float> matrix, std::int64_t rows, std::int64_t columns);

/// Zeros all but the `count` entries of largest magnitude; of equals the first stay.
void keep_largest(std::span<float> matrix, std::int64_t count);

}  // namespace wins::runtime::cuda

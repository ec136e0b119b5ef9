#include "wins/runtime/cuda/csr.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "wins/base/error.hpp"

namespace wins::runtime::cuda {

Csr pack_csr(std::span<const float> matrix, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kLargest = std::numeric_limits<std::int32_t>::max();
  require(rows >= 0 && columns >= 0 && static_cast<std::int64_t>(matrix.size()) == rows * columns, "{} values are no matrix of {}x{}",
          matrix.size(), rows, columns);
  require(rows * columns <= kLargest, "a matrix of {}x{} is too large for 32-bit indices", rows, columns);
  Csr csr{rows, columns, {0}, {}, {}};
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      const float value = matrix[static_cast<std::size_t>(r * columns + c)];
      if (value == 0) continue;
      csr.indices.push_back(static_cast<std::int32_t>(c));
      csr.values.push_back(value);
    }
    csr.offsets.push_back(static_cast<std::int32_t>(csr.values.size()));
  }
  return csr;
}

void keep_largest(std::span<float> matrix, std::int64_t count) {
  const auto size = static_cast<std::int64_t>(matrix.size());
  require(count >= 0 && count <= size, "{} of {} entries cannot be kept", count, size);
  std::vector<std::size_t> order(matrix.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return std::fabs(matrix[a]) > std::fabs(matrix[b]); });
  for (auto i = static_cast<std::size_t>(count); i < order.size(); ++i) matrix[order[i]] = 0;
}

}  // namespace wins::runtime::cuda

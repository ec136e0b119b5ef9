// Packed filters, read in the order in which the implicit product reads them and multiplied with one window.
#include "wins/runtime/cuda/filter_pack.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "packed_elements.hpp"
#include "wins/base/exception.hpp"

namespace wins::runtime::cuda {
namespace {

/// Sums of all filters over `window` [kh, kw, C].
std::vector<double> multiply(const FilterPack& pack, const Tensor& window, std::int64_t K) {
  const std::int64_t rows = window.dim(0), C = window.dim(2), per_unit = unit_channels(pack.operand), units = (C + per_unit - 1) / per_unit;
  const auto x = window.data<float>();
  const int elements = 4 / storage_bytes(pack.operand);
  std::vector<double> sums(static_cast<std::size_t>(K), 0.0);
  std::size_t at = 0;
  for (int item = 0; item < pack.items; ++item) {
    for (std::int64_t y = 0; y < rows; ++y) {
      for (int chunk = 0; chunk < pack.row_chunks; ++chunk) {
        for (int unit = 0; unit < kChunkUnits; ++unit) {
          for (int filter = 0; filter < kItemRows; ++filter) {
            for (int quarter = 0; quarter < 4; ++quarter, ++at) {
              const std::int64_t e = chunk * kChunkUnits + unit, k = item * kItemRows + filter;
              for (int i = 0; i < elements; ++i) {
                const std::int64_t c = e % units * per_unit + quarter * elements + i, column = e / units;
                if (k >= K || c >= C || column >= window.dim(1)) {
                  EXPECT_EQ(element(pack.operand, pack.matrices.at(at), i), 0.0) << "what fills up must be zero";
                  continue;
                }
                sums[static_cast<std::size_t>(k)] += element(pack.operand, pack.matrices.at(at), i) *
                                                     static_cast<double>(x[static_cast<std::size_t>((y * window.dim(1) + column) * C + c)]);
              }
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(at, pack.matrices.size());
  return sums;
}

TEST(FilterPack, MultipliedGivesTheConvolutionsSums) {
  const std::int64_t shapes[][4] = {{64, 3, 7, 7}, {33, 20, 3, 3}, {8, 64, 1, 1}, {1, 1, 1, 1}, {17, 5, 2, 5}, {24, 130, 3, 1}};
  for (const auto& [K, C, kh, kw] : shapes) {
    const Tensor weights = random_normal({K, C, kh, kw}, 3), window = random_normal({kh, kw, C}, 5);
    for (const auto& [operand, rounding] :
         {std::pair{Operand::f16, 0x1p-11}, std::pair{Operand::bf16, 0x1p-8}, std::pair{Operand::tf32, 0x1p-11}, std::pair{Operand::f32, 0.0}}) {
      SCOPED_TRACE(to_string(weights.shape()) + " operand " + std::to_string(static_cast<int>(operand)));
      const std::vector<double> got = multiply(pack_filters(weights, operand), window, K);
      const auto w = weights.data<float>(), x = window.data<float>();
      for (std::int64_t k = 0; k < K; ++k) {
        double want = 0, bound = 1e-12;
        for (std::int64_t c = 0; c < C; ++c) {
          for (std::int64_t tap = 0; tap < kh * kw; ++tap) {
            const double term = static_cast<double>(w[static_cast<std::size_t>((k * C + c) * kh * kw + tap)]) *
                                static_cast<double>(x[static_cast<std::size_t>(tap * C + c)]);
            want += term;
            bound += std::fabs(term) * rounding;
          }
        }
        EXPECT_NEAR(got[static_cast<std::size_t>(k)], want, bound) << k;
      }
    }
  }
}

TEST(FilterPack, RefusesWhatDoesNotFit) {
  Tensor weights = random_normal({4, 4, 3, 3}, 1);
  weights.mutable_data<float>()[7] = -1e5F;
  EXPECT_THROW(pack_filters(weights, Operand::f16), Error);
  EXPECT_NO_THROW(pack_filters(weights, Operand::bf16));
  weights.mutable_data<float>()[7] = std::nanf("");
  EXPECT_THROW(pack_filters(weights, Operand::tf32), Error);
  EXPECT_THROW(pack_filters(random_normal({4, 4}, 1), Operand::tf32), Error);
}

}  // namespace
}  // namespace wins::runtime::cuda

#include "wins/runtime/cuda/csr.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "wins/base/error.hpp"
#include "wins/base/tensor.hpp"

namespace wins::runtime::cuda {
namespace {

TEST(Csr, HoldsWhatIsNotZero) {
  const std::vector<float> matrix{0, 2, 0, 3,  //
                                  0, 0, 0, 0,  //
                                  4, 0, 0, -5};
  const Csr csr = pack_csr(matrix, 3, 4);
  EXPECT_EQ(csr.offsets, (std::vector<std::int32_t>{0, 2, 2, 4}));
  EXPECT_EQ(csr.indices, (std::vector<std::int32_t>{1, 3, 0, 3}));
  EXPECT_EQ(csr.values, (std::vector<float>{2, 3, 4, -5}));
}

TEST(Csr, OfNothingHasOffsetsAlone) {
  EXPECT_EQ(pack_csr({}, 0, 4).offsets, std::vector<std::int32_t>{0});
  EXPECT_EQ(pack_csr(std::vector<float>(6), 2, 3).offsets, (std::vector<std::int32_t>{0, 0, 0}));
}

TEST(Csr, MultipliesAsTheMatrixDoes) {
  const std::int64_t rows = 13, columns = 21;
  Tensor matrix = random_normal({rows, columns}, 1);
  const Tensor x = random_normal({columns}, 2);
  keep_largest(matrix.mutable_data<float>(), 90);
  const auto values = matrix.data<float>(), vector = x.data<float>();
  const Csr csr = pack_csr(values, rows, columns);
  EXPECT_EQ(csr.values.size(), 90U);
  for (std::int64_t r = 0; r < rows; ++r) {
    double dense = 0, sparse = 0;
    for (std::int64_t c = 0; c < columns; ++c) {
      dense += static_cast<double>(values[static_cast<std::size_t>(r * columns + c)]) * static_cast<double>(vector[static_cast<std::size_t>(c)]);
    }
    const auto row = static_cast<std::size_t>(r);
    for (auto e = static_cast<std::size_t>(csr.offsets[row]); e < static_cast<std::size_t>(csr.offsets[row + 1]); ++e) {
      sparse += static_cast<double>(csr.values[e]) * static_cast<double>(vector[static_cast<std::size_t>(csr.indices[e])]);
    }
    EXPECT_EQ(sparse, dense) << r;
  }
}

TEST(Csr, KeepsTheLargestByMagnitudeAndTheFirstOfEquals) {
  std::vector<float> matrix{1, -3, 2, 3, -1, 1};
  keep_largest(matrix, 4);
  EXPECT_EQ(matrix, (std::vector<float>{1, -3, 2, 3, 0, 0}));
  keep_largest(matrix, 0);
  EXPECT_TRUE(std::all_of(matrix.begin(), matrix.end(), [](float value) { return value == 0; }));
}

TEST(Csr, RefusesSizesThatDoNotFit) {
  EXPECT_THROW(pack_csr(std::vector<float>(5), 2, 3), Error);
  std::vector<float> matrix(3);
  EXPECT_THROW(keep_largest(matrix, 4), Error);
}

}  // namespace
}  // namespace wins::runtime::cuda

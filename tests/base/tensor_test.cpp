#include "wins/base/tensor.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "wins/base/error.hpp"

namespace wins {
namespace {

TEST(Tensor, CopiesShareUntilWritten) {
  Tensor a = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  Tensor b = a;
  EXPECT_EQ(a.bytes(), b.bytes());
  b.mutable_data<float>()[0] = 9;
  EXPECT_EQ(a.data<float>()[0], 1);
  EXPECT_EQ(b.data<float>()[0], 9);
}

TEST(Tensor, WrongTypeAndShapeAreErrors) {
  const Tensor a = Tensor::of<float>({2}, {1, 2});
  EXPECT_THROW(a.data<double>(), Error);
  EXPECT_THROW(a.reshaped({3}), Error);
  EXPECT_THROW((Tensor::of<float>({3}, {1, 2})), Error);
  EXPECT_THROW(Tensor(DType::f32, {-1, 2}), Error);
  EXPECT_THROW(Tensor(DType::f32, {1LL << 40, 1LL << 40}), Error);
}

TEST(Tensor, OutOfMemoryIsAnError) { EXPECT_THROW(Tensor(DType::f32, {1LL << 50}), Error); }

TEST(Tensor, ErrorNorms) {
  const Tensor a = Tensor::of<float>({2}, {3, 4});
  const Tensor b = Tensor::of<float>({2}, {3, 5});
  EXPECT_NEAR(relative_l2(b, a), 0.2, 1e-12);
  EXPECT_EQ(max_abs_difference(a, b), 1);
  const Tensor nan = Tensor::of<float>({2}, {NAN, 4});
  EXPECT_TRUE(std::isinf(relative_l2(nan, a)));
  EXPECT_TRUE(std::isinf(max_abs_difference(nan, a)));
}

}  // namespace
}  // namespace wins

// Every float16 and bfloat16 there and back, and rounding to the nearest even.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {
namespace {

TEST(NumberFormats, EveryFloat16ComesBack) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const float value = from_float16(static_cast<std::uint16_t>(bits));
    if (std::isnan(value) || (bits & 0x7C00U) == 0x7C00U) continue;
    EXPECT_EQ(to_float16(value), bits) << value;
  }
}

TEST(NumberFormats, EveryBfloat16ComesBack) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const float value = from_bfloat16(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) continue;
    EXPECT_EQ(to_bfloat16(value), bits) << value;
  }
}

TEST(NumberFormats, Float16RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(to_float16(1.0F + 0x1p-11F), to_float16(1.0F));               // half way, even below
  EXPECT_EQ(to_float16(1.0F + 0x1.8p-10F), to_float16(1.0F + 0x1p-9F));   // half way, even above
  EXPECT_EQ(to_float16(1.0F + 0x1.2p-11F), to_float16(1.0F + 0x1p-10F));  // above half way
  EXPECT_EQ(from_float16(to_float16(0x1p-24F)), 0x1p-24F);                // least subnormal
  EXPECT_EQ(from_float16(to_float16(0x1p-25F)), 0.0F);
  EXPECT_EQ(from_float16(to_float16(0x1.8p-25F)), 0x1p-24F);
  EXPECT_EQ(from_float16(to_float16(65504.0F)), 65504.0F);
  EXPECT_EQ(to_float16(65520.0F), 0x7C00);
  EXPECT_EQ(to_float16(-std::numeric_limits<float>::infinity()), 0xFC00);
  EXPECT_NE(to_float16(std::nanf("")) & 0x3FF, 0);
}

TEST(NumberFormats, Tf32KeepsTenBitsOfFraction) {
  EXPECT_EQ(to_tf32(1.0F + 0x1p-10F), 1.0F + 0x1p-10F);
  EXPECT_EQ(to_tf32(1.0F + 0x1p-11F), 1.0F);
  EXPECT_EQ(to_tf32(1.0F + 0x1.8p-10F), 1.0F + 0x1p-9F);
  EXPECT_EQ(to_tf32(-3.0e38F), -3.0e38F - (-3.0e38F - to_tf32(-3.0e38F)));
  EXPECT_TRUE(std::isinf(to_tf32(std::numeric_limits<float>::infinity())));
}

}  // namespace
}  // namespace wins::runtime::cuda

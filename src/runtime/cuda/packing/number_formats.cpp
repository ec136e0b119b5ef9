#include <bit>
#include <cmath>

#include "wins/base/error.hpp"
#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {
namespace {

/// Drops `bits` bits of a float's fraction, rounding to nearest even. Infinities and NaN stay.
std::uint32_t round_fraction(std::uint32_t word, int bits) {
  if ((word & 0x7F800000U) == 0x7F800000U) return word;
  const std::uint32_t half = (1U << (bits - 1)) - 1;
  const std::uint32_t odd = (word >> bits) & 1U;
  return (word + half + odd) & ~((1U << bits) - 1);
}

}  // namespace

std::uint16_t to_float16(float value) {
  const std::uint32_t word = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((word >> 16) & 0x8000U);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7E00U);
  const float size = std::fabs(value);
  if (size >= 65520.0F) return static_cast<std::uint16_t>(sign | 0x7C00U);
  if (size < 0x1p-14F) {
    // Subnormal: a multiple of 2^-24; adding 0.5 to a float rounds to its last bit, 2^-24.
    const std::uint32_t sum = std::bit_cast<std::uint32_t>(size + 0.5F);
    return static_cast<std::uint16_t>(sign | (sum & 0x7FFU));
  }
  const std::uint32_t rounded = round_fraction(word & 0x7FFFFFFFU, 13);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

float from_float16(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1FU, fraction = bits & 0x3FFU;
  if (exponent == 0) {
    const float size = static_cast<float>(fraction) * 0x1p-24F;
    return sign != 0 ? -size : size;
  }
  const std::uint32_t biased = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | (biased << 23) | (fraction << 13));
}

std::uint16_t to_bfloat16(float value) {
  if (std::isnan(value)) return 0x7FC0;
  return static_cast<std::uint16_t>(round_fraction(std::bit_cast<std::uint32_t>(value), 16) >> 16);
}

float from_bfloat16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

std::uint32_t operand_bits(float value, Operand operand, int part) {
  require(std::isfinite(value), "a weight is {}", value);
  switch (operand) {
    case Operand::f16:
      require(std::fabs(value) < 65520.0F, "the weight {} does not fit float16", value);
      return to_float16(value);
    case Operand::bf16:
      return to_bfloat16(value);
    case Operand::tf32:
      return std::bit_cast<std::uint32_t>(to_tf32(value));
    case Operand::f32: {
      const float high = to_tf32(value);
      return std::bit_cast<std::uint32_t>(part == 0 ? high : to_tf32(value - high));
    }
  }
  return 0;
}

float to_tf32(float value) { return std::bit_cast<float>(round_fraction(std::bit_cast<std::uint32_t>(value), 13)); }

}  // namespace wins::runtime::cuda

// Numbers inside packed words.
#pragma once

#include <bit>
#include <cstdint>

#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {

/// The `e`-th number of a word: two in 16 bits, else one.
inline double element(Operand operand, std::uint32_t word, int e) {
  if (operand == Operand::f16) return static_cast<double>(from_float16(static_cast<std::uint16_t>(word >> (16 * e))));
  if (operand == Operand::bf16) return static_cast<double>(from_bfloat16(static_cast<std::uint16_t>(word >> (16 * e))));
  return static_cast<double>(std::bit_cast<float>(word));
}

}  // namespace wins::runtime::cuda

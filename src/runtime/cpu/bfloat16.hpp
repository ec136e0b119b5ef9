// Weights stored as bfloat16, the upper half of a float.
#pragma once

#include <cstdint>
#include <span>

#include "aligned.hpp"

namespace wins::runtime::cpu {

/// To the nearest, ties to even; what is not a number stays so.
std::uint16_t to_bfloat16(float value);

/// The values as they are.
AlignedFloats pack_floats(std::span<const float> values);

/// One bfloat16 for each value; the floats are only storage.
AlignedFloats pack_bfloat16(std::span<const float> values);
inline const std::uint16_t* bfloat16s(const AlignedFloats& packed) {
  return reinterpret_cast<const std::uint16_t*>(packed.data());
}

/// Bfloat16 for readers of single weights. The 32 bits that end with element i are a float as they
/// stand, whose lower half is element i - 1: reading takes no arithmetic. Element i is chosen with
/// that lower half in mind, so the float is as near to the value as a rounded bfloat16 would be.
/// Magnitudes below 2^-95 become 2^-95: a denormal would slow every multiplication.
AlignedFloats pack_overlapping(std::span<const float> values);
/// Element 0; one lies before it.
inline const std::uint16_t* overlapping(const AlignedFloats& packed) { return bfloat16s(packed) + 1; }

}  // namespace wins::runtime::cpu

// Weights of a first convolution in the Winograd domain, in the order in which the kernel reads them.
#pragma once

#include <array>
#include <cstdint>

#include "aligned.hpp"
#include "stem_kernels.hpp"
#include "wins/base/tensor.hpp"

namespace wins::runtime::cpu {

struct PackedStem {
  StemCoefficients coefficients;
  std::array<StemPosition, kStemPositions> positions{};
  std::int64_t vector_weights = 0;  ///< of one vector of output channels
  AlignedFloats weights;
  std::size_t byte_size() const { return weights.byte_size(); }
};

/// Multiplications for one tile and one output channel.
std::int64_t stem_products(const StemGeometry& geometry);

/// Packs [K, C, kh, kw]; U in double, rounded once.
PackedStem pack_stem(const Tensor& weights, const StemGeometry& geometry, int lanes);

}  // namespace wins::runtime::cpu

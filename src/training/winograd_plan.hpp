// How the Winograd training kernels go about one layer: packed weights, block size, transforms.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "winograd_kernels.hpp"
#include "winograd_simd.hpp"

namespace wins::training {

inline constexpr int kMaxTile = 10;  ///< p of winograd::algorithm

/// What F(2,3)'s transforms differ by from the hard-coded ones: a factor per row of B^T and A^T.
struct Factors {
  bool fast = false;
  std::array<double, kMaxTile> input{}, output{};
};

/// Weights of one live position, ready for the kernels.
struct PackedPosition {
  int xi = 0;
  float factor = 1;                ///< of the transforms that the kernels leave out
  std::vector<std::int64_t> rows;  ///< kept rows, or empty when all K rows are carried
  std::int64_t count = 0;          ///< rows carried
  std::int64_t padded = 0;         ///< count rounded up to the vector
  std::vector<float> by_channel;   ///< [C, padded]
  std::vector<float> by_row;       ///< [count, padded C]; empty when not needed
};

/// The matrices that the steps point to live here: a plan stays where it was made.
struct Plan {
  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  const WinogradProblem* problem = nullptr;
  Factors factors;
  winograd::TileGrid grid;
  int p = 0;
  std::int64_t lanes = 0, padded_channels = 0, padded_filters = 0, block = 0;
  std::vector<PackedPosition> positions;
  simd::AnyStep input, input_adjoint, output, output_adjoint;
  std::vector<double> matrices[4];
};

enum class Pass { forward, backward };

/// Fills an empty plan for vectors of `lanes` floats. `U` [p*p, K, C].
void make_plan(Plan& plan, const WinogradProblem& problem, const std::vector<LivePosition>& live,
               const float* U, std::int64_t lanes, Pass pass);

}  // namespace wins::training

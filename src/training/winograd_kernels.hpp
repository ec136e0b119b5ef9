// CPU kernels of a Winograd layer's training step: forward, and the exact backward of it.
//
// Activations are NHWC, so that every transform is a sum of contiguous channel vectors. Tiles are
// worked on in blocks whose V and M stay in the second-level cache; dead positions are skipped, and
// of a live position only the kept rows are multiplied where that saves a vector.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wins/winograd/mask.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::training {

/// One application of a Winograd layer. Activations: x [N, H, W, C], y [N, out_h, out_w, K].
struct WinogradProblem {
  const winograd::Algorithm* algorithm = nullptr;
  std::int64_t batch = 0, channels = 0, height = 0, width = 0;
  std::int64_t filters = 0, out_h = 0, out_w = 0;
  std::int64_t pad_top = 0, pad_left = 0;
};

/// The rows of U[xi] that hold a kept weight; positions without any are absent.
struct LivePosition {
  int xi = 0;
  std::vector<std::int64_t> rows;  ///< ascending k
};
std::vector<LivePosition> live_positions(const winograd::Mask& mask);

/// y = A^T [sum_c U V] A + bias. `U` [p*p, K, C]; rows that `live` leaves out are taken as zero.
/// `bias` may be null.
void winograd_forward(const WinogradProblem& problem, const std::vector<LivePosition>& live, int threads,
                      const float* x, const float* U, const float* bias, float* y);

/// Gradients of `winograd_forward`. `dx` (shape of x) and `dU` (shape of U) may each be null; dU is
/// exactly zero in rows outside `live`. The sum over threads has a fixed order.
void winograd_backward(const WinogradProblem& problem, const std::vector<LivePosition>& live, int threads,
                       const float* x, const float* U, const float* dy, float* dx, float* dU);

/// Instruction sets that the kernels can use here, of "avx512", "avx2", "generic", best first.
std::vector<std::string> winograd_isas();
/// Makes the kernels use winograd_isas()[index]; the first one is used unless a test asks otherwise.
void choose_winograd_isa(std::size_t index);

}  // namespace wins::training

// The paper's figures that need the vendors' matrix products: what irregular pruning costs on a GPU.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace wins::runtime::cuda {

/// The sub-GEMMs of one Winograd layer, F(2x2, 3x3).
struct GemmCurveProblem {
  std::int64_t batch = 64;
  std::int64_t channels = 256, filters = 256, height = 56, width = 56;  ///< VGG-16's sixth convolution
  std::vector<double> ratios;
  int rounds = 20;
  std::uint64_t seed = 0;
};

struct GemmCurvePoint {
  double ratio = 0;
  double dense_us = 0;      ///< all products of the layer; measured in turn with the other two
  double irregular_us = 0;  ///< single weights removed, the rest as CSR
  double regular_us = 0;    ///< rows removed, the rest dense
  std::string irregular_kernel, regular_kernel;  ///< the fastest way of those tried
};

struct GemmCurve {
  std::string device, cublas, cusparse;  ///< name, versions
  std::int64_t positions = 0, tiles = 0;
  std::vector<GemmCurvePoint> points;
};

/// Figure 3c of the paper: time of `positions` products U[xi] V[xi] in float32 against the pruning ratio, by cuBLAS and by
/// cuSPARSE, each in the fastest of its layouts and algorithms. Every product is checked against sums in double.
/// Throws `Error` in a build without CUDA, without a usable GPU, and where cuSPARSE cannot be opened.
GemmCurve measure_gemm_curve(const GemmCurveProblem& problem);

}  // namespace wins::runtime::cuda

// Stands in for the figures in builds without CUDA.
#include "wins/base/error.hpp"
#include "wins/runtime/cuda/figures.hpp"

namespace wins::runtime::cuda {

GemmCurve measure_gemm_curve(const GemmCurveProblem&) { fail("this figure needs the CUDA backend, which is not in this build (WINS_CUDA=ON)"); }

}  // namespace wins::runtime::cuda

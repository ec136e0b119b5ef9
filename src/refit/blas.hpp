// The few dense kernels that the refit needs, from OpenBLAS. Each call runs on the calling thread: the room's
// own threads share out the blocks, so that two pools never compete for the cores. One large factorisation
// by itself may use OpenBLAS's own threads (`BlasThreads`).
#pragma once

#include <cstdint>
#include <vector>

namespace wins::refit {

/// Lets OpenBLAS use `count` threads while it lives, and restores what was set before. For the whole process:
/// only where no other thread calls OpenBLAS.
class BlasThreads {
 public:
  explicit BlasThreads(int count);
  ~BlasThreads();
  BlasThreads(const BlasThreads&) = delete;
  BlasThreads& operator=(const BlasThreads&) = delete;

 private:
  int before_;
};

/// Keeps OpenBLAS to one thread while it lives.
class SingleThreadedBlas : public BlasThreads {
 public:
  SingleThreadedBlas() : BlasThreads(1) {}
};

/// C (rows x cols) += alpha A B^T; A is rows x depth, B cols x depth, all row-major and dense.
void multiply_transposed(std::int64_t rows, std::int64_t cols, std::int64_t depth, float alpha,
                         const float* A, const float* B, float* C);

/// C (rows x cols) += A B, or A B^T with `transpose_b`; A is rows x depth; B is square (depth = cols).
void multiply(std::int64_t rows, std::int64_t size, const float* A, const float* B, bool transpose_b,
              float* C);

/// Inverse of a symmetric positive definite size x size matrix, in place (both triangles), by Cholesky in
/// double. False when it is not positive definite.
bool invert_spd(std::int64_t size, std::vector<double>& matrix);

/// x of `matrix` x = b for a symmetric positive definite size x size matrix, by Cholesky in double; `rhs`: right-hand sides
/// in rows of `size`, replaced by the solutions. False, with both arguments spoilt, when it is not positive definite.
bool solve_spd(std::int64_t size, std::vector<double>& matrix, std::vector<double>& rhs);

/// Inverse in float and for the upper triangle (row-major) alone: the other is neither read nor written.
bool invert_spd_upper(std::int64_t size, std::vector<float>& matrix);

}  // namespace wins::refit

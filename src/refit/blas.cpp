#include "blas.hpp"

#include <cblas.h>

// LAPACK's Fortran interface (every LAPACK has it; the C one is a package of its own).
extern "C" {
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void dpotrs_(const char* uplo, const int* n, const int* nrhs, const double* a, const int* lda, double* b, const int* ldb,
             int* info);
void dpotri_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void spotrf_(const char* uplo, const int* n, float* a, const int* lda, int* info);
void spotri_(const char* uplo, const int* n, float* a, const int* lda, int* info);
}

namespace wins::refit {

BlasThreads::BlasThreads(int count) : before_(openblas_get_num_threads()) {
  openblas_set_num_threads(count);
}
BlasThreads::~BlasThreads() {
  openblas_set_num_threads(before_);
}

void multiply_transposed(std::int64_t rows, std::int64_t cols, std::int64_t depth, float alpha,
                         const float* A, const float* B, float* C) {
  if (rows == 0 || cols == 0 || depth == 0) return;
  const auto n = static_cast<int>(cols), k = static_cast<int>(depth);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(rows), n, k, alpha, A, k, B, k, 1.0F,
              C, n);
}

void multiply(std::int64_t rows, std::int64_t size, const float* A, const float* B, bool transpose_b,
              float* C) {
  if (rows == 0 || size == 0) return;
  const auto n = static_cast<int>(size);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans, static_cast<int>(rows), n,
              n, 1.0F, A, n, B, n, 1.0F, C, n);
}

bool invert_spd(std::int64_t size, std::vector<double>& matrix) {
  const auto n = static_cast<int>(size);
  int info = 0;
  dpotrf_("L", &n, matrix.data(), &n, &info);
  if (info != 0) return false;
  dpotri_("L", &n, matrix.data(), &n, &info);
  if (info != 0) return false;
  // Column-major "L" is row-major upper.
  for (std::int64_t r = 0; r < size; ++r) {
    for (std::int64_t c = 0; c < r; ++c) {
      matrix[static_cast<std::size_t>(r * size + c)] = matrix[static_cast<std::size_t>(c * size + r)];
    }
  }
  return true;
}

bool solve_spd(std::int64_t size, std::vector<double>& matrix, std::vector<double>& rhs) {
  if (size == 0) return true;
  const auto n = static_cast<int>(size), columns = static_cast<int>(static_cast<std::int64_t>(rhs.size()) / size);
  int info = 0;
  dpotrf_("L", &n, matrix.data(), &n, &info);
  if (info == 0) dpotrs_("L", &n, &columns, matrix.data(), &n, rhs.data(), &n, &info);
  return info == 0;
}

bool invert_spd_upper(std::int64_t size, std::vector<float>& matrix) {
  const auto n = static_cast<int>(size);
  int info = 0;
  spotrf_("L", &n, matrix.data(), &n, &info);  // column-major "L" is row-major upper
  if (info == 0) spotri_("L", &n, matrix.data(), &n, &info);
  return info == 0;
}

}  // namespace wins::refit

// A whole first convolution, and the max-pool behind it: rows of tiles over threads, what is pooled still in cache.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cost.hpp"
#include "stem_pack.hpp"

namespace wins::runtime::cpu {

/// Windows along an axis start at i * stride - pad.
struct StemPool {
  std::array<std::int64_t, 2> kernel{1, 1}, stride{1, 1}, pad{0, 0};
  std::int64_t out_height = 1, out_width = 1;
};
inline constexpr std::int64_t kStemMaxPool = 5;  ///< rows of a window: it then lies in two neighbouring bands at most

Cost predict_stem(const StemGeometry& geometry, const std::optional<StemPool>& pool, int threads, const Machine& machine);

/// y = activation(W * x + bias), or the largest of it in windows; the activation must then be monotone.
/// Results do not depend on the number of threads.
class StemConvolution {
 public:
  StemConvolution(const StemGeometry& geometry, const std::optional<StemPool>& pool, std::shared_ptr<const PackedStem> weights,
                  const StemKernels& kernels, int threads);

  std::int64_t workspace_floats() const;

  struct Operands {
    const float* x;
    const float* bias;  ///< padded K entries
    float* y;
    OutputActivation activation;
    float* workspace;
  };
  void run(const Operands& operands) const;

 private:
  /// Rows of tiles [first, last) of one image.
  struct Band {
    std::int64_t image, first, last;
  };
  /// Pooled row `row` whose window begins in the bands of `thread` and ends in those of the next.
  struct Split {
    int thread;
    std::int64_t image, row, slot;
  };
  /// Memory of one thread.
  struct Scratch {
    float *input, *v, *tile, *pixels, *split;
  };
  /// A row of tiles of one block of output channels.
  struct Position {
    std::int64_t image, tile_row, block;
  };
  void cut();
  std::array<std::int64_t, 5> scratch_sizes() const;
  Scratch scratch_of(float* workspace, int thread) const;
  std::int64_t kept_rows() const { return pool_->kernel[0] - 1 + kStemTile; }
  std::int64_t block_row_floats() const { return geometry_.out_width * geometry_.block; }
  std::int64_t pooled_row_floats() const { return pool_->out_width * geometry_.block; }
  std::int64_t window_first(std::int64_t row) const;
  std::int64_t window_last(std::int64_t row) const;
  float* pixel_row(const Scratch& scratch, std::int64_t block, std::int64_t row) const;
  float* pooled_row(float* y, std::int64_t image, std::int64_t block, std::int64_t row) const;
  void run_band(const Operands& operands, const Band& band, const Scratch& scratch) const;
  float* pixels_of(const Operands& operands, const Position& at, std::int64_t row, const Scratch& scratch) const;
  void multiply_row(const Operands& operands, const Position& row, std::int64_t first, int count, const Scratch& scratch) const;
  void pool_rows(const Operands& operands, const Position& at, const Band& band, const Scratch& scratch) const;
  void pool_row(const Operands& operands, const Position& at, std::int64_t first, std::int64_t last, const Scratch& scratch,
                float* y) const;
  void merge(const Operands& operands, const Split& split) const;

  StemGeometry geometry_;
  std::optional<StemPool> pool_;
  std::shared_ptr<const PackedStem> weights_;
  const StemKernels& kernels_;
  int threads_;
  AlignedFloats zeros_;                    ///< a row outside the picture
  std::vector<std::vector<Band>> bands_;  ///< of each thread
  std::vector<Split> splits_;
};

}  // namespace wins::runtime::cpu

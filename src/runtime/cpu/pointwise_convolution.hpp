// A whole 1x1 convolution: pixels and output channels over threads, in blocks that stay in cache.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "batch_norm.hpp"
#include "cost.hpp"
#include "pointwise_pack.hpp"

namespace wins::runtime::cpu {

struct PointwiseGeometry {
  int block = 16;  ///< B
  std::int64_t batch = 1, in_channels = 1, in_height = 1, in_width = 1;
  std::int64_t out_channels = 1, out_height = 1, out_width = 1;
  std::int64_t stride = 1;
  std::int64_t in_pitch = 0, out_pitch = 0, residual_pitch = 0;  ///< floats between images
  std::int64_t in_blocks() const { return divide_up(in_channels, block); }
  std::int64_t out_blocks() const { return divide_up(out_channels, block); }
  std::int64_t in_pixels() const { return in_height * in_width; }
  std::int64_t out_pixels() const { return out_height * out_width; }
};

/// How the work is cut: threads form a grid of pixel_parts x group_parts.
struct PointwiseBlocking {
  int pixel_parts = 1, group_parts = 1;
  std::int64_t pixels = 1;  ///< in a block, at most
  Cost cost;
  /// "2x1,28": parts of pixels x parts of channels, pixels of a block.
  std::string name() const;
  std::string text() const;
};

/// All blockings with their predicted costs: each grid of the threads, with blocks for weights that
/// stay in cache and for weights that do not.
std::vector<PointwiseBlocking> blockings(const PointwiseGeometry& geometry, const PointwiseWork& work, bool pack,
                                         int threads, const Machine& machine);

/// The fastest blocking by prediction, its blocks sized by what the cache holds.
PointwiseBlocking choose_blocking(const PointwiseGeometry& geometry, const PointwiseWork& work, bool pack,
                                  int threads, const Machine& machine);

/// y = activation(W max(scale x + shift, low) + bias + residual); without `scale`, W x.
class PointwiseConvolution {
 public:
  struct Prologue {
    std::shared_ptr<const BatchNormFactors> factors;  ///< null: none
    float low = 0;
  };
  PointwiseConvolution(const PointwiseGeometry& geometry, std::shared_ptr<const PackedPointwise> weights,
                       const PointwiseKernels& kernels, const PointwiseBlocking& blocking, Prologue prologue);

  std::int64_t workspace_floats() const;

  struct Operands {
    const float* x;
    const float* bias;      ///< padded K entries
    const float* residual;  ///< null, or like y but for its pitch; may equal y
    float* y;
    OutputActivation activation;
    float* workspace;
  };
  void run(const Operands& operands) const;

 private:
  /// Pixels [first, last) of one image.
  struct Block {
    std::int64_t image, first, last;
  };
  bool packs() const { return geometry_.stride != 1 || prologue_.factors != nullptr; }
  void split_groups();
  std::int64_t scratch_floats() const;
  void run_part(const Operands& operands, std::int64_t pixel_part, std::int64_t group_part, int thread) const;
  void run_group(const Operands& operands, const Block& block, std::int64_t group,
                 const float* x) const;

  PointwiseGeometry geometry_;
  std::shared_ptr<const PackedPointwise> weights_;
  const PointwiseKernels& kernels_;
  PointwiseBlocking blocking_;
  Prologue prologue_;
  std::vector<Block> blocks_;
  std::vector<std::int64_t> group_starts_;  ///< group_parts + 1, of about equal work
  std::vector<std::uint32_t> offsets_;  ///< of all columns
};

}  // namespace wins::runtime::cpu

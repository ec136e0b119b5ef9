// A whole Winograd layer: blocks of tiles over threads, each fused from input to output.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cost.hpp"
#include "winograd_kernels.hpp"
#include "winograd_pack.hpp"

namespace wins::runtime::cpu {

/// How the work is cut.
struct WinogradBlocking {
  int vectors = 2;          ///< lane groups (N tiles each) in a block of tiles, at most
  bool split_rows = false;  ///< threads share the tiles of a block and split its rows
  Cost cost;
  /// "4", or "4+rows" with split rows.
  std::string name() const;
  std::string text() const;
};

/// All blockings with their predicted costs.
std::vector<WinogradBlocking> blockings(const WinogradGeometry& geometry, const WinogradWork& work, int threads,
                                        const Machine& machine);

/// The fastest blocking by prediction.
WinogradBlocking choose_blocking(const WinogradGeometry& geometry, const WinogradWork& work, int threads,
                                 const Machine& machine);

class WinogradConvolution {
 public:
  WinogradConvolution(const WinogradGeometry& geometry, std::shared_ptr<const PackedWinograd> weights,
                      const WinogradKernels& kernels, const WinogradBlocking& blocking, int threads);

  /// Scratch that `run` needs, in floats.
  std::int64_t workspace_floats() const;

  /// y = activation(conv(x) + bias + residual) on blocked tensors of the geometry's pitches. `bias`
  /// has padded K entries; `residual` may be null or equal `y`.
  struct Operands {
    const float* x;
    const float* bias;
    const float* residual;
    float* y;
    OutputActivation activation;
    float* workspace;
  };
  void run(const Operands& operands) const;

 private:
  struct ThreadMemory {
    float* v;
    float* m;
    float* scratch;
  };
  std::int64_t v_floats() const;
  std::int64_t m_floats() const;
  std::int64_t scratch_floats() const;
  ThreadMemory memory_of(int thread, float* workspace) const;
  /// First lane group of block `b`, of `blocks_`.
  std::int64_t block_start(std::int64_t b) const { return groups_ * b / blocks_; }
  void run_block(const Operands& operands, std::int64_t b, int thread) const;
  void run_split(const Operands& operands, std::int64_t b) const;
  void transform_input(const Operands& operands, std::int64_t b, std::int64_t first, std::int64_t last,
                       const ThreadMemory& memory) const;
  void multiply(const Operands& operands, std::int64_t b, const PackedWinograd::Chunk& chunk,
                const ThreadMemory& memory) const;

  WinogradGeometry geometry_;
  std::shared_ptr<const PackedWinograd> weights_;
  const WinogradKernels& kernels_;
  WinogradBlocking blocking_;
  int threads_;
  std::int64_t groups_;  // of N tiles
  std::int64_t blocks_;
  std::vector<TilePosition> tiles_;  // groups_ * N
};

}  // namespace wins::runtime::cpu

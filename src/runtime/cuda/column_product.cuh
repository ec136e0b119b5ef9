// The column product's kernel; built in a file for each operand.
#pragma once

#include "column_move.cuh"
#include "group_multiply.cuh"
#include "launch_chain.cuh"
#include "product_output.cuh"

namespace wins::runtime::cuda {

/// A step of a chunk: sums [8 items][4] of 16 pixels of a warp and a strip, as tensor core instructions leave them.
template <Operand kOperand>
struct ColumnStep {
  using F = Format<kOperand>;
  static constexpr int kItems = kStripFilters / kItemRows, kParts = column_parts(kOperand);
  static constexpr int kMatrixBytes = kItemRows * 16, kItemBytes = 2 * kMatrixBytes, kPartBytes = kItems * kItemBytes;
  static constexpr int kBytes = kParts * kPartBytes + 16;
  static_assert(kBytes == step_words(kOperand) * 4);

  static __device__ std::uint32_t load_word(std::uint32_t address) {
    std::uint32_t word;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(address) : "memory");
    return word;
  }

  /// The fragment of 16 pixels, of which this lane's line begins at `row`. Pixels 8 apart are swizzled the same.
  static __device__ void gather(std::uint32_t step, std::uint32_t row, std::uint32_t (&x)[4]) {
    const std::uint32_t swizzle = threadIdx.x % 32 / 4 * 16;
    const std::uint32_t offsets = load_word(step + kParts * kPartBytes + threadIdx.x % 4 * 4);
    const std::uint32_t first = row + ((offsets & 0xffff) ^ swizzle), second = row + (offsets >> 16 ^ swizzle);
    x[0] = load_word(first);
    x[1] = load_word(first + 8 * kLineBytes);
    x[2] = load_word(second);
    x[3] = load_word(second + 8 * kLineBytes);
  }

  static __device__ void split(const std::uint32_t (&x)[4], std::uint32_t (&a)[kParts][4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      a[0][i] = x[i];
      if constexpr (kOperand == Operand::f32) a[1][i] = F::split(a[0][i]);
      else a[0][i] = F::near_tf32(x[i]);
    }
  }

  /// Of a step's products the p-th; the small ones first.
  static constexpr int kProducts = kParts == 2 ? 3 : 1;
  static __device__ constexpr int a_part(int product) { return product == 0 ? kParts - 1 : 0; }
  static __device__ constexpr int b_part(int product) { return product == 1 ? kParts - 1 : 0; }

  /// Adds a step to `sums`; calls `meanwhile` while the tensor cores work.
  template <class Meanwhile>
  static __device__ void multiply(float (&sums)[kItems][4], const std::uint32_t (&a)[kParts][4], std::uint32_t step, [[maybe_unused]] bool never,
                                  const Meanwhile& meanwhile) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    // Matrices without swizzle: 128 bytes from one half to the next, an item's bytes from 8 filters to the next.
    const std::uint64_t filters = ((step & 0x3ffff) / 16) | std::uint64_t{kMatrixBytes / 16} << 16 | std::uint64_t{kItemBytes / 16} << 32;
    begin_products();
#pragma unroll
    for (int p = 0; p < kProducts; ++p) GroupMultiply<kItems>::template run<kOperand>(sums, a[a_part(p)], filters + b_part(p) * kPartBytes / 16, 1);
    commit_products();
    meanwhile();
    wait_for_products();
    keep_behind(sums);
#pragma unroll
    for (int part = 0; part < kParts; ++part) hold(a[part], never);
#else
    meanwhile();
    const std::uint32_t from = step + threadIdx.x % 32 * 4;
#pragma unroll
    for (int item = 0; item < kItems; ++item) {
#pragma unroll
      for (int p = 0; p < kProducts; ++p) {
        const std::uint32_t at = from + b_part(p) * kPartBytes + item * kItemBytes;
        const std::uint32_t b[2] = {load_word(at), load_word(at + kMatrixBytes)};
        F::multiply(sums[item], a[a_part(p)], b);
      }
    }
#endif
  }
};

template <Operand kOperand, ColumnTile kTile>
struct ColumnProduct {
  using Step = ColumnStep<kOperand>;
  using Stage = ColumnStage<kOperand, kTile>;
  static constexpr ColumnTileSize kSize = Stage::kSize;
  static constexpr int kPixels = kSize.pixels, kFilters = kSize.filters, kStages = kSize.stages;
  using Output = ProductOutput<kOperand, kPixels, kFilters>;
  static constexpr int kTilePitch = kFilters + 8;  ///< floats; 8 more, so that the rows of an accumulator lie in different banks
  static constexpr int kSharedBytes = column_shared_bytes(kTile, kOperand);
  static_assert(kSharedBytes >= kPixels * kTilePitch * 4);
  static constexpr int kStrips = kPixels == 128 ? kSize.strips() : kSize.strips() / 2;  ///< of one of the two groups of 4 warps
  static_assert(kPixels * kSize.strips() == 128 * kStrips && kSize.strips() <= kMaxStrips && kSize.lines <= kMaxLines);

  float sums[kStrips][Step::kItems][4] = {};

  static __device__ int group() { return static_cast<int>(threadIdx.x) / 128; }
  static __device__ int first_pixel() { return static_cast<int>(threadIdx.x) / 32 % (kPixels == 128 ? 8 : 4) * 16; }
  static __device__ int first_strip() { return kPixels == 128 ? 0 : group() * kStrips; }

  __device__ void add_strip(float (&strip)[Step::kItems][4], std::uint32_t stage, int begin, int end, bool never) {
    if (begin == end) return;
    const std::uint32_t row = stage + (first_pixel() + threadIdx.x % 32 / 4) * kLineBytes;
    std::uint32_t step = stage + Stage::kPixelBytes + begin * Step::kBytes;
    std::uint32_t x[4];
    Step::gather(step, row, x);
    // Tensor cores cut off what they add, so that the error of a long sum would grow with its length: f32 has fresh sums in each
    // chunk, added to the running ones by ordinary additions.
    float fresh[Step::kItems][4] = {};
    float(&to)[Step::kItems][4] = kOperand == Operand::f32 ? fresh : strip;
    for (int s = begin; s < end; ++s) {
      std::uint32_t a[Step::kParts][4];
      Step::split(x, a);
      Step::multiply(to, a, step, never, [&] {
        if (s + 1 < end) Step::gather(step + Step::kBytes, row, x);
      });
      step += Step::kBytes;
    }
    if constexpr (kOperand == Operand::f32) {
#pragma unroll
      for (int i = 0; i < Step::kItems * 4; ++i) strip[i / 4][i % 4] += fresh[i / 4][i % 4];
    }
  }

  __device__ void multiply(const ColumnSource& from, int filter_tile, std::uint32_t base) {
    const int begin = from.columns.first_chunk[filter_tile], end = from.columns.first_chunk[filter_tile + 1];
    const ColumnChunk* const chunks = from.columns.chunks;
    const ColumnMove<kOperand, kTile> move(from, base);
    const auto chunk_at = [&](int i) { return i < end ? chunks[i] : ColumnChunk(); };
    wait_for_predecessor();
#pragma unroll
    for (int stage = 0; stage < kStages; ++stage) move.start(chunk_at(begin + stage), begin + stage < end, stage);
    if (from.pointers.residual != nullptr) Output::fetch_residual(from.layer, from.pointers, from.pixel_tile, filter_tile);
    // What describes a chunk is read one chunk before it is needed.
    ColumnChunk chunk = chunk_at(begin), following = chunk_at(begin + kStages);
    int stage = 0, round = 0;
    for (int i = begin; i < end; ++i) {
      const ColumnChunk next = chunk_at(i + 1), next_following = chunk_at(i + 1 + kStages);
      move.wait(stage, round);
#pragma unroll
      for (int s = 0; s < kStrips; ++s) {
        const int strip = first_strip() + s;
        const int first = strip == 0 ? 0 : chunk.ends[0], last = strip == 0 ? chunk.ends[0] : chunk.ends[1];
        add_strip(sums[s], base + stage * Stage::kBytes, first, last, from.layer.batch == 0);
      }
      __syncthreads();
      move.start(following, i + kStages < end, stage);
      chunk = next;
      following = next_following;
      stage = stage + 1 == kStages ? 0 : stage + 1;
      round += stage == 0 ? 1 : 0;
    }
    let_successor_start();
  }

  __device__ void leave_sums(float* tile) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int s = 0; s < kStrips; ++s) {
#pragma unroll
      for (int item = 0; item < Step::kItems; ++item) {
        float* to = tile + (first_pixel() + lane / 4) * kTilePitch + (first_strip() + s) * kStripFilters + item * kItemRows + lane % 4 * 2;
        *reinterpret_cast<float2*>(to) = {sums[s][item][0], sums[s][item][1]};
        *reinterpret_cast<float2*>(to + 8 * kTilePitch) = {sums[s][item][2], sums[s][item][3]};
      }
    }
  }
};

template <Operand kOperand, ColumnTile kTile>
__global__ void __launch_bounds__(kThreads, resident_columns(kTile))
    column_product(const __grid_constant__ ProductLayer layer, const __grid_constant__ ProductPointers pointers, const __grid_constant__ ColumnPointers columns,
                   const __grid_constant__ CUtensorMap map) {
  using Block = ColumnProduct<kOperand, kTile>;
  extern __shared__ __align__(1024) std::byte shared[];
  float* tile = reinterpret_cast<float*>(shared);
  // Tiles of the same pixels next to each other, so that these are read once from memory.
  int filter_tile = static_cast<int>(blockIdx.x);
  const int pixel_tile = columns.by_filter_tiles.divide(filter_tile);
  const ColumnSource from{layer, pointers, columns, map, pixel_tile};
  Block block;
  block.multiply(from, filter_tile, shared_address(tile));
  block.leave_sums(tile);
  __syncthreads();
  Block::Output::write(layer, pointers, pixel_tile, filter_tile, tile, Block::kTilePitch, 1);
}

template <Operand kOperand, ColumnTile kTile>
bool launch_column_tile(const ProductLayer& layer, const ProductPointers& pointers, const ColumnPointers& columns, const CUtensorMap& map, cudaStream_t stream) {
  using Block = ColumnProduct<kOperand, kTile>;
  const std::int64_t pixels = std::int64_t{layer.batch} * layer.out_height * layer.out_width;
  const std::int64_t blocks = (pixels + Block::kPixels - 1) / Block::kPixels * ((layer.filters + Block::kFilters - 1) / Block::kFilters);
  return launch_early(&column_product<kOperand, kTile>, dim3(static_cast<unsigned>(blocks)), kThreads, Block::kSharedBytes, stream, layer, pointers, columns, map);
}

template <Operand kOperand>
bool launch_columns(ColumnTile tile, const ProductLayer& layer, const ProductPointers& pointers, const ColumnPointers& columns, const CUtensorMap& map,
                    cudaStream_t stream) {
  switch (tile) {
    case ColumnTile::tall: return launch_column_tile<kOperand, ColumnTile::tall>(layer, pointers, columns, map, stream);
    case ColumnTile::wide: return launch_column_tile<kOperand, ColumnTile::wide>(layer, pointers, columns, map, stream);
    case ColumnTile::small:
      if constexpr (has_column_tile(ColumnTile::small, kOperand)) return launch_column_tile<kOperand, ColumnTile::small>(layer, pointers, columns, map, stream);
      break;
  }
  return false;
}

}  // namespace wins::runtime::cuda

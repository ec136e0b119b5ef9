// What a block of the kernel of winograd_fused.hpp does.
#pragma once

#include "launch_chain.cuh"
#include "nan_order.cuh"
#include "tensor_core.cuh"
#include "winograd_fused.hpp"
#include "winograd_move.cuh"
#include "winograd_tiles.cuh"

namespace wins::runtime::cuda {

template <Operand kOperand, int kStride, int kTiles, int kItems, int kUnits, bool kOverlaps = false, bool kRing = false>
struct FusedKernel {
  using F = Format<kOperand>;
  using Storage = typename F::Storage;
  using T = Tile<kStride>;
  static constexpr int kSize = T::kSize;
  static constexpr int kPositions = kSize * kSize;
  static constexpr int kThreads = kTiles * kUnits;
  static constexpr int kHalves = kUnits / 4;  ///< of chunks, between two barriers
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kResident = most_resident_blocks(kThreads, kItems, sizeof(Storage));
  static constexpr int kBlocks = kTiles / 16;  ///< of rows of the product
  static constexpr int kParts = kOperand == Operand::f32 ? 2 : 1;
  /// Blocks with many registers always have weights on their way, also of the next rectangle; the others let them go during the transforms.
  static constexpr bool kWeightsStay = kThreads > 256;
  static constexpr int kAhead = kWeightsStay && kItems * kParts <= 3 ? 2 : 1;  ///< halves whose weights have been asked for
  static constexpr int kUnitChannels = F::kChannels;
  static constexpr int kGroupWords = kGroupChannels * static_cast<int>(sizeof(Storage)) / 16;
  static constexpr int kGroupWordsOf = (kPositions + 3) / 4 * 4;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  using Mover = ThreadMover<kOperand, kStride, kTiles, kUnits>;
#else
  using Mover = BulkMover<kOperand, kStride, kTiles, kUnits>;
#endif

  /// The same in all lanes, as the compiler sees it too.
  static __device__ int warp_of_thread() { return __shfl_sync(0xFFFFFFFFU, static_cast<int>(threadIdx.x / 32), 0); }

  /// V of one tile and unit; `pitch` bytes from position to position.
  static __device__ void transform(std::uint32_t patch, int row_bytes, std::uint32_t alive, std::uint32_t V, int pitch) {
    T::template input_rows<F, uint4>(
        [&](int i, uint4 (&row)[kSize]) {
#pragma unroll
          for (int j = 0; j < kSize; ++j) row[j] = load_shared(patch + i * row_bytes + j * kUnits * 16);
        },
        [&](int i, const uint4 (&row)[kSize]) {
#pragma unroll
          for (int j = 0; j < kSize; ++j) {
            if ((alive >> (i * kSize + j) & 1U) != 0) {
              store_shared(V, row[j]);
              V += pitch;
            }
          }
        });
  }

  static __device__ void multiply(float (&sum)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[kParts][2]) {
    if constexpr (kOperand == Operand::f32) {
      std::uint32_t high[4], low[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        high[i] = F::round(a[i]);
        low[i] = F::round(__float_as_uint(__uint_as_float(a[i]) - __uint_as_float(high[i])));
      }
      F::multiply(sum, low, b[0]);
      F::multiply(sum, high, b[1]);
      F::multiply(sum, high, b[0]);
    } else if constexpr (kOperand == Operand::tf32) {
      std::uint32_t rounded[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) rounded[i] = F::round(a[i]);
      F::multiply(sum, rounded, b[0]);
    } else {
      F::multiply(sum, a, b[0]);
    }
  }

  using Sums = float[kItems][kBlocks][4];
  static __device__ void clear(Sums& sums) {
#pragma unroll
    for (int i = 0; i < kItems * kBlocks * 4; ++i) sums[i / (kBlocks * 4)][i / 4 % kBlocks][i % 4] = 0;
  }

  using Weights = uint4[kItems][kParts];

  /// Fragments of a warp's items, half after half of all chunks, over and over again.
  struct WeightStream {
    const uint4* at;
    int left;  ///< halves
    __device__ WeightStream(const FusedLayer& layer, const FusedPointers& p, const RowSlice& slice)
        : at(reinterpret_cast<const uint4*>(p.fragments + slice.first_fragment) + warp_of_thread() * kItems * kParts * 32 + threadIdx.x % 32),
          left(2 * layer.chunks) {}
    __device__ void load(int s, uint4 (&weights)[kParts]) const {
#pragma unroll
      for (int part = 0; part < kParts; ++part) weights[part] = at[(s * kParts + part) * 32];
    }
    __device__ void advance(const FusedLayer& layer, const RowSlice& slice) {
      const int step = slice.items * kParts * 32;
      at += step;
      if (--left > 0) return;
      left = 2 * layer.chunks;
      at -= left * step;
    }
    /// All of a half, of which the warp has `count` items.
    __device__ void load_all(const FusedLayer& layer, const RowSlice& slice, int count, Weights& weights) {
#pragma unroll
      for (int s = 0; s < kItems; ++s) {
        if (s < count) load(s, weights[s]);
      }
      advance(layer, slice);
    }
  };

  /// The same through shared memory, for one rectangle: each lane copies what it will read itself, kRingHalves ahead.
  struct WeightRing {
    static constexpr int kRingHalves = ring_halves(kItems), kHalfBytes = kItems * kFragmentBytes;
    const uint4* at = nullptr;
    int left = 0;             ///< halves to copy
    std::uint32_t now = 0;    ///< of the half that is read and copied next, bytes from this lane's first
    const uint4* fragments;
    std::uint32_t first;
    __device__ WeightRing(const FusedLayer& layer, const FusedPointers& p, const RowSlice& slice, std::uint32_t base)
        : fragments(reinterpret_cast<const uint4*>(p.fragments + slice.first_fragment) + warp_of_thread() * kItems * 32 + threadIdx.x % 32),
          first(base + layer.memory.ring + warp_of_thread() * kRingHalves * kHalfBytes + threadIdx.x % 32 * 16) {}
    __device__ void copy(const RowSlice& slice, int count) {
      if (left-- > 0) {
#pragma unroll
        for (int s = 0; s < kItems; ++s) {
          if (s < count) copy_async(first + now + s * kFragmentBytes, at + s * 32, 16);
        }
        at += slice.items * 32;
      }
      commit_copies();  // also where there is none, so that groups count halves
      now = now + kHalfBytes == kRingHalves * kHalfBytes ? 0 : now + kHalfBytes;
    }
    /// Where nothing else uses the ring's memory any more.
    __device__ void begin(const FusedLayer& layer, const RowSlice& slice, int count) {
      at = fragments;
      left = 2 * layer.chunks;
      now = 0;
      for (int i = 0; i < kRingHalves; ++i) copy(slice, count);
    }
    /// The oldest half's.
    __device__ uint4 load(int s) const { return load_shared(first + now + s * kFragmentBytes); }
  };

  /// `multiply_half` with weights of a ring, whose oldest half makes way for the next one.
  static __device__ void multiply_half(const FusedLayer& layer, const RowSlice& slice, std::uint32_t V, int count, const int (&place)[kItems], WeightRing& ring, Sums& sums) {
    const int unit = layer.memory.unit_bytes;
    wait_for_group<WeightRing::kRingHalves - 1>();
    std::uint32_t a[2][kBlocks][4];
#pragma unroll
    for (int s = 0; s < kItems; ++s) {
      if (s >= count) break;
      const uint4 weights = ring.load(s);
      if (s == 0 || place[s] != place[s - 1]) {
#pragma unroll
        for (int k = 0; k < 2; ++k) {
#pragma unroll
          for (int block = 0; block < kBlocks; ++block) load_matrices(V + place[s] + 2 * k * unit + block * 256, a[k][block]);
        }
      }
      const std::uint32_t b[2][1][2] = {{{weights.x, weights.y}}, {{weights.z, weights.w}}};
#pragma unroll
      for (int k = 0; k < 2; ++k) {
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) multiply(sums[s][block], a[k][block], b[k]);
      }
    }
    ring.copy(slice, count);
  }

  /// Adds the products of one half of a chunk (4 units of `unit` bytes) and `count` items. Items of one position share what is read of V.
  /// Where `kRefill`, weights make way for the stream's next as soon as they are used.
  template <bool kRefill>
  static __device__ void multiply_half(std::uint32_t V, int unit, int count, const int (&place)[kItems], const WeightStream& stream,
                                       Weights& weights, Sums& sums) {
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      std::uint32_t a[kBlocks][4];
#pragma unroll
      for (int s = 0; s < kItems; ++s) {
        if (s >= count) break;
        if (s == 0 || place[s] != place[s - 1]) {
#pragma unroll
          for (int block = 0; block < kBlocks; ++block) load_matrices(V + place[s] + 2 * k * unit + block * 256, a[block]);
        }
        std::uint32_t b[kParts][2];
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
          b[part][0] = k == 0 ? weights[s][part].x : weights[s][part].z;
          b[part][1] = k == 0 ? weights[s][part].y : weights[s][part].w;
        }
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) multiply(sums[s][block], a[block], b);
        if (kRefill && k == 1) stream.load(s, weights[s]);
      }
    }
  }

  /// Where this thread's tile begins in a patch and in V, in bytes; behind the last tile it has none.
  struct Place {
    int patch;
    std::uint32_t V;
    bool has_tile;
  };
  static __device__ Place place_of_thread(const FusedLayer& layer, std::uint32_t V) {
    const int unit = threadIdx.x % kUnits, t = threadIdx.x / kUnits;
    const BlockTile tile = tile_of_block(layer, t);
    const int line = tile.image * patch_rows(layer, kStride) + tile.row * T::kStep;
    return {line * layer.memory.patch_row_bytes + tile.column * T::kStep * kUnits * 16 + unit * 16, V + unit * layer.memory.unit_bytes + t * 16,
            t < layer.block_tiles};
  }

  /// The turns of a rectangle where V has room for two: between two barriers half of the warps transform first and the others multiply first.
  template <class Begin, class Transform, class Multiply>
  static __device__ void overlap_turns(const FusedLayer& layer, Mover& mover, int& turn, const Begin& begin, const Transform& transform_patch, const Multiply& multiply_turn) {
    mover.wait_for_patch(turn);
    begin();
    transform_patch(turn, 0);
    const int transforms_at = warp_of_thread() / 4 % 2;  // both kinds on every scheduler
    for (int t = 0; t < layer.turns; ++t, ++turn) {
      __syncthreads();
      mover.release_patch();
#pragma unroll 1
      for (int part = 0; part < 2; ++part) {
        if (part != transforms_at) {
          multiply_turn(t);
        } else if (t + 1 < layer.turns) {
          mover.wait_for_pixels(turn + 1);
          transform_patch(turn + 1, (t + 1 & 1) * layer.memory.V_pitch);
        }
      }
    }
  }

  /// kOneTurn: then no sums live while pixels are transformed.
  template <bool kOneTurn>
  static __device__ void run(const FusedLayer& layer, const FusedPointers& p, const FusedMaps& maps, const FusedGroups& groups) {
    extern __shared__ __align__(1024) std::byte shared[];
    const BlockMemory& memory = layer.memory;
    const std::uint32_t base = shared_address(shared);
    const RowSlice& slice = layer.slice[blockIdx.y];
    const int warp = warp_of_thread(), lane = threadIdx.x % 32, unit = memory.unit_bytes;
    const int count = slice.items - warp * kItems;  // of this warp's items, or more than it has slots
    int place[kItems];
#pragma unroll
    for (int s = 0; s < kItems; ++s) place[s] = s < count ? groups.positions[blockIdx.y * layer.max_items + warp * kItems + s] * kUnits * unit : 0;
    const Place mine = place_of_thread(layer, base + memory.V);
    const std::uint32_t V = base + memory.V + (lane / 16) * unit + (lane % 16) * 16;
    float* const M = reinterpret_cast<float*>(shared + memory.V);
    WeightStream stream(layer, p, slice);
    Weights weights[kAhead];
    WeightRing ring(layer, p, slice, base);
    if constexpr (kRing) {
      ring.begin(layer, slice, count);
    } else if constexpr (kWeightsStay) {
#pragma unroll
      for (int i = 0; i < kAhead; ++i) stream.load_all(layer, slice, count, weights[i]);
    }
    Mover mover(layer, p, maps, base);

    wait_for_predecessor();
    mover.begin();
    int turn = 0;
    for (int rectangle = static_cast<int>(blockIdx.x); rectangle < layer.rectangles; rectangle += static_cast<int>(gridDim.x)) {
      Sums sums;
      if constexpr (!kOneTurn) clear(sums);
      const auto begin_ring = [&] {
        if constexpr (kRing) {
          if (rectangle != static_cast<int>(blockIdx.x)) ring.begin(layer, slice, count);
        }
      };
      const auto transform_patch = [&](int of, int V_offset) {
        if (!mine.has_tile) return;
        const int patch = (of & (memory.patch_buffers - 1)) * memory.patch_bytes + mine.patch;
        transform(base + patch, memory.patch_row_bytes, slice.alive_mask, mine.V + V_offset, kUnits * unit);
      };
      const auto multiply_turn = [&](int t, std::uint32_t V_of_turn) {
        const int halves = 2 * layer.chunks - t * kHalves;
#pragma unroll
        for (int half = 0; half < kHalves; ++half) {
          if (kHalves > 2 && half >= halves) break;
          if constexpr (kRing) {
            multiply_half(layer, slice, V_of_turn + 4 * half * unit, count, place, ring, sums);
          } else if (kWeightsStay || half + 1 < kHalves) {
            multiply_half<true>(V_of_turn + 4 * half * unit, unit, count, place, stream, weights[half % kAhead], sums);
            stream.advance(layer, slice);
          } else {
            multiply_half<false>(V_of_turn + 4 * half * unit, unit, count, place, stream, weights[half % kAhead], sums);
          }
        }
      };
      if constexpr (kOverlaps) {
        overlap_turns(layer, mover, turn, begin_ring, transform_patch, [&](int t) { multiply_turn(t, V + (t & 1) * memory.V_pitch); });
      } else {
        for (int t = 0; t < (kOneTurn ? 1 : layer.turns); ++t, ++turn) {
          mover.wait_for_patch(turn);
          if (t == 0) begin_ring();
          transform_patch(turn, 0);
          if constexpr (kOneTurn) clear(sums);
          if constexpr (!kWeightsStay) stream.load_all(layer, slice, count, weights[0]);
          __syncthreads();
          mover.release_patch();
          multiply_turn(t, V);
        }
      }
      // Not earlier: a successor's blocks would be placed unevenly beside those that run.
      if (rectangle + static_cast<int>(gridDim.x) >= layer.rectangles) let_successor_start();
      if (p.residual != nullptr) mover.prepare_residual();
      __syncthreads();
      if (p.residual != nullptr) mover.load_residual(rectangle, slice);
      store_sums(sums, count, M);
      if (p.residual != nullptr) mover.wait_for_residual();
      __syncthreads();
      finish(layer, p, groups, slice, M, base + memory.stage);
      mover.write(rectangle, slice);
    }
    mover.end();
    if constexpr (kRing) wait_for_copies();
  }

  /// M in shared memory, over V: [row][tile].
  static __device__ void store_sums(const Sums& sums, int count, float* M) {
    const int lane = threadIdx.x % 32;
    float* const first = M + (warp_of_thread() * kItems * kItemRows + lane % 4 * 2) * m_pitch(kTiles) + lane / 4;
#pragma unroll
    for (int s = 0; s < kItems; ++s) {
      if (s >= count) break;
      float* const row = first + s * kItemRows * m_pitch(kTiles);
#pragma unroll
      for (int b = 0; b < kBlocks; ++b) {
        row[b * 16] = sums[s][b][0];
        row[b * 16 + m_pitch(kTiles)] = sums[s][b][1];
        row[b * 16 + 8] = sums[s][b][2];
        row[b * 16 + 8 + m_pitch(kTiles)] = sums[s][b][3];
      }
    }
  }

  /// Inverse transform, bias, residual and activation: a warp takes 8 output channels of 32 tiles, a lane one tile.
  static __device__ void finish(const FusedLayer& layer, const FusedPointers& p, const FusedGroups& groups, const RowSlice& slice,
                                const float* M, std::uint32_t stage) {
    constexpr int kParties = kTiles / 32;  ///< warps that share a group of channels
    const int warp = warp_of_thread(), t = warp % kParties * 32 + static_cast<int>(threadIdx.x) % 32;
    const int pixel = stage_pixel(layer, tile_of_block(layer, t));
    // All warps go around equally often, which takes fewer registers.
    for (int first = 0; first * kGroupChannels < slice.channels; first += kWarps / kParties) {
      const int group = first + warp / kParties;
      if (group * kGroupChannels < slice.channels) finish_group(layer, p, groups, slice, group, M + t, stage, pixel, t < layer.block_tiles);
    }
  }

  static __device__ void finish_group(const FusedLayer& layer, const FusedPointers& p, const FusedGroups& groups, const RowSlice& slice, int group,
                                      const float* M, std::uint32_t stage, int pixel, bool has_tile) {
    const int first = group * kGroupChannels, count = slice.channels - first;
    float y[4][kGroupChannels];
    invert(groups.words + (blockIdx.y * layer.slice_groups + group) * kGroupWordsOf, M, y);
    if (p.bias != nullptr) add_bias(p.bias + slice.first_channel + first, count, y);
    if (!has_tile) return;
    if (layer.max_pool) keep_largest(y);
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      if (q > 0 && layer.max_pool) break;
      uint4 words[kGroupWords];
      std::uint32_t at[kGroupWords];
#pragma unroll
      for (int w = 0; w < kGroupWords; ++w) {
        at[w] = in_stage(layer.memory, stage, pixel + q / 2 * layer.memory.stage_columns + q % 2, group * kGroupWords + w);
      }
      if (p.residual != nullptr) {
#pragma unroll
        for (int w = 0; w < kGroupWords; ++w) words[w] = load_shared(at[w]);
        F::add_group(words, y[q]);
      }
      if (layer.activation == FusedActivation::general) activate(layer, y[q]);
      if (count < kGroupChannels) clear(count, y[q]);
      F::pack_group(y[q], words);
      if (layer.activation == FusedActivation::relu) F::relu(words);
#pragma unroll
      for (int w = 0; w < kGroupWords; ++w) store_shared(at[w], words[w]);
    }
  }

  /// A^T M A of one tile and 8 channels. All lanes of a warp have the same rows.
  static __device__ void invert(const std::uint32_t* groups, const float* M, float (&y)[4][kGroupChannels]) {
#pragma unroll
    for (int q = 0; q < 4; ++q) {
#pragma unroll
      for (int k = 0; k < kGroupChannels; ++k) y[q][k] = 0;
    }
    // All words at once: each load may miss the constant cache.
    uint4 quads[kGroupWordsOf / 4];
#pragma unroll
    for (int i = 0; i < kGroupWordsOf / 4; ++i) quads[i] = reinterpret_cast<const uint4*>(groups)[i];
#pragma unroll
    for (int xi = 0; xi < kPositions; ++xi) {
      const uint4& quad = quads[xi / 4];
      const std::uint32_t word = xi % 4 == 0 ? quad.x : xi % 4 == 1 ? quad.y : xi % 4 == 2 ? quad.z : quad.w;
      if (word == 0) continue;
      const float* row = M + (word >> 16) * m_pitch(kTiles);
#pragma unroll
      for (int k = 0; k < kGroupChannels; ++k) {
        if ((word >> k & 1U) == 0) continue;
        const float m = *row;
        row += m_pitch(kTiles);
#pragma unroll
        for (int q = 0; q < 4; ++q) {
          const float factor = T::A(xi / kSize, q / 2) * T::A(xi % kSize, q % 2);
          if (factor > 0) y[q][k] += m;
          if (factor < 0) y[q][k] -= m;
        }
      }
    }
  }

  static __device__ void add_bias(const float* bias, int count, float (&y)[4][kGroupChannels]) {
#pragma unroll
    for (int k = 0; k < kGroupChannels; ++k) {
      const float b = k < count ? bias[k] : 0;
#pragma unroll
      for (int q = 0; q < 4; ++q) y[q][k] += b;
    }
  }

  /// Of a tile's four outputs, in y[0]: all activations of this kernel with a pool keep order.
  static __device__ void keep_largest(float (&y)[4][kGroupChannels]) {
#pragma unroll
    for (int k = 0; k < kGroupChannels; ++k) y[0][k] = larger(larger(y[0][k], y[1][k]), larger(y[2][k], y[3][k]));
  }

  /// NaN stays NaN.
  static __device__ void activate(const FusedLayer& layer, float (&y)[kGroupChannels]) {
#pragma unroll
    for (int k = 0; k < kGroupChannels; ++k) {
      float x = y[k] < 0 ? y[k] * layer.slope : y[k];
      x = x < layer.low ? layer.low : x;
      y[k] = x > layer.high ? layer.high : x;
    }
  }

  static __device__ void clear(int count, float (&y)[kGroupChannels]) {
#pragma unroll
    for (int k = 0; k < kGroupChannels; ++k) y[k] = k < count ? y[k] : 0;
  }
};

}  // namespace wins::runtime::cuda

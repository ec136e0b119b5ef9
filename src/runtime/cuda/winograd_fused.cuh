// What a block of the kernel of winograd_fused.hpp does.
#pragma once

#include "launch_chain.cuh"
#include "tensor_core.cuh"
#include "weights_ahead.cuh"
#include "winograd_fused.hpp"
#include "winograd_move.cuh"
#include "winograd_outputs.cuh"
#include "winograd_scale.cuh"
#include "winograd_tiles.cuh"

namespace wins::runtime::cuda {

template <Operand kOperand, int kStride, int kTiles, int kItems, int kUnits, Factors kFactors, bool kSplit = false>
struct FusedKernel {
  static constexpr bool kScaled = kFactors == Factors::scaled;
  using F = Format<kOperand>;
  using Multiplied = Format<kScaled ? Operand::f16 : kOperand>;
  using Storage = typename F::Storage;
  using T = Tile<kStride>;
  static constexpr int kSize = T::kSize;
  static constexpr int kThreads = kTiles * kUnits;
  static constexpr int kFactorUnits = factor_units(kUnits, kFactors);
  static constexpr int kHalves = kFactorUnits / 4;  ///< of chunks, between two barriers
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kResident = most_resident_blocks(kThreads, kItems, sizeof(Storage));
  static constexpr int kBlocks = kTiles / 16;  ///< of rows of the product
  static constexpr int kParts = kOperand == Operand::f32 ? 2 : 1;
  /// Blocks with many registers always have weights on their way, also of the next rectangle; the others let them go during the transforms.
  static constexpr bool kWeightsStay = kThreads > 256;
  static constexpr int kAhead = kWeightsStay && kItems * kParts <= 3 && kHalves % 2 == 0 ? 2 : 1;  ///< halves whose weights have been asked for
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  using Mover = ThreadMover<kOperand, kStride, kTiles, kUnits>;
#else
  using Mover = BulkMover<kOperand, kStride, kTiles, kUnits, kSplit>;
#endif

  /// V as the tensor cores take it.
  static __device__ uint4 rounded(const uint4& v) {
    if constexpr (kOperand == Operand::tf32) return {F::near_tf32(v.x), F::near_tf32(v.y), F::near_tf32(v.z), F::near_tf32(v.w)};
    return v;
  }

  /// Stores one unit of V, scaled ones as float16.
  static __device__ void store(std::uint32_t V, const uint4& v, float scale, int part_bytes) {
    if constexpr (kScaled) {
      const float2 a{__uint_as_float(v.x) * scale, __uint_as_float(v.y) * scale}, b{__uint_as_float(v.z) * scale, __uint_as_float(v.w) * scale};
      const __half2 high[2] = {__float22half2_rn(a), __float22half2_rn(b)};
      store_shared_pair(V, reinterpret_cast<const uint2&>(high));
      if constexpr (kParts == 2) {
        const float2 of_a = __half22float2(high[0]), of_b = __half22float2(high[1]);
        const __half2 low[2] = {__float22half2_rn(float2{a.x - of_a.x, a.y - of_a.y}), __float22half2_rn(float2{b.x - of_b.x, b.y - of_b.y})};
        store_shared_pair(V + part_bytes, reinterpret_cast<const uint2&>(low));
      }
    } else {
      store_shared(V, rounded(v));
    }
  }

  /// V of one tile and unit, the positions of `alive`. Where they lie is the same in all threads: a store does not wait for the address of the one before.
  static __device__ void transform(const BlockMemory& memory, std::uint32_t patch, std::uint32_t alive, std::uint32_t V, float scale) {
    std::uint32_t place = 0;
    const auto store_one = [&](int xi, const uint4& v) {
      if ((alive >> xi & 1U) == 0) return;
      store(V + place, v, scale, memory.part_bytes);
      place += kFactorUnits * memory.unit_bytes;
    };
    const auto load_row = [&](int i, uint4 (&row)[kSize]) {
#pragma unroll
      for (int j = 0; j < kSize; ++j) row[j] = load_shared(patch + i * memory.patch_row_bytes + j * kUnits * 16);
    };
    if constexpr (kStride == 1) {
      if ((alive & ~T::kOuterColumns) == 0) {
        T::template outer_input_rows<F, uint4>(alive, load_row, [&](int i, const uint4 (&row)[2]) {
          store_one(i * kSize, row[0]);
          store_one(i * kSize + kSize - 1, row[1]);
        });
        return;
      }
      if ((alive & ~T::kCross) == 0) {
        T::template cross_input<F, uint4>(load_row, store_one);
        return;
      }
    }
    T::template input_rows<F, uint4>(load_row, [&](int i, const uint4 (&row)[kSize]) {
#pragma unroll
      for (int j = 0; j < kSize; ++j) store_one(i * kSize + j, row[j]);
    });
  }

  /// Rows of V: one fragment, for f32 high and low parts.
  using Left = std::uint32_t[kParts][4];
  static __device__ void load_left(std::uint32_t V, int part_bytes, Left& a) {
    load_matrices(V, a[0]);
    if constexpr (kScaled && kParts == 2) {
      load_matrices(V + part_bytes, a[1]);
    } else if constexpr (kParts == 2) {
#pragma unroll
      for (int i = 0; i < 4; ++i) a[1][i] = F::split(a[0][i]);
    }
  }
  static __device__ void multiply(float (&sum)[4], const Left& a, const std::uint32_t (&b)[kParts][2]) {
    if constexpr (kParts == 2) {
      Multiplied::multiply(sum, a[1], b[0]);
      Multiplied::multiply(sum, a[0], b[1]);
    }
    Multiplied::multiply(sum, a[0], b[0]);
  }

  using Sums = float[kItems][kBlocks][4];
  static __device__ void clear(Sums& sums) {
#pragma unroll
    for (int i = 0; i < kItems * kBlocks * 4; ++i) sums[i / (kBlocks * 4)][i / 4 % kBlocks][i % 4] = 0;
  }

  static __device__ void multiply_all(Sums& sums, float factor) {
#pragma unroll
    for (int i = 0; i < kItems * kBlocks * 4; ++i) sums[i / (kBlocks * 4)][i / 4 % kBlocks][i % 4] *= factor;
  }

  /// By two powers of two, whose product may be none.
  static __device__ void unscale(Sums& sums, float a, float b) {
    const float both = a * b;
    if (both >= kSmallestNormal && both < kInfinity) {
      multiply_all(sums, both);
    } else {
      multiply_all(sums, a);
      multiply_all(sums, b);
    }
  }

  /// Of a turn's pixels, as bits; infinities and NaN do not count. A barrier of the block.
  static __device__ std::uint32_t largest_magnitude(std::uint32_t patch, int patch_bytes, std::uint32_t exchange) {
    const std::uint32_t largest = largest_of(patch, patch_bytes, exchange, [](std::uint32_t x) { return __uint_as_float(x); });
    if (largest < kInfinityBits) return largest;
    __syncthreads();
    return largest_of(patch, patch_bytes, exchange, [](std::uint32_t x) { return (x & kInfinityBits) == kInfinityBits ? 0 : __uint_as_float(x); });
  }
  template <class Number>
  static __device__ std::uint32_t largest_of(std::uint32_t patch, int patch_bytes, std::uint32_t exchange, const Number& number) {
    float largest = 0;
    for (int at = static_cast<int>(threadIdx.x) * 16; at < patch_bytes; at += kThreads * 16) {
      const uint4 words = load_shared(patch + at);
      for (const std::uint32_t word : {words.x, words.y, words.z, words.w}) largest = fmaxf(largest, fabsf(number(word)));  // of two, the one that is no NaN
    }
    std::uint32_t bits = __reduce_max_sync(0xFFFFFFFFU, __float_as_uint(largest));
    if (threadIdx.x % 32 == 0) store_shared_word(exchange + threadIdx.x / 32 * 4, bits);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kWarps / 4; ++i) {
      const uint4 words = load_shared(exchange + i * 16);
      bits = max(max(max(words.x, words.y), max(words.z, words.w)), bits);
    }
    return bits;
  }

  using Weights = uint4[kItems][kParts];

  /// Fragments of a warp's items, half after half of all chunks, over and over again.
  struct WeightStream {
    const FusedLayer& layer;
    const RowSlice& slice;
    const uint4* at;
    int left;  ///< halves
    __device__ WeightStream(const FusedLayer& l, const FusedPointers& p, const RowSlice& s, int first_item)
        : layer(l), slice(s), at(reinterpret_cast<const uint4*>(p.fragments + s.first_fragment) + first_item * kParts * 32 + threadIdx.x % 32), left(halves()) {
      if constexpr (kSplit) at += block_in_cluster() * left * s.items * kParts * 32;
    }
    /// Of this block.
    __device__ int halves() const { return kSplit ? layer.turns * kHalves : 2 * layer.chunks; }
    __device__ void load(int s, uint4 (&weights)[kParts]) const {
#pragma unroll
      for (int part = 0; part < kParts; ++part) weights[part] = at[(s * kParts + part) * 32];
    }
    __device__ void advance() {
      const int step = slice.items * kParts * 32;
      at += step;
      if (--left > 0) return;
      left = halves();
      at -= left * step;
    }
    /// All of a half, of which the warp has `count` items.
    __device__ void load_all(int count, Weights& weights) {
#pragma unroll
      for (int s = 0; s < kItems; ++s) {
        if (s < count) load(s, weights[s]);
      }
      advance();
    }
  };

  /// Where fragments of V are read: so many bytes to the next unit, and to the low parts.
  struct Rows {
    std::uint32_t at;
    int unit_bytes, part_bytes;
    __device__ Rows from_unit(int unit) const { return {at + unit * unit_bytes, unit_bytes, part_bytes}; }
  };

  /// A warp's work items: so many of the slice's list, and of each where its position's V begins.
  struct Items {
    int first, count;
    int place[kItems];
    bool regular;  ///< all of one position, and at most one less than there is room for: products without branches then, of the one that may miss too
    __device__ Items(const FusedLayer& layer, const FusedGroups& groups) {
      const std::uint8_t* firsts = groups.first_item[blockIdx.y] + warp_of_thread();
      first = firsts[0];
      count = firsts[1] - first;
      const std::uint8_t* positions = groups.positions + blockIdx.y * layer.max_items + first;
#pragma unroll
      for (int s = 0; s < kItems; ++s) place[s] = s < count ? positions[s] * kFactorUnits * layer.memory.unit_bytes : 0;
      regular = count >= max(kItems - 1, 1) && positions[0] == positions[count - 1];
    }
  };

  /// Adds the products of one half of a chunk: 4 units from V on. Items of one position share what is read of V. Where `kRefill`, weights make way for
  /// the stream's next as soon as they are used.
  template <bool kRefill, bool kRegular>
  static __device__ void multiply_half(const Rows& V, const Items& items, const WeightStream& stream, Weights& weights, Sums& sums) {
    constexpr int kTogether = kRegular && kThreads > 256 && kBlocks * kParts <= 2 && kItems <= 4 ? 2 : 1;  ///< products of two units, as registers allow
#pragma unroll
    for (int first = 0; first < 2; first += kTogether) {
      Left a[kTogether][kBlocks];
#pragma unroll
      for (int s = 0; s < kItems; ++s) {
        if (!kRegular && s >= items.count) break;
        if (s == 0 || (!kRegular && items.place[s] != items.place[s - 1])) {
#pragma unroll
          for (int k = 0; k < kTogether; ++k) {
#pragma unroll
            for (int block = 0; block < kBlocks; ++block) load_left(V.from_unit(2 * (first + k)).at + items.place[s] + block * 256, V.part_bytes, a[k][block]);
          }
        }
#pragma unroll
        for (int k = 0; k < kTogether; ++k) {
          std::uint32_t b[kParts][2];
#pragma unroll
          for (int part = 0; part < kParts; ++part) {
            b[part][0] = first + k == 0 ? weights[s][part].x : weights[s][part].z;
            b[part][1] = first + k == 0 ? weights[s][part].y : weights[s][part].w;
          }
#pragma unroll
          for (int block = 0; block < kBlocks; ++block) multiply(sums[s][block], a[k][block], b);
        }
        if (kRefill && first + kTogether == 2 && (!kRegular || s + 1 < kItems || s < items.count)) stream.load(s, weights[s]);
      }
    }
  }

  /// Adds the products of one turn's halves.
  template <bool kRegular>
  static __device__ void multiply_turn(const Rows& V, int halves, const Items& items, WeightStream& stream, Weights (&weights)[kAhead], Sums& sums) {
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      if (kHalves > 2 && half >= halves) break;
      if (kWeightsStay || half + 1 < kHalves) {
        multiply_half<true, kRegular>(V.from_unit(4 * half), items, stream, weights[half % kAhead], sums);
        stream.advance();
      } else {
        multiply_half<false, kRegular>(V.from_unit(4 * half), items, stream, weights[half % kAhead], sums);
      }
    }
  }

  /// Read behind a barrier of the block: where each tile begins in a patch, in bytes, and in the stage, in pixels, and the slice's bias.
  static __device__ void store_tables(const FusedLayer& layer, const RowSlice& slice, const float* bias, std::uint32_t base) {
    const BlockMemory& memory = layer.memory;
    const int thread = static_cast<int>(threadIdx.x);
    if (thread < kTiles) {
      const BlockTile tile = tile_of_block(layer, thread);
      const int line = tile.image * patch_rows(layer, kStride) + tile.row * T::kStep;
      store_shared_word(base + memory.patches + thread * 4, line * memory.patch_row_bytes + tile.column * T::kStep * kUnits * 16);
      store_shared_word(base + memory.pixels + thread * 4, stage_pixel(layer, tile));
    }
    for (int k = thread; k < slice.channels; k += kThreads) {
      store_shared_word(base + memory.bias + k * 4, bias != nullptr ? __float_as_uint(bias[slice.first_channel + k]) : 0);
    }
  }

  /// V of this thread's tile and unit, of one turn.
  static __device__ void transform_tile(const FusedLayer& layer, std::uint32_t base, int buffer, std::uint32_t alive, float scale) {
    const BlockMemory& memory = layer.memory;
    const int unit = threadIdx.x % kUnits, t = threadIdx.x / kUnits;
    if (t >= layer.block_tiles) return;
    const std::uint32_t patch = base + buffer * memory.patch_bytes + load_shared_word(base + memory.patches + t * 4) + unit * 16;
    const int of_V = kScaled ? unit / 2 * memory.unit_bytes + unit % 2 * 8 : unit * memory.unit_bytes;
    transform(memory, patch, alive, base + memory.V + of_V + t * 16, scale);
  }

  struct Block : FusedBlock {
    float* M;       ///< in shared memory, over V
    bool finishes;  ///< the first of its cluster
  };

  /// From the sums of all channels to outputs on their way.
  static __device__ void complete(const Block& block, const Items& items, const Sums& sums, Mover& mover, int rectangle) {
    mover.prepare_stage(block.has_residual);
    __syncthreads();
    if (block.has_residual) mover.load_residual_late(rectangle, block.slice);
    store_sums(sums, items, block.M);
    if constexpr (kSplit) {
      meet_cluster();
      if (block.finishes) add_sums(block.layer, block.slice, block.base + block.layer.memory.V);
      meet_cluster();
      if (!block.finishes) return;
    }
    if (block.has_residual) mover.wait_for_residual();
    __syncthreads();
    FusedOutputs<kOperand, kStride, kTiles, kWarps>::finish(block);
    mover.write(rectangle, block.slice);
  }

  /// kOneTurn: then no sums live while pixels are transformed.
  template <bool kOneTurn>
  static __device__ void run(const FusedLayer& layer, const FusedPointers& p, const FusedMaps& maps, const FusedGroups& groups) {
    extern __shared__ __align__(1024) std::byte shared[];
    const BlockMemory& memory = layer.memory;
    const std::uint32_t base = shared_address(shared);
    const RowSlice& slice = layer.slice[blockIdx.y];
    const int lane = threadIdx.x % 32;
    const Items items(layer, groups);
    const Rows V{base + memory.V + (lane / 16) * memory.unit_bytes + (lane % 16) * 16, memory.unit_bytes, memory.part_bytes};
    WeightStream stream(layer, p, slice, items.first);
    Weights weights[kAhead];
    if constexpr (kWeightsStay) {
#pragma unroll
      for (int i = 0; i < kAhead; ++i) stream.load_all(items.count, weights[i]);
    }
    Mover mover(layer, p, maps, base);
    store_tables(layer, slice, p.bias, base);
    ask_ahead(p.ahead);
    const bool finishes = !kSplit || block_in_cluster() == 0, has_residual = finishes && p.residual != nullptr;
    const Block block{{layer, groups, slice, base, has_residual}, reinterpret_cast<float*>(shared + memory.V), finishes};

    wait_for_predecessor();
    mover.begin();
    int turn = 0;
    for (int rectangle = static_cast<int>(blockIdx.x); rectangle < layer.rectangles; rectangle += static_cast<int>(gridDim.x)) {
      Sums sums;
      [[maybe_unused]] BlockScale scale;
      if constexpr (!kOneTurn) clear(sums);
      for (int t = 0; t < (kOneTurn ? 1 : layer.turns); ++t, ++turn) {
        mover.wait_for_patch(turn);
        const int buffer = turn & (memory.patch_buffers - 1);
        if constexpr (kScaled) {
          const bool first = kOneTurn || t == 0;
          const std::uint32_t changed = scale.adapt(largest_magnitude(base + buffer * memory.patch_bytes, memory.patch_bytes, base + memory.exchange), first);
          if (!first && changed != kUnchanged) multiply_all(sums, __uint_as_float(changed));
        }
        transform_tile(layer, base, buffer, slice.alive_mask, scale.factor());
        if constexpr (kOneTurn) clear(sums);
        if constexpr (!kWeightsStay) stream.load_all(items.count, weights[0]);
        __syncthreads();
        mover.release_patch();
        if (t == 0 && has_residual) mover.load_residual_early(rectangle, slice);
        const int halves = stream.halves() - t * kHalves;
        if (items.regular) {
          multiply_turn<true>(V, halves, items, stream, weights, sums);
        } else {
          multiply_turn<false>(V, halves, items, stream, weights, sums);
        }
      }
      // Not earlier: a successor's blocks would be placed unevenly beside those that run.
      if (rectangle + static_cast<int>(gridDim.x) >= layer.rectangles) let_successor_start();
      if constexpr (kScaled) unscale(sums, scale.inverse(), layer.unscale);
      complete(block, items, sums, mover, rectangle);
    }
    mover.end();
  }

  /// M in shared memory, over V: [row][tile].
  static __device__ void store_sums(const Sums& sums, const Items& items, float* M) {
    const int lane = threadIdx.x % 32;
    float* const first = M + (items.first * kItemRows + lane % 4 * 2) * m_pitch(kTiles) + lane / 4;
#pragma unroll
    for (int s = 0; s < kItems; ++s) {
      if (s >= items.count) break;
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

  /// Adds the other blocks' M to the first one's.
  static __device__ void add_sums(const FusedLayer& layer, const RowSlice& slice, std::uint32_t M) {
    const int bytes = slice.items * kItemRows * m_pitch(kTiles) * static_cast<int>(sizeof(float));
    for (int at = static_cast<int>(threadIdx.x) * 16; at < bytes; at += kThreads * 16) {
      uint4 sum = load_shared(M + at);
      for (int block = 1; block < layer.splits; ++block) {
        const uint4 more = load_shared_of(block, M + at);
        sum = {FloatFormat::add(sum.x, more.x), FloatFormat::add(sum.y, more.y), FloatFormat::add(sum.z, more.z), FloatFormat::add(sum.w, more.w)};
      }
      store_shared(M + at, sum);
    }
  }
};

}  // namespace wins::runtime::cuda

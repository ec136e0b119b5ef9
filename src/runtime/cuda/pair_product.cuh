// The kernel of pair_product.hpp; built in a file for each operand.
#pragma once

#include "launch_chain.cuh"
#include "pair_product.hpp"
#include "product_groups.cuh"
#include "product_output.cuh"
#include "product_warps.cuh"
#include "storage.cuh"

namespace wins::runtime::cuda {

template <Operand kOperand, ProductTile kTile, int kStages>
struct PairProduct {
  using F = Format<kOperand>;
  using Storage = typename F::Storage;
  using First = ProductStage<kOperand, ProductTile::tall>;
  using Second = ProductStage<kOperand, kTile>;
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  using FirstSums = GroupSums<kOperand, First>;
  using SecondSums = GroupSums<kOperand, Second>;
#else
  using FirstSums = WarpSums<kOperand, First>;
  using SecondSums = WarpSums<kOperand, Second>;
#endif
  static constexpr int kUnitBytes = First::kUnitBytes, kPixelBytes = First::kPixelBytes, kItemBytes = First::kItemBytes;
  static constexpr int kItemWords = kItemBytes / 16, kTurnItems = First::kItems, kSecondItems = Second::kItems;
  static_assert(First::kPixels == kPairPixels && Second::kPixels == kPairPixels && First::kFilters == kPairMiddle && Second::kPixelBytes == kPixelBytes);
  static_assert(kPairMiddle == kChunkUnits * F::kChannels);  // a turn is one chunk of the second product

  /// Shared memory: pixels of the input, chunk by chunk, then stages: pixels of the middle, which begin as residuals, and filters of
  /// the first layer, chunk by chunk, and of the second.
  struct Memory {
    std::uint32_t input, stages;
    int first_bytes, stage_bytes;
    __device__ Memory(const PairLayer& layer, std::uint32_t base)
        : input(base), stages(base + layer.chunks * kPixelBytes), first_bytes(layer.chunks * kTurnItems * kItemBytes),
          stage_bytes(kPixelBytes + first_bytes + kSecondItems * kItemBytes) {}
    __device__ std::uint32_t middle(int turn) const { return stages + turn % kStages * stage_bytes; }
    __device__ std::uint32_t first_filters(int turn) const { return middle(turn) + kPixelBytes; }
    __device__ std::uint32_t second_filters(int turn) const { return first_filters(turn) + first_bytes; }
  };

  /// Calls `visit(pixel of the tile, unit, where they lie behind the tile's pixels)` for the 16 bytes of `units` units that are this thread's:
  /// neighbours have the units of one pixel.
  template <int kUnits, class Visit>
  static __device__ void for_each_unit(const Visit& visit) {
    const int unit = static_cast<int>(threadIdx.x) % kUnits;
#pragma unroll
    for (int pixel = static_cast<int>(threadIdx.x) / kUnits; pixel < kPairPixels; pixel += kThreads / kUnits) {
      visit(pixel, unit, static_cast<std::uint32_t>(unit * kUnitBytes + pixel * 16));
    }
  }

  static __device__ int first_pixel() { return static_cast<int>(blockIdx.x) * kPairPixels; }

  static __device__ void copy_input(const PairLayer& layer, const void* input, std::uint32_t to) {
    for_each_unit<kChunkUnits>([&](int pixel, int unit, std::uint32_t at) {
      int x = first_pixel() + pixel;
      const bool exists = x < layer.pixels;
      const int image = layer.by_out_image.divide(x), y = layer.by_out_width.divide(x);
      const std::int64_t source = static_cast<std::int64_t>(image * layer.height + y * layer.stride_y) * layer.width + x * layer.stride_x;
      const Storage* from = static_cast<const Storage*>(input) + source * layer.input_pitch;
      for (int chunk = 0; chunk < layer.chunks; ++chunk, unit += kChunkUnits) {
        const bool inside = exists && unit < layer.units;
        copy_async(to + chunk * kPixelBytes + at, inside ? from + unit * F::kChannels : input, inside ? 16 : 0);
      }
    });
  }

  /// What a turn needs.
  static __device__ void copy_turn(const PairLayer& layer, const PairPointers& p, const Memory& memory, int turn) {
    if (p.residual != nullptr) {
      const Storage* from = static_cast<const Storage*>(p.residual) + turn * kPairMiddle;
      for_each_unit<kChunkUnits>([&](int pixel, int unit, std::uint32_t at) {
        const bool exists = first_pixel() + pixel < layer.pixels;
        const std::int64_t source = static_cast<std::int64_t>(exists ? first_pixel() + pixel : 0) * layer.residual_pitch;
        copy_async(memory.middle(turn) + at, from + source + unit * F::kChannels, exists ? 16 : 0);
      });
    }
    const int thread = static_cast<int>(threadIdx.x);
    const uint4* first = reinterpret_cast<const uint4*>(p.first_filters) + static_cast<std::int64_t>(turn) * kTurnItems * layer.chunks * kItemWords;
    for (int word = thread; word < layer.chunks * kTurnItems * kItemWords; word += kThreads) {
      const int chunk = word / (kTurnItems * kItemWords), item = word / kItemWords % kTurnItems;
      copy_async_cached(memory.first_filters(turn) + word * 16, first + (item * layer.chunks + chunk) * kItemWords + word % kItemWords, 16);
    }
    const uint4* second = reinterpret_cast<const uint4*>(p.second_filters) + static_cast<std::int64_t>(turn) * kItemWords;
#pragma unroll
    for (int word = thread; word < kSecondItems * kItemWords; word += kThreads) {
      const int item = word / kItemWords;
      const bool exists = item < layer.second_items;
      copy_async_cached(memory.second_filters(turn) + word * 16, second + (exists ? item : 0) * layer.turns * kItemWords + word % kItemWords, exists ? 16 : 0);
    }
  }

  /// Two channels that lie next to each other, behind the tile's pixels.
  static __device__ std::uint32_t place_of(int pixel, int channel) { return static_cast<std::uint32_t>(channel / F::kChannels * kUnitBytes + pixel * 16 + channel % F::kChannels * static_cast<int>(sizeof(Storage))); }

  /// Sums, bias and, where `kResidual`, what lies at the place already; filters past the last are zeros.
  template <bool kResidual, class Sums>
  static __device__ void finish(const PairOutput& output, const Sums& sums, const float* bias, int first_filter, std::uint32_t to) {
    sums.for_each_pair([&](int pixel, int filter, float first, float second) {
      const int channel = first_filter + filter;
      const std::uint32_t at = to + place_of(pixel, filter);
      std::uint32_t word = 0;
      if constexpr (kResidual) asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(at) : "memory");
      auto* const values = reinterpret_cast<Storage*>(&word);
      const float added[2] = {first, second};
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const bool exists = channel + i < output.filters;
        const float x = added[i] + (bias != nullptr && exists ? bias[channel + i] : 0) + to_float(values[i]);
        values[i] = from_float<Storage>(exists ? activate(output, x) : 0);
      }
      asm volatile("st.shared.u32 [%0], %1;" ::"r"(at), "r"(word) : "memory");
    });
  }

  /// Whole units of the tile's pixels, from `channel` on.
  template <int kUnits>
  static __device__ void write(const PairLayer& layer, const PairOutput& output, void* to, int channel, std::uint32_t from) {
    for_each_unit<kUnits>([&](int pixel, int unit, std::uint32_t at) {
      const int first = channel + unit * F::kChannels;
      if (first_pixel() + pixel >= layer.pixels || first >= output.filters) return;
      const std::int64_t place = static_cast<std::int64_t>(first_pixel() + pixel) * output.pitch + first;
      *reinterpret_cast<uint4*>(static_cast<Storage*>(to) + place) = load_shared(from + at);
    });
  }

  static __device__ void run(const PairLayer& layer, const PairPointers& p) {
    extern __shared__ __align__(128) std::byte shared[];
    const Memory memory(layer, shared_address(shared));
    const bool never = layer.pixels == 0;
    wait_for_predecessor();
    copy_input(layer, p.input, memory.input);
    for (int turn = 0; turn < kStages; ++turn) {
      if (turn < layer.turns) copy_turn(layer, p, memory, turn);
      commit_copies();
    }
    SecondSums second;
    for (int turn = 0; turn < layer.turns; ++turn) {
      wait_for_group<kStages - 1>();
      FirstSums::publish();
      __syncthreads();
      const std::uint32_t middle = memory.middle(turn);
      FirstSums first;
      for (int chunk = 0; chunk < layer.chunks; ++chunk) {
        first.add(memory.input + chunk * kPixelBytes, memory.first_filters(turn) + chunk * kTurnItems * kItemBytes, never, [] {});
      }
      if (p.residual != nullptr) {
        finish<true>(layer.first, first, p.first_bias, turn * kPairMiddle, middle);
      } else {
        finish<false>(layer.first, first, p.first_bias, turn * kPairMiddle, middle);
      }
      __syncthreads();
      second.add(middle, memory.second_filters(turn), never, [&] { write<kChunkUnits>(layer, layer.first, p.middle, turn * kPairMiddle, middle); });
      __syncthreads();
      if (turn + kStages < layer.turns) copy_turn(layer, p, memory, turn + kStages);
      commit_copies();
    }
    let_successor_start();
    finish<false>(layer.second, second, p.second_bias, 0, memory.stages);
    __syncthreads();
    write<Second::kFilters / F::kChannels>(layer, layer.second, p.output, 0, memory.stages);
  }
};

template <Operand kOperand, ProductTile kTile, int kStages>
__global__ void __launch_bounds__(kThreads, kTile == ProductTile::tall && kStages == 2 ? 2 : 1)
    pair_product(const __grid_constant__ PairLayer layer, const __grid_constant__ PairPointers pointers) {
  PairProduct<kOperand, kTile, kStages>::run(layer, pointers);
}

template <Operand kOperand, ProductTile kTile, int kStages>
bool launch_one_pair(const PairCut& cut, const PairLayer& layer, const PairPointers& pointers, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((layer.pixels + kPairPixels - 1) / kPairPixels));
  return launch_early(&pair_product<kOperand, kTile, kStages>, grid, kThreads, cut.shared_bytes, stream, layer, pointers);
}

template <Operand kOperand>
bool launch_pair(const PairCut& cut, const PairLayer& layer, const PairPointers& pointers, cudaStream_t stream) {
  if (cut.tile == ProductTile::wide) {
    return cut.stages == 2 ? launch_one_pair<kOperand, ProductTile::wide, 2>(cut, layer, pointers, stream)
                           : launch_one_pair<kOperand, ProductTile::wide, 3>(cut, layer, pointers, stream);
  }
  return cut.stages == 2 ? launch_one_pair<kOperand, ProductTile::tall, 2>(cut, layer, pointers, stream)
                         : launch_one_pair<kOperand, ProductTile::tall, 3>(cut, layer, pointers, stream);
}

}  // namespace wins::runtime::cuda

#include "implicit_product.hpp"

#include "tensor_core.cuh"

namespace wins::runtime::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kStages = 3;
constexpr int kUnitBytes = kProductPixels * 16 + 16;  ///< 16 more, so that 8 units of a pixel lie in different banks
constexpr int kStageBytes = kChunkUnits * kUnitBytes;
constexpr int kRounds = kProductPixels / (kThreads / kChunkUnits);  ///< pixels that a thread copies a unit of

template <Operand kOperand>
struct Product {
  using F = Format<kOperand>;
  using Storage = typename F::Storage;
  static constexpr int kParts = kOperand == Operand::f32 ? 2 : 1;
  static constexpr int kBlocks = 2;  ///< of 16 pixels, of a warp
  static constexpr int kItems = 4;   ///< of 8 filters, of a warp

  /// An output pixel as this thread copies it: where its window begins.
  struct Window {
    int y, x;
    std::int64_t offset;  ///< elements from the input to (y, x), which may lie outside
  };

  static __device__ void find_windows(const ProductLayer& layer, Window (&windows)[kRounds]) {
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      int x = static_cast<int>(blockIdx.x) * kProductPixels + r * (kThreads / kChunkUnits) + static_cast<int>(threadIdx.x) / kChunkUnits;
      const int image = layer.by_out_image.divide(x);
      const int y = layer.by_out_width.divide(x);
      windows[r].y = image < layer.batch ? y * layer.stride_y - layer.pad_top : -0x40000000;
      windows[r].x = x * layer.stride_x - layer.pad_left;
      const std::int64_t row = static_cast<std::int64_t>(image) * layer.height + windows[r].y;
      windows[r].offset = (row * layer.width + windows[r].x) * layer.input_pitch;
    }
  }

  /// One chunk of one kernel row.
  static __device__ void copy(const ProductLayer& layer, const void* input, const Window (&windows)[kRounds], int kernel_row, int chunk,
                              std::uint32_t stage) {
    int unit = chunk * kChunkUnits + static_cast<int>(threadIdx.x) % kChunkUnits;
    const bool exists = unit < layer.row_units;
    const int column = layer.by_units.divide(unit) * layer.dilation_x, row = kernel_row * layer.dilation_y;
    const std::int64_t within = (static_cast<std::int64_t>(row) * layer.width + column) * layer.input_pitch + unit * F::kChannels;
    const std::uint32_t to = stage + threadIdx.x % kChunkUnits * kUnitBytes + threadIdx.x / kChunkUnits * 16;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      const bool inside = exists && static_cast<unsigned>(windows[r].y + row) < static_cast<unsigned>(layer.height) &&
                          static_cast<unsigned>(windows[r].x + column) < static_cast<unsigned>(layer.width);
      const auto* from = static_cast<const Storage*>(input) + (inside ? windows[r].offset + within : 0);
      copy_async(to + r * (kThreads / kChunkUnits) * 16, from, inside ? 16 : 0);
    }
  }

  static __device__ void multiply(float (&sum)[4], const std::uint32_t (&a)[kParts][4], const std::uint32_t (&b)[kParts][2]) {
    if constexpr (kOperand == Operand::f32) {
      F::multiply(sum, a[1], b[0]);
      F::multiply(sum, a[0], b[1]);
    }
    F::multiply(sum, a[0], b[0]);
  }

  /// A fragment as its parts.
  static __device__ void load(std::uint32_t address, std::uint32_t (&a)[kParts][4]) {
    load_matrices(address, a[0]);
    if constexpr (kOperand == Operand::f32) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const std::uint32_t high = F::round(a[0][i]);
        a[1][i] = F::round(__float_as_uint(__uint_as_float(a[0][i]) - __uint_as_float(high)));
        a[0][i] = high;
      }
    } else if constexpr (kOperand == Operand::tf32) {
#pragma unroll
      for (int i = 0; i < 4; ++i) a[0][i] = F::round(a[0][i]);
    }
  }

  static __device__ void multiply_half(std::uint32_t stage, const uint4* fragments, int item_words, int items, float (&sums)[kBlocks][kItems][4]) {
    uint4 weights[kItems][kParts];
#pragma unroll
    for (int s = 0; s < kItems; ++s) {
#pragma unroll
      for (int part = 0; part < kParts; ++part) weights[s][part] = s < items ? fragments[static_cast<std::size_t>(s) * item_words + part * 32] : uint4{};
    }
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      std::uint32_t a[kBlocks][kParts][4];
#pragma unroll
      for (int block = 0; block < kBlocks; ++block) load(stage + 2 * k * kUnitBytes + block * 256, a[block]);
#pragma unroll
      for (int s = 0; s < kItems; ++s) {
        std::uint32_t b[kParts][2];
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
          b[part][0] = k == 0 ? weights[s][part].x : weights[s][part].z;
          b[part][1] = k == 0 ? weights[s][part].y : weights[s][part].w;
        }
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) multiply(sums[block][s], a[block], b);
      }
    }
  }

  static __device__ float finish(const ProductLayer& layer, float x) {
    if (layer.activation == FusedActivation::none) return x;
    if (layer.activation == FusedActivation::relu) return x < 0 ? 0 : x;
    x = x < 0 ? x * layer.slope : x;
    x = x < layer.low ? layer.low : x;
    return x > layer.high ? layer.high : x;
  }

  /// Two filters of one pixel; those past the last are zeros.
  static __device__ void write(const ProductLayer& layer, const ProductPointers& p, int pixel, int filter, float first, float second) {
    const int count = layer.filters - filter;
    if (p.bias != nullptr) {
      if (count > 0) first += p.bias[filter];
      if (count > 1) second += p.bias[filter + 1];
    }
    if (p.residual != nullptr) {
      const Storage* from = static_cast<const Storage*>(p.residual) + static_cast<std::int64_t>(pixel) * layer.residual_pitch + filter;
      first += static_cast<float>(from[0]);
      second += static_cast<float>(from[1]);
    }
    Storage* to = static_cast<Storage*>(p.output) + static_cast<std::int64_t>(pixel) * layer.output_pitch + filter;
    struct alignas(2 * sizeof(Storage)) Pair {
      Storage first, second;
    };
    *reinterpret_cast<Pair*>(to) = {static_cast<Storage>(count > 0 ? finish(layer, first) : 0.0F),
                                    static_cast<Storage>(count > 1 ? finish(layer, second) : 0.0F)};
  }

  static __device__ void run(const ProductLayer& layer, const ProductPointers& p) {
    extern __shared__ __align__(128) std::byte shared[];
    const std::uint32_t base = shared_address(shared);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    Window windows[kRounds];
    find_windows(layer, windows);

    const int chunks = layer.kernel_rows * layer.row_chunks;
    int row = 0, column = 0;  // of the next chunk to copy
    const auto copy_next = [&](int stage) {
      if (row < layer.kernel_rows) copy(layer, p.input, windows, row, column, base + stage * kStageBytes);
      commit_copies();
      if (++column == layer.row_chunks) {
        column = 0;
        ++row;
      }
    };
    for (int stage = 0; stage < kStages - 1; ++stage) copy_next(stage);

    // Four warps over pixels, two over filters.
    const int first_item = static_cast<int>(blockIdx.y) * (kProductFilters / kItemRows) + warp / 4 * kItems;
    const int items = min(kItems, layer.items - first_item);
    const int item_words = chunks * 2 * kParts * 32;
    const uint4* fragments = reinterpret_cast<const uint4*>(p.fragments) + static_cast<std::size_t>(max(0, first_item)) * item_words + lane;
    const std::uint32_t mine = base + (lane / 16) * kUnitBytes + (warp % 4 * 32 + lane % 16) * 16;
    float sums[kBlocks][kItems][4] = {};
    int stage = 0;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      asm volatile("cp.async.wait_group %0;" ::"n"(kStages - 2) : "memory");
      __syncthreads();
      copy_next(stage == 0 ? kStages - 1 : stage - 1);
      const std::uint32_t from = mine + stage * kStageBytes;
      multiply_half(from, fragments, item_words, items, sums);
      multiply_half(from + 4 * kUnitBytes, fragments + kParts * 32, item_words, items, sums);
      fragments += 2 * kParts * 32;
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }

    const int pixels = layer.batch * layer.out_height * layer.out_width;
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
#pragma unroll
      for (int s = 0; s < kItems; ++s) {
        const int filter = (first_item + s) * kItemRows + lane % 4 * 2;
        // The last unit is written whole.
        if (s >= items || filter >= (layer.filters + F::kChannels - 1) / F::kChannels * F::kChannels) continue;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int pixel = static_cast<int>(blockIdx.x) * kProductPixels + warp % 4 * 32 + block * 16 + half * 8 + lane / 4;
          if (pixel < pixels) write(layer, p, pixel, filter, sums[block][s][2 * half], sums[block][s][2 * half + 1]);
        }
      }
    }
  }
};

template <Operand kOperand>
__global__ void __launch_bounds__(kThreads, 2)
    implicit_product(const __grid_constant__ ProductLayer layer, const __grid_constant__ ProductPointers pointers) {
  Product<kOperand>::run(layer, pointers);
}

template <Operand kOperand>
bool launch(const ProductLayer& layer, const ProductPointers& pointers, cudaStream_t stream) {
  const auto kernel = &implicit_product<kOperand>;
  constexpr int kBytes = kStages * kStageBytes;
  if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes) != cudaSuccess) return false;
  const int pixels = layer.batch * layer.out_height * layer.out_width;
  const dim3 grid(static_cast<unsigned>((pixels + kProductPixels - 1) / kProductPixels),
                  static_cast<unsigned>((layer.items * kItemRows + kProductFilters - 1) / kProductFilters));
  kernel<<<grid, kThreads, kBytes, stream>>>(layer, pointers);
  return cudaPeekAtLastError() == cudaSuccess;
}

}  // namespace

bool launch_implicit_product(Operand operand, const ProductLayer& layer, const ProductPointers& pointers, cudaStream_t stream) {
  switch (operand) {
    case Operand::f16: return launch<Operand::f16>(layer, pointers, stream);
    case Operand::bf16: return launch<Operand::bf16>(layer, pointers, stream);
    case Operand::tf32: return launch<Operand::tf32>(layer, pointers, stream);
    case Operand::f32: return launch<Operand::f32>(layer, pointers, stream);
  }
  return false;
}

}  // namespace wins::runtime::cuda

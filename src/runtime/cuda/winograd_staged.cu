#include "winograd_staged.hpp"

#include "launch_chain.cuh"
#include "nan_order.cuh"
#include "staged_multiply.cuh"
#include "staged_tiles.cuh"
#include "storage.cuh"

namespace wins::runtime::cuda {
namespace {

/// Channels that a thread transforms: as many as its registers hold.
template <class Tile>
inline constexpr int kLanes = Tile::kSize == 4 ? 4 : 2;

/// Lanes of a warp that have neighbouring channels, the others neighbouring tiles: reads of 32 bytes and more, and writes of whole lines.
template <class Tile, class T>
inline constexpr int kAcross = std::max(4, 32 / (kLanes<Tile> * static_cast<int>(sizeof(T))));

/// What moves so many bytes at once.
template <int kBytes>
using Word = std::conditional_t<kBytes == 16, uint4, std::conditional_t<kBytes == 8, uint2, std::uint32_t>>;

template <class T, int kCount>
__device__ Lanes<kCount> load_lanes(const T* from) {
  const auto word = *reinterpret_cast<const Word<sizeof(T) * kCount>*>(from);
  const T* elements = reinterpret_cast<const T*>(&word);
  Lanes<kCount> lanes;
#pragma unroll
  for (int i = 0; i < kCount; ++i) lanes.x[i] = to_float(elements[i]);
  return lanes;
}

template <bool kRound, class T, int kCount>
__device__ void store_lanes(T* to, const Lanes<kCount>& lanes) {
  Word<sizeof(T) * kCount> word;
  T* elements = reinterpret_cast<T*>(&word);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    float x = lanes.x[i];
    // Tensor cores cut off what does not fit TF32.
    if constexpr (kRound) x = __uint_as_float(FloatFormat::round(__float_as_uint(x)));
    elements[i] = from_float<T>(x);
  }
  *reinterpret_cast<Word<sizeof(T) * kCount>*>(to) = word;
}

/// Image, row and column of a tile.
struct TilePlace {
  int image, row, column;
  __device__ TilePlace(const StagedLayer& layer, int tile) {
    column = tile;
    row = layer.by_tile_columns.divide(column);
    image = layer.by_tile_rows.divide(row);
  }
};

/// Warps of a tile, and all of the input transform.
template <class Tile, class T>
struct InputWarps {
  static constexpr int kTiles = 32 / kAcross<Tile, T>;
  int columns;
  std::uint32_t count;
  explicit InputWarps(const StagedLayer& layer)
      : columns((layer.packed_channels / kLanes<Tile> + kAcross<Tile, T> - 1) / kAcross<Tile, T>),
        count(static_cast<std::uint32_t>(columns) * static_cast<std::uint32_t>((layer.tiles() + kTiles - 1) / kTiles)) {}
};

/// A thread takes one tile and a few channels.
template <class Tile, bool kRound, class T>
__global__ void __launch_bounds__(kThreads) staged_input(const __grid_constant__ StagedLayer layer, const T* input, T* V, Divisor by_columns) {
  constexpr int p = Tile::kSize, lanes = kLanes<Tile>, across = kAcross<Tile, T>;
  wait_for_predecessor();
  let_successor_start();
  std::uint32_t warp = blockIdx.x * (kThreads / 32) + threadIdx.x / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int tile = static_cast<int>(by_columns.divide(warp)) * (32 / across) + lane / across;
  const int channel = (static_cast<int>(warp) * across + lane % across) * lanes;
  if (tile >= layer.tiles() || channel >= layer.packed_channels) return;
  const TilePlace at(layer, tile);
  const int top = at.row * Tile::kStep - layer.pad_top, left = at.column * Tile::kStep - layer.pad_left;
  const std::int64_t pixel = (static_cast<std::int64_t>(at.image) * layer.height + top) * layer.width + left;
  const T* row = input + pixel * layer.input_pitch + channel;
  bool inside[p];
#pragma unroll
  for (int j = 0; j < p; ++j) inside[j] = left + j >= 0 && left + j < layer.width;
  Lanes<lanes> d[p][p];
#pragma unroll
  for (int i = 0; i < p; ++i, row += layer.width * layer.input_pitch) {
    const bool real = top + i >= 0 && top + i < layer.height;
#pragma unroll
    for (int j = 0; j < p; ++j) d[i][j] = real && inside[j] ? load_lanes<T, lanes>(row + j * layer.input_pitch) : Lanes<lanes>{};
  }
  Tile::transform(d);
  T* to = V + static_cast<std::int64_t>(tile / kStagedTiles) * kStagedTiles * layer.packed_channels +
          (channel / kUnit<T> * kStagedTiles + tile % kStagedTiles) * kUnit<T> + channel % kUnit<T>;
#pragma unroll
  for (int i = 0; i < p; ++i) {
#pragma unroll
    for (int j = 0; j < p; ++j) {
      if ((layer.alive_mask >> (i * p + j) & 1U) == 0) continue;
      store_lanes<kRound>(to, d[i][j]);
      to += layer.position_elements();
    }
  }
}

template <Operand kOperand, int kRows, class Product>
__global__ void __launch_bounds__(kThreads, StagedMultiply<kOperand, kRows>::kResident)
    staged_products(const __grid_constant__ StagedProducts products, const void* U, const void* V, Product* M) {
  extern __shared__ float4 staged_memory[];
  StagedMultiply<kOperand, kRows>::run(products, U, V, M, reinterpret_cast<float*>(staged_memory));
}

/// The output transform: a block takes 32 tiles and a slice of output channels. A warp inverts a group of channels, a lane one
/// tile, so that all lanes have the same rows; the pixels go through shared memory, so that whole lines are written.
template <class Tile, class T, class Product>
struct StagedFinish {
  static constexpr int p = Tile::kSize, m = Tile::kOutputs;
  static constexpr int kGroup = kStagedGroup;
  static constexpr int kSlice = kThreads / 32 * kGroup;  ///< output channels
  static constexpr int kPitch = kSlice + 4;              ///< floats of a pixel: eight lanes' 16 bytes lie in different banks
  static constexpr int kBytes = m * m * 32 * kPitch * 4;

  /// A^T M A. `M` is that of the lane's tile; rows that are missing are zero.
  static __device__ void invert(const StagedLayer& layer, const Product* M, const std::uint32_t* groups, std::int64_t group_count,
                                float (&y)[m][m][kGroup]) {
    const auto pitch = static_cast<std::uint32_t>(layer.tile_pitch);
    std::uint32_t words[2][p];
    load_words(groups, group_count, words[0]);
#pragma unroll
    for (int i = 0; i < p; ++i) {
      if (i + 1 < p) load_words(groups + (i + 1) * p * group_count, group_count, words[(i + 1) % 2]);
      std::uint32_t any = 0;
#pragma unroll
      for (int j = 0; j < p; ++j) any |= words[i % 2][j];
      if (any == 0) continue;
      float t[m][kGroup] = {};
#pragma unroll
      for (int j = 0; j < p; ++j) {
        const std::uint32_t word = words[i % 2][j];
        std::uint32_t at = (word >> 16) * pitch;
#pragma unroll
        for (int k = 0; k < kGroup; ++k) {
          float x = 0;
          if ((word >> k & 1U) != 0) {
            x = to_float(M[at]);
            at += pitch;
          }
#pragma unroll
          for (int b = 0; b < m; ++b) add_scaled(Tile::A(j, b), x, t[b][k]);
        }
      }
#pragma unroll
      for (int a = 0; a < m; ++a) {
#pragma unroll
        for (int b = 0; b < m; ++b) {
#pragma unroll
          for (int k = 0; k < kGroup; ++k) add_scaled(Tile::A(i, a), t[b][k], y[a][b][k]);
        }
      }
      // Loads of more than a row of positions at once would not find registers.
      asm volatile("" ::: "memory");
    }
  }

  static __device__ void load_words(const std::uint32_t* groups, std::int64_t group_count, std::uint32_t (&words)[p]) {
#pragma unroll
    for (int j = 0; j < p; ++j) words[j] = groups[j * group_count];
  }

  /// Pixels of the lane's tile to shared memory [pixel of a tile][tile][channel].
  static __device__ void stage(const float (&y)[m][m][kGroup], float* shared) {
    float* to = shared + threadIdx.x % 32 * kPitch + threadIdx.x / 32 * kGroup;
#pragma unroll
    for (int q = 0; q < m * m; ++q) {
#pragma unroll
      for (int k = 0; k < kGroup; k += 4) {
        const float(&x)[kGroup] = y[q / m][q % m];
        *reinterpret_cast<float4*>(to + q * 32 * kPitch + k) = float4{x[k], x[k + 1], x[k + 2], x[k + 3]};
      }
    }
  }

  /// Bias, residual and activation of 16 bytes. NaN stays NaN.
  static __device__ void finish_unit(const StagedLayer& layer, const StagedOutput& pointers, int channel, std::int64_t pixel, const float* shared,
                                     const float (&bias)[kUnit<T>], float (&y)[kUnit<T>]) {
    float residual[kUnit<T>] = {};
    if (pointers.residual != nullptr) load_unit(static_cast<const T*>(pointers.residual) + pixel * layer.residual_pitch + channel, residual);
#pragma unroll
    for (int k = 0; k < kUnit<T>; ++k) {
      float x = shared[k] + bias[k] + residual[k];
      if (layer.activation == FusedActivation::relu) x = x < 0 ? 0 : x;
      if (layer.activation == FusedActivation::general) x = clamp(x < 0 ? x * layer.slope : x, layer.low, layer.high);
      y[k] = channel + k < layer.filters ? x : 0;
    }
  }

  /// Writes 16 bytes of a pixel each time, or, where `kPool`, of a window of 2x2 pixels, which is a part of a tile.
  template <bool kPool>
  static __device__ void write(const StagedLayer& layer, const StagedOutput& pointers, const float* shared) {
    constexpr int kUnits = kSlice / kUnit<T>, kWindow = kPool ? 2 : 1, kSide = m / kWindow, kCount = kSide * kSide;
    const int unit = static_cast<int>(threadIdx.x) % kUnits, channel = static_cast<int>(blockIdx.y) * kSlice + unit * kUnit<T>;
    if (channel >= layer.filters) return;
    float bias[kUnit<T>];
#pragma unroll
    for (int k = 0; k < kUnit<T>; ++k) bias[k] = pointers.bias != nullptr && channel + k < layer.filters ? pointers.bias[channel + k] : 0;
    for (int i = static_cast<int>(threadIdx.x) / kUnits; i < kCount * 32; i += kThreads / kUnits) {
      const int q = i % kCount, tile = static_cast<int>(blockIdx.x) * 32 + i / kCount;
      if (tile >= layer.tiles()) return;
      const TilePlace at(layer, tile);
      const int y = at.row * kSide + q / kSide, x = at.column * kSide + q % kSide;
      const int height = kPool ? layer.written_height() : layer.out_height, width = kPool ? layer.written_width() : layer.out_width;
      if (y >= height || x >= width) continue;
      float best[kUnit<T>];
#pragma unroll
      for (int e = 0; e < kWindow * kWindow; ++e) {
        const int row = q / kSide * kWindow + e / kWindow, column = q % kSide * kWindow + e % kWindow;
        const std::int64_t image_row = static_cast<std::int64_t>(at.image) * layer.out_height + y * kWindow + e / kWindow;
        float values[kUnit<T>];
        finish_unit(layer, pointers, channel, image_row * layer.out_width + x * kWindow + e % kWindow,
                    shared + ((row * m + column) * 32 + i / kCount) * kPitch + unit * kUnit<T>, bias, values);
#pragma unroll
        for (int k = 0; k < kUnit<T>; ++k) best[k] = e == 0 ? values[k] : larger(values[k], best[k]);
      }
      const std::int64_t pixel = (static_cast<std::int64_t>(at.image) * height + y) * width + x;
      store_unit(static_cast<T*>(pointers.output) + pixel * layer.output_pitch + channel, best);
    }
  }

  static __device__ void run(const StagedLayer& layer, const StagedOutput& pointers, float* shared) {
    const int group = static_cast<int>(blockIdx.y) * (kSlice / kGroup) + static_cast<int>(threadIdx.x) / 32;
    const std::int64_t group_count = (layer.filters + kGroup - 1) / kGroup;
    if (group < group_count) {
      float y[m][m][kGroup] = {};
      const Product* M = static_cast<const Product*>(pointers.M) + blockIdx.x * 32 + threadIdx.x % 32;
      invert(layer, M, pointers.groups + group, group_count, y);
      stage(y, shared);
    }
    let_successor_start();
    __syncthreads();
    if (layer.max_pool) write<true>(layer, pointers, shared);
    else write<false>(layer, pointers, shared);
  }
};

template <class Tile, class T, class Product>
__global__ void __launch_bounds__(kThreads, Tile::kOutputs == 2 ? 4 : 2)
    staged_output(const __grid_constant__ StagedLayer layer, const __grid_constant__ StagedOutput pointers) {
  extern __shared__ float4 staged_memory[];
  wait_for_predecessor();
  StagedFinish<Tile, T, Product>::run(layer, pointers, reinterpret_cast<float*>(staged_memory));
}

/// Calls `body` with a tile's type.
template <class Body>
bool with_tile(const StagedLayer& layer, const Body& body) {
  if (layer.m == 2 && layer.stride == 1) return body(StagedTile<2, 1>());
  if (layer.m == 2 && layer.stride == 2) return body(StagedTile<2, 2>());
  if (layer.m == 4 && layer.stride == 1) return body(StagedTile<4, 1>());
  return false;
}

template <Operand kOperand, int kRows>
bool launch_products(int m, const StagedProducts& products, const void* weights, const void* V, void* M, cudaStream_t stream) {
  using Multiply = StagedMultiply<kOperand, kRows>;
  const auto run = [&](auto* to) {
    using Product = std::remove_pointer_t<decltype(to)>;
    return launch_early(&staged_products<kOperand, kRows, Product>, dim3(static_cast<unsigned>(products.blocks)), kThreads, Multiply::kBytes, stream,
                        products, weights, V, to);
  };
  return narrow_products(m) ? run(static_cast<typename Multiply::F::Storage*>(M)) : run(static_cast<float*>(M));
}

template <Operand kOperand>
bool launch_cut(int m, const StagedProducts& products, const void* weights, const void* V, void* M, cudaStream_t stream) {
  return products.block_rows == 128 ? launch_products<kOperand, 128>(m, products, weights, V, M, stream)
                                    : launch_products<kOperand, 64>(m, products, weights, V, M, stream);
}

}  // namespace

StagedProducts::StagedProducts(const StagedPack& pack, const StagedLayer& layer) {
  count = static_cast<std::int32_t>(pack.alive.size());
  channels = layer.packed_channels;
  position_elements = layer.position_elements();
  tile_pitch = layer.tile_pitch;
  for (std::size_t i = 0; i < pack.alive.size(); ++i) {
    first_row[i] = pack.alive[i].first_row;
    rows[i] = pack.alive[i].rows;
    first_item[i] = pack.alive[i].first_item;
  }
  // More rows read V less often; but every multiprocessor should have two blocks.
  block_rows = 128;
  cut(layer.tiles());
  if (blocks >= 2 * device().processors && product_shared_bytes(ProductTile::wide, pack.operand) <= device().shared_bytes) return;
  block_rows = 64;
  cut(layer.tiles());
}

void StagedProducts::cut(std::int32_t tiles) {
  blocks = 0;
  // The last chunk of images may have fewer tiles.
  const std::int32_t tile_blocks = (tiles + kStagedTiles - 1) / kStagedTiles;
  for (std::int32_t i = 0; i < count; ++i) {
    first_block[i] = blocks;
    blocks += (rows[i] + block_rows - 1) / block_rows * tile_blocks;
  }
}

bool launch_staged_input(Operand operand, const StagedLayer& layer, const void* input, void* V, cudaStream_t stream) {
  return with_storage(operand, [&](auto type) {
    using T = typename decltype(type)::type;
    return with_tile(layer, [&](auto tile) {
      using Tile = decltype(tile);
      const InputWarps<Tile, T> warps(layer);
      const auto run = [&](auto kernel) {
        constexpr std::uint32_t kBlockWarps = kThreads / 32;
        return launch_early(kernel, dim3((warps.count + kBlockWarps - 1) / kBlockWarps), kThreads, 0, stream, layer, static_cast<const T*>(input),
                            static_cast<T*>(V), Divisor(warps.columns));
      };
      if constexpr (sizeof(T) == 4) {
        if (operand == Operand::tf32) return run(&staged_input<Tile, true, T>);
      }
      return run(&staged_input<Tile, false, T>);
    });
  });
}

bool launch_staged_products(Operand operand, int m, const StagedProducts& products, const void* weights, const void* V, void* M,
                            cudaStream_t stream) {
  switch (operand) {
    case Operand::f16: return launch_cut<Operand::f16>(m, products, weights, V, M, stream);
    case Operand::bf16: return launch_cut<Operand::bf16>(m, products, weights, V, M, stream);
    case Operand::tf32: return launch_cut<Operand::tf32>(m, products, weights, V, M, stream);
    case Operand::f32: return launch_cut<Operand::f32>(m, products, weights, V, M, stream);
  }
  return false;
}

bool launch_staged_output(Operand operand, const StagedLayer& layer, const StagedOutput& pointers, cudaStream_t stream) {
  return with_storage(operand, [&](auto type) {
    using T = typename decltype(type)::type;
    return with_tile(layer, [&](auto tile) {
      using Tile = decltype(tile);
      using Product = std::conditional_t<narrow_products(Tile::kOutputs), T, float>;
      using Finish = StagedFinish<Tile, T, Product>;
      const dim3 grid(static_cast<unsigned>((layer.tiles() + 31) / 32), static_cast<unsigned>((layer.filters + Finish::kSlice - 1) / Finish::kSlice));
      return launch_early(&staged_output<Tile, T, Product>, grid, kThreads, Finish::kBytes, stream, layer, pointers);
    });
  });
}

}  // namespace wins::runtime::cuda

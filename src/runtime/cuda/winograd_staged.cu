#include "winograd_staged.hpp"

#include "staged_tiles.cuh"
#include "storage.cuh"
#include "tensor_core.cuh"

namespace wins::runtime::cuda {
namespace {

/// Channels that a thread transforms: as many as its registers hold.
template <class Tile>
inline constexpr int kLanes = Tile::kSize == 4 ? 4 : 2;
template <class Tile>
inline constexpr int kOutputLanes = Tile::kSize == 6 ? 1 : 2;

/// `kCount` elements, aligned to as many.
template <class T, int kCount>
struct alignas(sizeof(T) * kCount) Pack {
  T x[kCount];
};

template <class T, int kCount>
__device__ Lanes<kCount> load_lanes(const T* from) {
  const auto pack = *reinterpret_cast<const Pack<T, kCount>*>(from);
  Lanes<kCount> lanes;
#pragma unroll
  for (int i = 0; i < kCount; ++i) lanes.x[i] = to_float(pack.x[i]);
  return lanes;
}

template <bool kRound, class T, int kCount>
__device__ void store_lanes(T* to, const Lanes<kCount>& lanes) {
  Pack<T, kCount> pack;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    float x = lanes.x[i];
    // Libraries cut what does not fit TF32 off; here it is rounded.
    if constexpr (kRound) x = __uint_as_float(FloatFormat::round(__float_as_uint(x)));
    pack.x[i] = from_float<T>(x);
  }
  *reinterpret_cast<Pack<T, kCount>*>(to) = pack;
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

__device__ inline void write_pointers(const StagedProducts& products, const StagedLayer& layer, const void* V, int element_bytes) {
  const int i = static_cast<int>(threadIdx.x);
  if (blockIdx.x != 0 || products.weights == nullptr || i >= products.count) return;
  const std::int64_t row = products.first_row[i];
  products.weights[i] = static_cast<const char*>(products.first_weights) + row * products.weight_bytes;
  products.V[i] = static_cast<const char*>(V) + i * layer.position_elements * element_bytes;
  products.M[i] = static_cast<char*>(products.first_M) + row * products.product_bytes;
}

/// A thread takes one tile and a few channels.
template <class Tile, bool kRound, class T>
__global__ void __launch_bounds__(kThreads)
    staged_input(const __grid_constant__ StagedLayer layer, const T* input, T* V, Divisor by_groups, std::uint32_t threads,
                 const __grid_constant__ StagedProducts products) {
  constexpr int p = Tile::kSize, lanes = kLanes<Tile>;
  write_pointers(products, layer, V, sizeof(T));
  std::uint32_t group = blockIdx.x * kThreads + threadIdx.x;
  if (group >= threads) return;
  const int tile = static_cast<int>(by_groups.divide(group)), channel = static_cast<int>(group) * lanes;
  const TilePlace at(layer, tile);
  const int top = at.row * Tile::kStep - layer.pad_top, left = at.column * Tile::kStep - layer.pad_left;
  const T* image = input + static_cast<std::int64_t>(at.image) * layer.height * layer.width * layer.input_pitch + channel;
  Lanes<lanes> d[p][p];
#pragma unroll
  for (int i = 0; i < p; ++i) {
#pragma unroll
    for (int j = 0; j < p; ++j) {
      const int y = top + i, x = left + j;
      const bool inside = y >= 0 && y < layer.height && x >= 0 && x < layer.width;
      d[i][j] = inside ? load_lanes<T, lanes>(image + (y * layer.width + x) * layer.input_pitch) : Lanes<lanes>{};
    }
  }
  Tile::transform(d);
  T* to = V + static_cast<std::int64_t>(tile) * layer.packed_channels + channel;
#pragma unroll
  for (int i = 0; i < p; ++i) {
#pragma unroll
    for (int j = 0; j < p; ++j) {
      if ((layer.alive_mask >> (i * p + j) & 1U) == 0) continue;
      store_lanes<kRound>(to, d[i][j]);
      to += layer.position_elements;
    }
  }
}

/// Bias, residual and activation of a few channels of one pixel. NaN stays NaN.
template <class T, int kCount>
__device__ void finish_lanes(const StagedLayer& layer, int channel, const Lanes<kCount>& bias, const T* residual, Lanes<kCount>& y) {
  if (residual != nullptr) y = add<void>(y, load_lanes<T, kCount>(residual));
#pragma unroll
  for (int k = 0; k < kCount; ++k) {
    float x = y.x[k] + bias.x[k];
    if (layer.activation == FusedActivation::relu) x = x < 0 ? 0 : x;
    if (layer.activation == FusedActivation::general) x = clamp(x < 0 ? x * layer.slope : x, layer.low, layer.high);
    y.x[k] = channel + k < layer.filters ? x : 0;
  }
}

/// A^T M A of one tile, whose channels have the columns given; rows of M that are missing are zero.
template <class Tile, class Product, int kCount>
__device__ void invert(const Product* row, const Pack<std::uint16_t, kCount> (&columns)[Tile::kSize * Tile::kSize],
                       Lanes<kCount> (&y)[Tile::kOutputs][Tile::kOutputs]) {
  constexpr int p = Tile::kSize, m = Tile::kOutputs;
#pragma unroll
  for (int i = 0; i < p; ++i) {
    Lanes<kCount> t[m] = {};
#pragma unroll
    for (int j = 0; j < p; ++j) {
#pragma unroll
      for (int k = 0; k < kCount; ++k) {
        const std::uint32_t column = columns[i * p + j].x[k];
        const float x = column != kNoColumn ? to_float(row[column]) : 0.0F;
#pragma unroll
        for (int b = 0; b < m; ++b) add_scaled(Tile::A(j, b), x, t[b].x[k]);
      }
    }
#pragma unroll
    for (int a = 0; a < m; ++a) {
#pragma unroll
      for (int b = 0; b < m; ++b) {
#pragma unroll
        for (int k = 0; k < kCount; ++k) add_scaled(Tile::A(i, a), t[b].x[k], y[a][b].x[k]);
      }
    }
  }
}

/// A thread takes a few channels of a few tiles, whose columns of M it looks up once.
template <class Tile, class T, class Product>
__global__ void __launch_bounds__(kThreads, Tile::kSize == 4 ? 3 : 2)
    staged_output(const __grid_constant__ StagedLayer layer, const __grid_constant__ StagedOutput pointers, Divisor by_groups,
                  std::uint32_t threads, int tiles_at_once, int tiles) {
  constexpr int p = Tile::kSize, m = Tile::kOutputs, lanes = kOutputLanes<Tile>;
  using Columns = Pack<std::uint16_t, lanes>;
  std::uint32_t group = blockIdx.x * kThreads + threadIdx.x;
  if (group >= threads) return;
  const int first = static_cast<int>(by_groups.divide(group)) * tiles_at_once, channel = static_cast<int>(group) * lanes;
  Columns columns[p * p];
#pragma unroll
  for (int xi = 0; xi < p * p; ++xi) columns[xi] = *reinterpret_cast<const Columns*>(pointers.columns + xi * layer.packed_filters + channel);
  Lanes<lanes> bias;
#pragma unroll
  for (int k = 0; k < lanes; ++k) bias.x[k] = pointers.bias != nullptr && channel + k < layer.filters ? pointers.bias[channel + k] : 0;
  for (int tile = first; tile < min(first + tiles_at_once, tiles); ++tile) {
    Lanes<lanes> y[m][m] = {};
    invert<Tile>(static_cast<const Product*>(pointers.M) + static_cast<std::int64_t>(tile) * layer.rows, columns, y);
    const TilePlace at(layer, tile);
#pragma unroll
    for (int a = 0; a < m; ++a) {
#pragma unroll
      for (int b = 0; b < m; ++b) {
        const int oy = at.row * m + a, ox = at.column * m + b;
        if (oy >= layer.out_height || ox >= layer.out_width) continue;
        const std::int64_t pixel = (static_cast<std::int64_t>(at.image) * layer.out_height + oy) * layer.out_width + ox;
        const T* residual = pointers.residual != nullptr ? static_cast<const T*>(pointers.residual) + pixel * layer.residual_pitch + channel : nullptr;
        finish_lanes(layer, channel, bias, residual, y[a][b]);
        store_lanes<false>(static_cast<T*>(pointers.output) + pixel * layer.output_pitch + channel, y[a][b]);
      }
    }
  }
}

unsigned blocks_of(std::uint32_t threads) { return (threads + kThreads - 1) / kThreads; }

/// Calls `body` with a tile's type.
template <class Body>
bool with_tile(const StagedLayer& layer, const Body& body) {
  if (layer.m == 2 && layer.stride == 1) return body(StagedTile<2, 1>());
  if (layer.m == 2 && layer.stride == 2) return body(StagedTile<2, 2>());
  if (layer.m == 4 && layer.stride == 1) return body(StagedTile<4, 1>());
  return false;
}

}  // namespace

bool launch_staged_input(Operand operand, const StagedLayer& layer, const void* input, void* V, const StagedProducts& products,
                         cudaStream_t stream) {
  return with_storage(operand, [&](auto type) {
    using T = typename decltype(type)::type;
    return with_tile(layer, [&](auto tile) {
      using Tile = decltype(tile);
      const Divisor by_groups(layer.packed_channels / kLanes<Tile>);
      const auto threads = static_cast<std::uint32_t>(layer.tiles()) * static_cast<std::uint32_t>(layer.packed_channels / kLanes<Tile>);
      const auto launch = [&](auto kernel) {
        kernel<<<blocks_of(threads), kThreads, 0, stream>>>(layer, static_cast<const T*>(input), static_cast<T*>(V), by_groups, threads, products);
        return cudaPeekAtLastError() == cudaSuccess;
      };
      if constexpr (sizeof(T) == 4) {
        if (operand == Operand::tf32) return launch(&staged_input<Tile, true, T>);
      }
      return launch(&staged_input<Tile, false, T>);
    });
  });
}

bool launch_staged_output(Operand operand, const StagedLayer& layer, const StagedOutput& pointers, cudaStream_t stream) {
  return with_storage(operand, [&](auto type) {
    using T = typename decltype(type)::type;
    return with_tile(layer, [&](auto tile) {
      using Tile = decltype(tile);
      using Product = std::conditional_t<narrow_products(Tile::kOutputs), T, float>;
      const auto groups = static_cast<std::uint32_t>(layer.packed_filters / kOutputLanes<Tile>), tiles = static_cast<std::uint32_t>(layer.tiles());
      // As many at once as leave the processors full: each group of tiles reads its columns once.
      const std::uint32_t wanted = groups * tiles / (2048U * 2 * static_cast<unsigned>(device().processors));
      const std::uint32_t at_once = std::clamp(wanted, 1U, 8U), threads = (tiles + at_once - 1) / at_once * groups;
      staged_output<Tile, T, Product><<<blocks_of(threads), kThreads, 0, stream>>>(layer, pointers, Divisor(groups), threads,
                                                                                   static_cast<int>(at_once), static_cast<int>(tiles));
      return cudaPeekAtLastError() == cudaSuccess;
    });
  });
}

}  // namespace wins::runtime::cuda

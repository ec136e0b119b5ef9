// SSSE3 gains nothing between the scalar fallback and SSE4.
#define HWY_DISABLED_TARGETS HWY_SSSE3

#include "winograd_kernels.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "winograd_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "bfloat16-inl.hpp"
#include "winograd_transforms-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wins::runtime::cpu::HWY_NAMESPACE {
namespace {

// ---- input ---------------------------------------------------------------------------------------

/// The p x p input pixels of a tile, N channels of each; zeros outside the picture.
template <int kP>
struct Patch {
  const float* data;
  std::int64_t row_pitch, pixel_pitch;  // floats
  std::uint64_t inside;
  const float* zeros;

  template <bool kWhole>
  HWY_INLINE void load_column(int j, Vec* x) const {
    const float* column = data + j * pixel_pitch;
    if constexpr (kWhole) {
      load_rows<kP>(column, row_pitch, x);
    } else {
#pragma GCC unroll 8
      for (int i = 0; i < kP; ++i) {
        const bool in = (inside >> (i * kP + j) & 1) != 0;
        x[i] = hn::LoadU(D(), in ? column + i * row_pitch : zeros);
      }
    }
  }
};

/// V of one tile, N channels: position xi goes to out + xi * N * N.
template <int kTile, int kStride, bool kWhole>
HWY_INLINE void transform_patch(const PairedCoefficients& q, const Patch<kPatchOf<kTile, kStride>>& patch,
                                const bool* live_rows, float* HWY_RESTRICT temporary,
                                float* HWY_RESTRICT out) {
  constexpr int kP = kPatchOf<kTile, kStride>;
  const D d;
  if constexpr (kTile == 2) {  // all of it fits in registers
    Vec t[kP][kP];
#pragma GCC unroll 5
    for (int j = 0; j < kP; ++j) {
      Vec x[kP], column[kP];
      patch.template load_column<kWhole>(j, x);
      forward<kTile, kStride>(q, x, column);
#pragma GCC unroll 5
      for (int i = 0; i < kP; ++i) t[i][j] = column[i];
    }
#pragma GCC unroll 5
    for (int i = 0; i < kP; ++i) {
      if (!live_rows[i]) continue;
      Vec row[kP];
      forward<kTile, kStride>(q, t[i], row);
#pragma GCC unroll 5
      for (int j = 0; j < kP; ++j) hn::Store(row[j], d, out + (i * kP + j) * kLanes * kLanes);
    }
  } else {
    for (int j = 0; j < kP; ++j) {
      Vec x[kP], column[kP];
      patch.template load_column<kWhole>(j, x);
      forward<kTile, kStride>(q, x, column);
#pragma GCC unroll 8
      for (int i = 0; i < kP; ++i) hn::Store(column[i], d, temporary + (i * kP + j) * kLanes);
    }
    for (int i = 0; i < kP; ++i) {
      if (!live_rows[i]) continue;
      Vec x[kP], row[kP];
      load_rows<kP>(temporary + i * kP * kLanes, kLanes, x);
      forward<kTile, kStride>(q, x, row);
#pragma GCC unroll 8
      for (int j = 0; j < kP; ++j) hn::Store(row[j], d, out + (i * kP + j) * kLanes * kLanes);
    }
  }
}

/// Start of lane group `v` inside the panels of one slot, and the pitch between channels there.
struct PanelPart {
  std::int64_t offset, pitch;
};
HWY_INLINE PanelPart panel_part(int v, int vectors, std::int64_t panel_rows) {
  const bool paired = (v | 1) < vectors;
  const std::int64_t pair_start = std::int64_t{v / 2} * 2 * kLanes * panel_rows;
  return {pair_start + (paired ? (v % 2) * kLanes : 0), paired ? 2 * kLanes : kLanes};
}

template <int kTile, int kStride>
void transform_input_tile(const InputTask& task) {
  constexpr int kP = kPatchOf<kTile, kStride>;
  const D d;
  const WinogradGeometry& g = *task.geometry;
  const std::int64_t panel_rows = g.in_blocks() * g.block;
  const std::int64_t slot_size = panel_rows * task.vectors * kLanes;
  float* tiles = task.scratch;
  float* temporary = tiles + kP * kP * kLanes * kLanes;
  HWY_ALIGN float zeros[kLanes] = {};
  bool live_rows[kP];
  for (int i = 0; i < kP; ++i) {
    live_rows[i] =
        std::any_of(task.slots + i * kP, task.slots + (i + 1) * kP, [](std::int32_t s) { return s >= 0; });
  }
  const std::int64_t plane_size = g.in_height * g.in_width * g.block;
  for (std::int64_t c = task.first_block * g.block; c < task.last_block * g.block; c += kLanes) {
    const float* x = task.x + c / g.block * plane_size + c % g.block;
    for (int v = 0; v < task.vectors; ++v) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const TilePosition& tile = task.tiles[v * kLanes + lane];
        if (tile.written == 0) continue;  // whatever lies in this lane is never written out
        const Patch<kP> patch{x + tile.input, g.in_width * g.block, g.block, tile.inside, zeros};
        float* to = tiles + lane * kLanes;
        if (tile.inside == all_pixels(kP * kP)) {
          transform_patch<kTile, kStride, true>(*task.coefficients, patch, live_rows, temporary, to);
        } else {
          transform_patch<kTile, kStride, false>(*task.coefficients, patch, live_rows, temporary, to);
        }
      }
      const PanelPart part = panel_part(v, task.vectors, panel_rows);
      for (int xi = 0; xi < kP * kP; ++xi) {
        const std::int32_t slot = task.slots[xi];
        if (slot < 0) continue;
        Vec rows[kLanes];
        load_transposed(tiles + xi * kLanes * kLanes, kLanes, rows);
        float* panel = task.v + slot * slot_size + part.offset;
        if (task.columns == nullptr) {
#pragma GCC unroll 16
          for (int i = 0; i < kLanes; ++i) hn::Store(rows[i], d, panel + (c + i) * part.pitch);
        } else {
          const std::int32_t* to = task.columns + slot * panel_rows + c;
#pragma GCC unroll 16
          for (int i = 0; i < kLanes; ++i) {
            if (to[i] >= 0) hn::Store(rows[i], d, panel + to[i] * part.pitch);
          }
        }
      }
    }
  }
}

void transform_input(const InputTask& task) {
  // Lanes without a tile keep what an earlier block left; it must be finite, hence zero at first.
  const int p = task.geometry->p();
  if (task.tiles[task.vectors * kLanes - 1].written == 0) {
    std::fill_n(task.scratch, p * p * kLanes * kLanes, 0.0F);
  }
  if (task.geometry->stride == 2) return transform_input_tile<2, 2>(task);
  switch (task.geometry->m) {
    case 2:
      return transform_input_tile<2, 1>(task);
    case 4:
      return transform_input_tile<4, 1>(task);
    default:
      return transform_input_tile<6, 1>(task);
  }
}

// ---- multiply ------------------------------------------------------------------------------------

#if HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM_A64
inline constexpr int kMaxRows = 12;  // 24 accumulators of 32 registers
#else
inline constexpr int kMaxRows = 6;  // 12 of 16
#endif

/// Bytes between the weights in use and those fetched: the hardware's prefetcher alone reaches half
/// the memory's bandwidth here, since a weight is used as soon as it comes.
inline constexpr std::int64_t kPrefetch = 3072;

template <class Weight, int kRows, int kVectors>
void multiply_rows(const Weight* HWY_RESTRICT u, const float* HWY_RESTRICT v, std::int64_t columns,
                   float* HWY_RESTRICT m, std::int64_t pitch) {
  const D d;
  Vec sum[kRows][kVectors];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) sum[r][j] = hn::Zero(d);
  }
  for (std::int64_t c = 0; c < columns; ++c, u += kRows, v += kVectors * kLanes) {
    Vec x[kVectors];
    load_rows<kVectors>(v, kLanes, x);
    __builtin_prefetch(reinterpret_cast<const char*>(u) + kPrefetch);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const Vec weight = broadcast_weight(d, u + r);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sum[r][j] = hn::MulAdd(weight, x[j], sum[r][j]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) hn::Store(sum[r][j], d, m + r * pitch + j * kLanes);
  }
}

template <class Weight>
using RowsFunction = void (*)(const Weight*, const float*, std::int64_t, float*, std::int64_t);

template <class Weight, int kVectors, int... kIndex>
constexpr std::array<RowsFunction<Weight>, sizeof...(kIndex)> rows_functions(std::integer_sequence<int, kIndex...>) {
  return {&multiply_rows<Weight, kIndex + 1, kVectors>...};
}

template <class Weight>
void multiply_groups(const MultiplyTask& task, const Weight* weights) {
  static constexpr auto kSingle = rows_functions<Weight, 1>(std::make_integer_sequence<int, kMaxRows>());
  static constexpr auto kPair = rows_functions<Weight, 2>(std::make_integer_sequence<int, kMaxRows>());
  const std::int64_t pitch = std::int64_t{task.vectors} * kLanes;
  for (std::int64_t i = 0; i < task.group_count; ++i) {
    const RowGroup& group = task.groups[i];
    const Weight* u = weights + group.offset;
    const float* v = task.v + group.slot * task.panel_rows * pitch;
    float* m = task.m + group.first_row * pitch;
    const auto index = static_cast<std::size_t>(group.rows - 1);
    int done = 0;
    for (; done + 2 <= task.vectors; done += 2) {
      kPair[index](u, v + done * kLanes * task.panel_rows, group.columns, m + done * kLanes, pitch);
    }
    if (done < task.vectors) {
      kSingle[index](u, v + done * kLanes * task.panel_rows, group.columns, m + done * kLanes, pitch);
    }
  }
}

void multiply(const MultiplyTask& task) {
  task.halves != nullptr ? multiply_groups(task, task.halves) : multiply_groups(task, task.weights);
}

/// One CSR row times the panels; two chains of additions hide the latency.
template <int kVectors>
void multiply_csr_row(const float* HWY_RESTRICT weights, const std::int32_t* HWY_RESTRICT indices,
                      std::int64_t count, const float* HWY_RESTRICT v, float* HWY_RESTRICT m) {
  const D d;
  Vec even[kVectors], odd[kVectors];
  for (int j = 0; j < kVectors; ++j) even[j] = odd[j] = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 2 <= count; i += 2) {
    const float* first = v + std::int64_t{indices[i]} * kVectors * kLanes;
    const float* second = v + std::int64_t{indices[i + 1]} * kVectors * kLanes;
    for (int j = 0; j < kVectors; ++j) {
      even[j] = hn::MulAdd(hn::Set(d, weights[i]), hn::Load(d, first + j * kLanes), even[j]);
      odd[j] = hn::MulAdd(hn::Set(d, weights[i + 1]), hn::Load(d, second + j * kLanes), odd[j]);
    }
  }
  if (i < count) {
    const float* first = v + std::int64_t{indices[i]} * kVectors * kLanes;
    for (int j = 0; j < kVectors; ++j) {
      even[j] = hn::MulAdd(hn::Set(d, weights[i]), hn::Load(d, first + j * kLanes), even[j]);
    }
  }
  for (int j = 0; j < kVectors; ++j) hn::Store(hn::Add(even[j], odd[j]), d, m + j * kLanes);
}

void multiply_sparse(const MultiplyTask& task) {
  const std::int64_t pitch = std::int64_t{task.vectors} * kLanes;
  for (std::int64_t i = 0; i < task.group_count; ++i) {
    const RowGroup& row = task.groups[i];
    const float* weights = task.weights + row.offset;
    const std::int32_t* indices = task.indices + row.offset;
    const float* v = task.v + row.slot * task.panel_rows * pitch;
    float* m = task.m + row.first_row * pitch;
    int done = 0;
    for (; done + 2 <= task.vectors; done += 2) {
      multiply_csr_row<2>(weights, indices, row.columns, v + done * kLanes * task.panel_rows,
                          m + done * kLanes);
    }
    if (done < task.vectors) {
      multiply_csr_row<1>(weights, indices, row.columns, v + done * kLanes * task.panel_rows,
                          m + done * kLanes);
    }
  }
}

// ---- output --------------------------------------------------------------------------------------

/// Y of one channel, N tiles: output pixel e of the tile goes to out + e * N * N.
template <int kTile, int kStride>
HWY_INLINE void transform_channel(const PairedCoefficients& q, const float* m, std::int64_t pitch,
                                  const std::int32_t* m_rows, float* HWY_RESTRICT temporary,
                                  float* HWY_RESTRICT out) {
  constexpr int kP = kPatchOf<kTile, kStride>;
  const D d;
  if constexpr (kTile == 2) {
    Vec t[kTile][kP];
#pragma GCC unroll 5
    for (int j = 0; j < kP; ++j) {
      Vec x[kP], column[kTile];
#pragma GCC unroll 5
      for (int i = 0; i < kP; ++i) x[i] = hn::Load(d, m + m_rows[i * kP + j] * pitch);
      inverse<kTile, kStride>(q, x, column);
#pragma GCC unroll 2
      for (int a = 0; a < kTile; ++a) t[a][j] = column[a];
    }
#pragma GCC unroll 2
    for (int a = 0; a < kTile; ++a) {
      Vec row[kTile];
      inverse<kTile, kStride>(q, t[a], row);
#pragma GCC unroll 2
      for (int b = 0; b < kTile; ++b) hn::Store(row[b], d, out + (a * kTile + b) * kLanes * kLanes);
    }
  } else {
    for (int j = 0; j < kP; ++j) {
      Vec x[kP], column[kTile];
#pragma GCC unroll 8
      for (int i = 0; i < kP; ++i) x[i] = hn::Load(d, m + m_rows[i * kP + j] * pitch);
      inverse<kTile, kStride>(q, x, column);
#pragma GCC unroll 6
      for (int a = 0; a < kTile; ++a) hn::Store(column[a], d, temporary + (a * kP + j) * kLanes);
    }
    for (int a = 0; a < kTile; ++a) {
      Vec x[kP], row[kTile];
      load_rows<kP>(temporary + a * kP * kLanes, kLanes, x);
      inverse<kTile, kStride>(q, x, row);
#pragma GCC unroll 6
      for (int b = 0; b < kTile; ++b) hn::Store(row[b], d, out + (a * kTile + b) * kLanes * kLanes);
    }
  }
}

/// What a layer adds to its output before it is written: bias, residual, activation.
struct Epilogue {
  Vec bias;
  const float* residual;  // or null
  OutputActivation activation;
  hn::Mask<D> channels;
  bool all_channels;

  template <OutputActivation::Kind kKind, bool kResidual>
  HWY_INLINE Vec apply(Vec value, std::int64_t residual_at) const {
    const D d;
    value = hn::Add(value, bias);
    if constexpr (kResidual) value = hn::Add(value, hn::LoadU(d, residual + residual_at));
    if constexpr (kKind == OutputActivation::Kind::clamp) {
      value = hn::Min(hn::Max(value, hn::Set(d, activation.low)), hn::Set(d, activation.high));
    } else if constexpr (kKind == OutputActivation::Kind::leaky) {
      value = hn::IfThenElse(hn::Lt(value, hn::Zero(d)), hn::Mul(value, hn::Set(d, activation.alpha)), value);
    }
    return all_channels ? value : hn::IfThenElseZero(channels, value);  // padded channels stay zero
  }
};

/// Writes output pixel e of N tiles from [channel][tile].
template <OutputActivation::Kind kKind, bool kResidual>
HWY_INLINE void write_pixel(const Epilogue& epilogue, const float* pixel, const TilePosition* tiles, int e,
                            std::int64_t shift, float* y) {
  const D d;
  Vec rows[kLanes];
  load_transposed(pixel, kLanes, rows);
#pragma GCC unroll 16
  for (int lane = 0; lane < kLanes; ++lane) {
    if ((tiles[lane].written >> e & 1) == 0) continue;
    const Vec value = epilogue.apply<kKind, kResidual>(rows[lane], tiles[lane].residual + shift);
    hn::StoreU(value, d, y + tiles[lane].output + shift);
  }
}

template <int kTile, int kStride, OutputActivation::Kind kKind, bool kResidual>
void transform_output_tile(const OutputTask& task) {
  constexpr int kP = kPatchOf<kTile, kStride>;
  const D d;
  const WinogradGeometry& g = *task.geometry;
  const std::int64_t pitch = std::int64_t{task.vectors} * kLanes;
  const std::int64_t plane_size = g.out_height * g.out_width * g.block;
  float* pixels = task.scratch;
  float* temporary = pixels + kP * kP * kLanes * kLanes;
  const std::int64_t first_channel = task.first_block * g.block;
  for (std::int64_t k = first_channel; k < task.last_block * g.block; k += kLanes) {
    const auto valid = static_cast<std::size_t>(std::clamp<std::int64_t>(g.out_channels - k, 0, kLanes));
    const std::int64_t plane = k / g.block * plane_size + k % g.block;
    const Epilogue epilogue{hn::Load(d, task.bias + k), kResidual ? task.residual + plane : nullptr,
                            task.activation, hn::FirstN(d, valid), valid == kLanes};
    for (int v = 0; v < task.vectors; ++v) {
      for (int i = 0; i < kLanes; ++i) {
        transform_channel<kTile, kStride>(*task.coefficients, task.m + v * kLanes, pitch,
                                 task.m_rows + (k - first_channel + i) * kP * kP, temporary,
                                 pixels + i * kLanes);
      }
      for (int e = 0; e < kTile * kTile; ++e) {
        const std::int64_t shift = (e / kTile * g.out_width + e % kTile) * g.block;
        write_pixel<kKind, kResidual>(epilogue, pixels + e * kLanes * kLanes, task.tiles + v * kLanes, e,
                                      shift, task.y + plane);
      }
    }
  }
}

template <int kTile, int kStride>
void transform_output_as(const OutputTask& task) {
  using Kind = OutputActivation::Kind;
  const bool residual = task.residual != nullptr;
  switch (task.activation.kind) {
    case Kind::clamp:
      return residual ? transform_output_tile<kTile, kStride, Kind::clamp, true>(task)
                      : transform_output_tile<kTile, kStride, Kind::clamp, false>(task);
    case Kind::leaky:
      return residual ? transform_output_tile<kTile, kStride, Kind::leaky, true>(task)
                      : transform_output_tile<kTile, kStride, Kind::leaky, false>(task);
    default:
      return residual ? transform_output_tile<kTile, kStride, Kind::none, true>(task)
                      : transform_output_tile<kTile, kStride, Kind::none, false>(task);
  }
}

void transform_output(const OutputTask& task) {
  if (task.geometry->stride == 2) return transform_output_as<2, 2>(task);
  switch (task.geometry->m) {
    case 2:
      return transform_output_as<2, 1>(task);
    case 4:
      return transform_output_as<4, 1>(task);
    default:
      return transform_output_as<6, 1>(task);
  }
}

}  // namespace

const WinogradKernels& kernels() {
  static const WinogradKernels result{hwy::TargetName(HWY_TARGET),
                                      kLanes,
                                      kMaxRows,
                                      &transform_input,
                                      &multiply,
                                      &multiply_sparse,
                                      &transform_output};
  return result;
}

}  // namespace wins::runtime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wins::runtime::cpu {

HWY_EXPORT(kernels);

const WinogradKernels& winograd_kernels() {
  return HWY_DYNAMIC_DISPATCH(kernels)();
}

}  // namespace wins::runtime::cpu
#endif

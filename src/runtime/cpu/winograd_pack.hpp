// Winograd-domain weights in the order in which the kernels read them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "aligned.hpp"
#include "winograd_kernels.hpp"
#include "wins/base/tensor.hpp"
#include "wins/runtime/session.hpp"
#include "wins/winograd/mask.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cpu {

/// All kept weights of one layer, cut into chunks of output channels. Inside a chunk the kept rows
/// of all positions form one list of groups: uneven positions cost no padding, and a position
/// without rows does not exist.
struct PackedWinograd {
  struct Chunk {
    std::int64_t first_group = 0, group_count = 0;
    std::int64_t first_block = 0, last_block = 0;  ///< output channel blocks
    std::int64_t rows = 0;                         ///< of M, the zero row included
    std::int64_t weights = 0;
  };
  int block = 16;
  bool sparse = false;
  PairedCoefficients coefficients;
  std::vector<std::int32_t> slots;    ///< [p * p], -1 for dead positions
  int live = 0;                       ///< positions that are not dead
  std::vector<std::int32_t> columns;  ///< [slot][padded C] for column masks, else empty
  std::vector<Chunk> chunks;
  std::vector<RowGroup> groups;
  AlignedFloats weights;
  bool halved = false;                ///< weights are bfloat16, overlapping
  std::vector<std::int32_t> indices;  ///< of sparse rows
  std::vector<std::int32_t> m_rows;   ///< [padded K][p * p]
  std::int64_t rows = 0;              ///< kept, over all chunks
  std::int64_t weight_count = 0;      ///< multiplications per tile

  std::int64_t most_rows() const;  ///< of M, over the chunks
  std::size_t byte_size() const;
};

/// The coefficients of `algorithm`, or nothing when its matrices are not of a form that the kernels
/// use: paired, or for stride 2 (which has no coefficients) the one with even inputs first.
std::optional<PairedCoefficients> paired_coefficients(const winograd::Algorithm& algorithm);

/// For whom weights are packed, on how many threads, and how they are stored.
struct PackTarget {
  int block;
  const WinogradKernels& kernels;
  int threads = 1;
  WeightStorage storage = WeightStorage::f32;  ///< CSR rows are float32 always
};

/// Transforms and packs filters [K, C, 3, 3] with nothing pruned: each value of U computed in double
/// and rounded once, as `winograd::transform_weights` does.
PackedWinograd pack_filters(const Tensor& filters, const winograd::Algorithm& algorithm, const PackTarget& target);

/// Packs U [p*p, K, C] under `mask` for the dense row kernel: kept rows in full, or for column
/// masks all rows without the pruned columns. Kept rows of an element mask carry its zeros.
PackedWinograd pack_rows(const Tensor& U, const winograd::Mask& mask, const winograd::Algorithm& algorithm,
                         const PackTarget& target);

/// Packs the kept weights alone, one CSR row for each row of a position.
PackedWinograd pack_csr(const Tensor& U, const winograd::Mask& mask, const winograd::Algorithm& algorithm,
                        const PackTarget& target);

}  // namespace wins::runtime::cpu

#include "winograd_pack.hpp"

#include <algorithm>
#include <numeric>

#include "bfloat16.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::cpu {
namespace {

using winograd::Axis;
using winograd::Mask;

/// Rows of M that a chunk may have: 128 KiB for blocks of 32 tiles.
constexpr std::int64_t kChunkRows = 1024;
constexpr std::int64_t kMostChunks = 8;

bool row_kept(const Mask& mask, int xi, std::int64_t k) {
  if (mask.axis == Axis::row) return mask.kept(xi, k);
  if (mask.axis == Axis::column) return mask.kept_in(xi) > 0;
  const auto begin = mask.keep.begin() + (xi * mask.rows + k) * mask.columns;
  return std::any_of(begin, begin + mask.columns, [](std::uint8_t keep) { return keep != 0; });
}

/// Packs one layer; `Packer` lives only while `pack_*` runs.
class Packer {
 public:
  Packer(const Tensor& U, const Mask& mask, const winograd::Algorithm& algorithm, int block,
         const WinogradKernels& kernels)
      : mask_(mask), u_(U.data<float>().data()), kernels_(kernels), K_(mask.rows), C_(mask.columns) {
    const int positions = algorithm.positions();
    require(U.shape() == Shape{positions, K_, C_} && mask.positions == positions,
            "winograd: weights {} and a mask of {} positions, {} x {} do not fit F({},3)",
            to_string(U.shape()), mask.positions, K_, C_, algorithm.m);
    out_.block = block;
    const auto coefficients = paired_coefficients(algorithm);
    require(coefficients.has_value(), "winograd: F({},3) has no paired form", algorithm.m);
    out_.coefficients = *coefficients;
    find_rows();
  }

  PackedWinograd run(bool sparse, WeightStorage storage) {
    out_.sparse = sparse;
    if (mask_.axis == Axis::column && !sparse) number_columns();
    out_.m_rows.assign(static_cast<std::size_t>(round_up(K_, out_.block) * mask_.positions), 0);
    for (const auto& [first, last] : cut()) add_chunk(first, last);
    out_.halved = storage == WeightStorage::bf16;
    out_.weights = out_.halved ? pack_overlapping(values_) : pack_floats(values_);
    out_.weight_count = static_cast<std::int64_t>(values_.size());
    return std::move(out_);
  }

 private:
  /// Which rows are kept, and which positions have any.
  void find_rows() {
    kept_.resize(static_cast<std::size_t>(mask_.positions * K_));
    out_.slots.assign(static_cast<std::size_t>(mask_.positions), -1);
    for (int xi = 0; xi < mask_.positions; ++xi) {
      bool any = false;
      for (std::int64_t k = 0; k < K_; ++k) {
        const bool kept = row_kept(mask_, xi, k);
        kept_[static_cast<std::size_t>(xi * K_ + k)] = kept;
        any |= kept;
        out_.rows += kept;
      }
      if (any) out_.slots[static_cast<std::size_t>(xi)] = out_.live++;
    }
  }

  void number_columns() {
    const std::int64_t padded = round_up(C_, out_.block);
    out_.columns.assign(static_cast<std::size_t>(out_.live * padded), -1);
    for (int xi = 0; xi < mask_.positions; ++xi) {
      const std::int32_t slot = out_.slots[static_cast<std::size_t>(xi)];
      if (slot < 0) continue;
      std::int32_t next = 0;
      for (std::int64_t c = 0; c < C_; ++c) {
        if (mask_.kept(xi, c)) out_.columns[static_cast<std::size_t>(slot * padded + c)] = next++;
      }
    }
  }

  std::int64_t rows_of_block(std::int64_t block) const {
    std::int64_t count = 0;
    for (int xi = 0; xi < mask_.positions; ++xi) {
      for (std::int64_t k = block * out_.block; k < std::min(K_, (block + 1) * out_.block); ++k) {
        count += kept_[static_cast<std::size_t>(xi * K_ + k)];
      }
    }
    return count;
  }

  /// Ranges of output channel blocks, with about equally many rows each: few enough that groups
  /// stay full, enough that M stays in cache and that threads can share a small image.
  std::vector<std::pair<std::int64_t, std::int64_t>> cut() const {
    const std::int64_t blocks = divide_up(K_, out_.block);
    const std::int64_t full_groups = std::int64_t{std::max(1, out_.live)} * kernels_.max_rows;
    const std::int64_t for_threads = std::min(kMostChunks, out_.rows / full_groups);
    const std::int64_t count =
        std::clamp<std::int64_t>(std::max(divide_up(out_.rows, kChunkRows), for_threads), 1, blocks);
    std::vector<std::pair<std::int64_t, std::int64_t>> ranges;
    std::int64_t first = 0, seen = 0;
    for (std::int64_t block = 0; block < blocks; ++block) {
      seen += rows_of_block(block);
      const auto done = static_cast<std::int64_t>(ranges.size()) + 1;
      if (block + 1 == blocks || (seen * count >= out_.rows * done && done < count)) {
        ranges.emplace_back(first, block + 1);
        first = block + 1;
      }
    }
    return ranges;
  }

  void add_chunk(std::int64_t first_block, std::int64_t last_block) {
    PackedWinograd::Chunk chunk;
    chunk.first_group = static_cast<std::int64_t>(out_.groups.size());
    chunk.first_block = first_block;
    chunk.last_block = last_block;
    chunk.rows = 1;
    const auto before = static_cast<std::int64_t>(values_.size());
    for (int xi = 0; xi < mask_.positions; ++xi) {
      std::vector<std::int64_t> rows;
      for (std::int64_t k = first_block * out_.block; k < std::min(K_, last_block * out_.block); ++k) {
        if (!kept_[static_cast<std::size_t>(xi * K_ + k)]) continue;
        out_.m_rows[static_cast<std::size_t>(k * mask_.positions + xi)] =
            static_cast<std::int32_t>(chunk.rows + static_cast<std::int64_t>(rows.size()));
        rows.push_back(k);
      }
      add_rows(xi, rows, chunk);
    }
    chunk.group_count = static_cast<std::int64_t>(out_.groups.size()) - chunk.first_group;
    chunk.weights = static_cast<std::int64_t>(values_.size()) - before;
    out_.chunks.push_back(chunk);
  }

  /// Groups of nearly equal height for the rows of one position.
  void add_rows(int xi, const std::vector<std::int64_t>& rows, PackedWinograd::Chunk& chunk) {
    const auto total = static_cast<std::int64_t>(rows.size());
    const std::int64_t count = out_.sparse ? total : divide_up(total, kernels_.max_rows);
    for (std::int64_t g = 0; g < count; ++g) {
      const std::int64_t first = total * g / count, last = total * (g + 1) / count;
      RowGroup group;
      group.slot = out_.slots[static_cast<std::size_t>(xi)];
      group.rows = static_cast<std::int32_t>(last - first);
      group.first_row = static_cast<std::int32_t>(chunk.rows);
      group.offset = static_cast<std::int64_t>(values_.size());
      group.columns = out_.sparse ? add_csr_row(xi, rows[static_cast<std::size_t>(first)])
                                  : add_dense(xi, {rows.begin() + first, rows.begin() + last});
      chunk.rows += last - first;
      out_.groups.push_back(group);
    }
  }

  float weight(int xi, std::int64_t k, std::int64_t c) const { return u_[(xi * K_ + k) * C_ + c]; }

  std::int32_t add_dense(int xi, const std::vector<std::int64_t>& rows) {
    std::int32_t columns = 0;
    for (std::int64_t c = 0; c < C_; ++c) {
      if (mask_.axis == Axis::column && !mask_.kept(xi, c)) continue;
      for (const std::int64_t k : rows)
        values_.push_back(mask_.weight_kept(xi, k, c) ? weight(xi, k, c) : 0.0F);
      ++columns;
    }
    return columns;
  }

  std::int32_t add_csr_row(int xi, std::int64_t k) {
    std::int32_t count = 0;
    for (std::int64_t c = 0; c < C_; ++c) {
      if (!mask_.weight_kept(xi, k, c)) continue;
      values_.push_back(weight(xi, k, c));
      out_.indices.push_back(static_cast<std::int32_t>(c));
      ++count;
    }
    return count;
  }

  const Mask& mask_;
  const float* u_;
  const WinogradKernels& kernels_;
  std::int64_t K_, C_;
  std::vector<std::uint8_t> kept_;  // [xi][k]
  std::vector<float> values_;
  PackedWinograd out_;
};

/// B and A rebuilt from the coefficients are those of the algorithm.
bool reproduces(const PairedCoefficients& q, const winograd::Algorithm& algorithm) {
  const int p = algorithm.p();
  const auto same = [](double a, double b) { return static_cast<float>(a) == static_cast<float>(b); };
  const auto at = [](int i) { return static_cast<std::size_t>(i); };
  for (int y = 0; y < p; ++y) {
    const bool is_even = y % 2 == 0;
    if (!same(algorithm.B(y, 0), is_even ? q.first[at(y / 2)] : 0)) return false;
    if (!same(algorithm.B(y, p - 1), is_even ? 0 : q.last[at(y / 2)])) return false;
    for (int pair = 0; pair < p / 2 - 1; ++pair) {
      float part = 0;
      if (is_even && y >= 2) part = q.even[at(pair)][at(y / 2 - 1)];
      if (!is_even && y < p - 1) part = q.odd[at(pair)][at(y / 2)];
      if (!same(algorithm.B(y, 1 + 2 * pair), part)) return false;
      if (!same(algorithm.B(y, 2 + 2 * pair), is_even ? part : -part)) return false;
    }
  }
  for (int a = 0; a < algorithm.m; ++a) {
    if (!same(algorithm.A(0, a), a == 0) || !same(algorithm.A(p - 1, a), a == algorithm.m - 1)) return false;
    for (int pair = 0; pair < p / 2 - 1; ++pair) {
      const float power = q.power[at(a)][at(pair)];
      if (a == 0 && power != 1) return false;
      if (!same(algorithm.A(1 + 2 * pair, a), power)) return false;
      if (!same(algorithm.A(2 + 2 * pair, a), a % 2 == 0 ? power : -power)) return false;
    }
  }
  return true;
}

/// The transforms of stride 2 as the kernels have them: B^T x = (x0 - x2, x2, x2 - x4, x1, x3).
bool is_strided_form(const winograd::Algorithm& algorithm) {
  constexpr double kB[5][5] = {{1, 0, -1, 0, 0}, {0, 0, 1, 0, 0}, {0, 0, 1, 0, -1}, {0, 1, 0, 0, 0}, {0, 0, 0, 1, 0}};
  constexpr double kA[2][5] = {{1, 1, 0, 1, 0}, {0, 1, -1, 0, 1}};
  if (algorithm.m != 2 || algorithm.p() != 5) return false;
  for (int product = 0; product < 5; ++product) {
    for (int y = 0; y < 5; ++y) {
      if (algorithm.B(y, product) != kB[product][y]) return false;
    }
    for (int a = 0; a < 2; ++a) {
      if (algorithm.A(product, a) != kA[a][product]) return false;
    }
  }
  return true;
}

}  // namespace

std::int64_t PackedWinograd::most_rows() const {
  std::int64_t most = 1;
  for (const Chunk& chunk : chunks) most = std::max(most, chunk.rows);
  return most;
}

std::size_t PackedWinograd::byte_size() const {
  return weights.byte_size() + groups.size() * sizeof(RowGroup) +
         (indices.size() + m_rows.size() + columns.size()) * sizeof(std::int32_t);
}

std::optional<PairedCoefficients> paired_coefficients(const winograd::Algorithm& algorithm) {
  const int p = algorithm.p();
  if (algorithm.stride == 2) return is_strided_form(algorithm) ? std::optional(PairedCoefficients{}) : std::nullopt;
  if (p % 2 != 0 || p < 4 || p > 8) return std::nullopt;
  PairedCoefficients q;
  const auto at = [](int i) { return static_cast<std::size_t>(i); };
  for (int s = 0; s < p / 2; ++s) {
    q.first[at(s)] = static_cast<float>(algorithm.B(2 * s, 0));
    q.last[at(s)] = static_cast<float>(algorithm.B(2 * s + 1, p - 1));
  }
  for (int pair = 0; pair < p / 2 - 1; ++pair) {
    for (int s = 0; s < p / 2 - 1; ++s) {
      q.even[at(pair)][at(s)] = static_cast<float>(algorithm.B(2 * s + 2, 1 + 2 * pair));
      q.odd[at(pair)][at(s)] = static_cast<float>(algorithm.B(2 * s + 1, 1 + 2 * pair));
    }
    for (int a = 0; a < algorithm.m; ++a)
      q.power[at(a)][at(pair)] = static_cast<float>(algorithm.A(1 + 2 * pair, a));
  }
  if (!reproduces(q, algorithm)) return std::nullopt;
  // The code for m = 2 adds and subtracts without coefficients.
  if (p == 4 && !(q.first[0] == 1 && q.first[1] == -1 && q.last[0] == -1 && q.last[1] == 1 &&
                  q.even[0][0] == 1 && q.odd[0][0] == 1 && q.power[1][0] == 1)) {
    return std::nullopt;
  }
  return q;
}

PackedWinograd pack_rows(const Tensor& U, const Mask& mask, const winograd::Algorithm& algorithm, int block,
                         const WinogradKernels& kernels, WeightStorage storage) {
  return Packer(U, mask, algorithm, block, kernels).run(false, storage);
}

PackedWinograd pack_csr(const Tensor& U, const Mask& mask, const winograd::Algorithm& algorithm, int block,
                        const WinogradKernels& kernels) {
  return Packer(U, mask, algorithm, block, kernels).run(true, WeightStorage::f32);
}

}  // namespace wins::runtime::cpu

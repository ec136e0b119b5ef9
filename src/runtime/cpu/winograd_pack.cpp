#include "winograd_pack.hpp"

#include <algorithm>

#include "bfloat16.hpp"
#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"

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

/// Packs one layer: finds where everything lies, then fills the groups on all threads. Lives only
/// while `pack_*` runs.
class Packer {
 public:
  Packer(const Mask& mask, const winograd::Algorithm& algorithm, const PackTarget& target)
      : mask_(mask), algorithm_(algorithm), target_(target), K_(mask.rows), C_(mask.columns) {
    require(mask.positions == algorithm.positions(), "winograd: a mask of {} positions does not fit F({},3)",
            mask.positions, algorithm.m);
    out_.block = target.block;
    const auto coefficients = paired_coefficients(algorithm);
    require(coefficients.has_value(), "winograd: F({},3) has no paired form", algorithm.m);
    out_.coefficients = *coefficients;
  }

  /// From U [p*p, K, C].
  PackedWinograd from_transformed(const Tensor& U, bool sparse) {
    require(U.shape() == Shape{mask_.positions, K_, C_}, "winograd: weights {} do not fit a mask of {} positions, {} x {}",
            to_string(U.shape()), mask_.positions, K_, C_);
    lay_out(sparse);
    const float* u = U.data<float>().data();
    parallel_for(static_cast<std::int64_t>(out_.groups.size()), target_.threads,
                 [&](std::int64_t g, int) { sparse ? fill_csr(u, g) : fill_rows(u, g); });
    return finish();
  }

  /// From filters [K, C, 3, 3], nothing pruned: U itself is never made.
  PackedWinograd from_filters(const Tensor& filters) {
    require(filters.shape() == Shape{K_, C_, algorithm_.r, algorithm_.r}, "winograd: filters {} do not fit {} x {}",
            to_string(filters.shape()), K_, C_);
    lay_out(false);
    const float* g = filters.data<float>().data();
    // All positions of a chunk keep the same rows, hence are cut alike: those of the first stand for all.
    std::vector<std::pair<std::int64_t, std::int64_t>> tasks;
    for (const PackedWinograd::Chunk& chunk : out_.chunks) {
      const std::int64_t each = chunk.group_count / mask_.positions;
      for (std::int64_t i = 0; i < each; ++i) tasks.emplace_back(chunk.first_group + i, each);
    }
    parallel_for(static_cast<std::int64_t>(tasks.size()), target_.threads, [&](std::int64_t i, int) {
      const auto [group, each] = tasks[static_cast<std::size_t>(i)];
      fill_all_positions(g, group, each);
    });
    return finish();
  }

 private:
  /// Rounds the weights where they are stored so.
  PackedWinograd finish() {
    out_.halved = !out_.sparse && target_.storage == WeightStorage::bf16;
    if (out_.halved) out_.weights = pack_overlapping({out_.weights.data(), static_cast<std::size_t>(out_.weight_count)});
    return std::move(out_);
  }

  void lay_out(bool sparse) {
    out_.sparse = sparse;
    find_rows();
    if (mask_.axis == Axis::column && !sparse) number_columns();
    out_.m_rows.assign(static_cast<std::size_t>(round_up(K_, out_.block) * mask_.positions), 0);
    for (const auto& [first, last] : cut()) add_chunk(first, last);
    out_.weights = AlignedFloats(std::max<std::int64_t>(1, out_.weight_count));
    if (sparse) out_.indices.resize(static_cast<std::size_t>(out_.weight_count));
  }

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
    const std::int64_t full_groups = std::int64_t{std::max(1, out_.live)} * target_.kernels.max_rows;
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
    const std::int64_t before = out_.weight_count;
    for (int xi = 0; xi < mask_.positions; ++xi) {
      std::vector<std::int64_t> rows;
      for (std::int64_t k = first_block * out_.block; k < std::min(K_, last_block * out_.block); ++k) {
        if (!kept_[static_cast<std::size_t>(xi * K_ + k)]) continue;
        out_.m_rows[static_cast<std::size_t>(k * mask_.positions + xi)] =
            static_cast<std::int32_t>(chunk.rows + static_cast<std::int64_t>(rows.size()));
        rows.push_back(k);
      }
      add_groups(xi, rows, chunk);
    }
    chunk.group_count = static_cast<std::int64_t>(out_.groups.size()) - chunk.first_group;
    chunk.weights = out_.weight_count - before;
    out_.chunks.push_back(chunk);
  }

  /// Groups of nearly equal height for the rows of one position.
  void add_groups(int xi, const std::vector<std::int64_t>& rows, PackedWinograd::Chunk& chunk) {
    const auto total = static_cast<std::int64_t>(rows.size());
    const std::int64_t count = out_.sparse ? total : divide_up(total, target_.kernels.max_rows);
    for (std::int64_t g = 0; g < count; ++g) {
      const std::int64_t first = total * g / count, last = total * (g + 1) / count;
      RowGroup group;
      group.slot = out_.slots[static_cast<std::size_t>(xi)];
      group.rows = static_cast<std::int32_t>(last - first);
      group.first_row = static_cast<std::int32_t>(chunk.rows);
      group.offset = out_.weight_count;
      group.columns = static_cast<std::int32_t>(columns_of(xi, rows[static_cast<std::size_t>(first)]));
      chunk.rows += last - first;
      out_.weight_count += std::int64_t{group.columns} * group.rows;
      out_.groups.push_back(group);
      origins_.push_back({xi, {rows.begin() + first, rows.begin() + last}});
    }
  }

  /// Entries of each row of a group, `k` being its first.
  std::int64_t columns_of(int xi, std::int64_t k) const {
    if (!out_.sparse) return mask_.axis == Axis::column ? mask_.kept_in(xi) : C_;
    std::int64_t count = 0;
    for (std::int64_t c = 0; c < C_; ++c) count += mask_.weight_kept(xi, k, c);
    return count;
  }

  /// Where the weights of a group come from.
  struct Origin {
    int xi;
    std::vector<std::int64_t> rows;
  };

  const Origin& origin(std::int64_t group) const { return origins_[static_cast<std::size_t>(group)]; }
  float* target(std::int64_t group) { return out_.weights.data() + out_.groups[static_cast<std::size_t>(group)].offset; }

  void fill_rows(const float* u, std::int64_t group) {
    const auto& [xi, rows] = origin(group);
    float* to = target(group);
    for (std::int64_t c = 0; c < C_; ++c) {
      if (mask_.axis == Axis::column && !mask_.kept(xi, c)) continue;
      for (const std::int64_t k : rows) {
        const bool pruned = mask_.axis == Axis::element && !mask_.weight_kept(xi, k, c);
        *to++ = pruned ? 0.0F : u[(xi * K_ + k) * C_ + c];
      }
    }
  }

  void fill_csr(const float* u, std::int64_t group) {
    const auto& [xi, rows] = origin(group);
    float* to = target(group);
    std::int32_t* index = out_.indices.data() + (to - out_.weights.data());
    for (std::int64_t c = 0; c < C_; ++c) {
      if (!mask_.weight_kept(xi, rows[0], c)) continue;
      *to++ = u[(xi * K_ + rows[0]) * C_ + c];
      *index++ = static_cast<std::int32_t>(c);
    }
  }

  /// The rows of `group`, of the first position, for all positions; their groups lie `each` apart.
  void fill_all_positions(const float* g, std::int64_t group, std::int64_t each) {
    const std::vector<std::int64_t>& rows = origin(group).rows;
    const auto height = static_cast<std::int64_t>(rows.size());
    const std::int64_t area = std::int64_t{algorithm_.r} * algorithm_.r, most = winograd::kFiltersAtOnce / height;
    std::vector<double> taps(static_cast<std::size_t>(area * most * height));
    std::vector<float*> to(static_cast<std::size_t>(mask_.positions));
    for (std::int64_t first = 0; first < C_; first += most) {
      const std::int64_t columns = std::min(most, C_ - first), count = columns * height;
      for (std::int64_t r = 0; r < height; ++r) {
        const float* filter = g + (rows[static_cast<std::size_t>(r)] * C_ + first) * area;
        for (std::int64_t c = 0; c < columns; ++c, filter += area) {
          for (std::int64_t t = 0; t < area; ++t)
            taps[static_cast<std::size_t>(t * count + c * height + r)] = static_cast<double>(filter[t]);
        }
      }
      for (int xi = 0; xi < mask_.positions; ++xi)
        to[static_cast<std::size_t>(xi)] = target(group + xi * each) + first * height;
      winograd::transform_filters(algorithm_, taps.data(), count, to.data());
    }
  }

  const Mask& mask_;
  const winograd::Algorithm& algorithm_;
  PackTarget target_;
  std::int64_t K_, C_;
  std::vector<std::uint8_t> kept_;  // [xi][k]
  std::vector<Origin> origins_;     // of the groups
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

PackedWinograd pack_filters(const Tensor& filters, const winograd::Algorithm& algorithm, const PackTarget& target) {
  require(filters.rank() == 4, "winograd: filters {} are not K x C x 3 x 3", to_string(filters.shape()));
  const Mask full = Mask::full(Axis::row, algorithm.positions(), filters.dim(0), filters.dim(1));
  return Packer(full, algorithm, target).from_filters(filters);
}

PackedWinograd pack_rows(const Tensor& U, const Mask& mask, const winograd::Algorithm& algorithm, const PackTarget& target) {
  return Packer(mask, algorithm, target).from_transformed(U, false);
}

PackedWinograd pack_csr(const Tensor& U, const Mask& mask, const winograd::Algorithm& algorithm, const PackTarget& target) {
  return Packer(mask, algorithm, target).from_transformed(U, true);
}

}  // namespace wins::runtime::cpu

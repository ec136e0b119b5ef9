#include "wins/runtime/cuda/row_pack.hpp"

#include <algorithm>
#include <cmath>

#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

constexpr int kLanes = 32;
constexpr int kWordsOfLane = 4;

/// Writes one slice after the other.
class Packer {
 public:
  Packer(const Tensor& U, const winograd::Mask& mask, RowPack& pack) : values_(U.data<float>()), mask_(mask), pack_(pack) {}

  void add_slice(std::int64_t first, std::int64_t count) {
    RowSlice slice;
    slice.first_channel = static_cast<std::int32_t>(first);
    slice.channels = static_cast<std::int32_t>(count);
    slice.first_fragment = static_cast<std::int64_t>(pack_.fragments.size());
    std::vector<std::int64_t> rows;  // xi * K + k, or -1 in unfilled items
    std::vector<std::uint8_t> places;
    std::vector<std::uint32_t> groups(static_cast<std::size_t>(pack_.slice_groups() * pack_.group_words()));
    for (int xi = 0; xi < pack_.positions; ++xi) {
      const std::size_t begin = rows.size();
      for (std::int64_t k = first; k < first + count; ++k) {
        if (!mask_.kept(xi, k)) continue;
        const std::int64_t group = (k - first) / kGroupChannels;
        std::uint32_t& word = groups[static_cast<std::size_t>(group * pack_.group_words() + xi)];
        if (word == 0) word = static_cast<std::uint32_t>(rows.size()) << 16;
        const std::int64_t channel = (k - first) % kGroupChannels;
        word |= 1U << channel;
        if (channel < kGroupChannels / 2) word += 1U << kGroupChannels;
        rows.push_back(xi * pack_.filters + k);
      }
      if (rows.size() == begin) continue;
      while (rows.size() % kItemRows != 0) rows.push_back(-1);
      places.insert(places.end(), (rows.size() - begin) / kItemRows, static_cast<std::uint8_t>(slice.alive));
      ++slice.alive;
      slice.alive_mask |= 1U << xi;
    }
    pack_.groups.insert(pack_.groups.end(), groups.begin(), groups.end());
    if (rows.empty()) {
      // Kernels need not know that a slice can be empty: it gets an item without rows.
      rows.assign(kItemRows, -1);
      places.assign(1, 0);
      slice.alive = 1;
      slice.alive_mask = 1;
    }
    slice.items = static_cast<std::int32_t>(places.size());
    pack_.slices.push_back(slice);
    places_.push_back(std::move(places));
    for (int half = 0; half < pack_.chunks * kChunkUnits / kWordsOfLane; ++half) {
      for (std::size_t row = 0; row < rows.size(); row += kItemRows) add_item(&rows[row], half * kWordsOfLane);
    }
  }

  void finish() {
    for (const RowSlice& slice : pack_.slices) {
      pack_.max_items = std::max(pack_.max_items, static_cast<int>(slice.items));
      pack_.max_alive = std::max(pack_.max_alive, static_cast<int>(slice.alive));
    }
    for (auto& places : places_) {
      places.resize(static_cast<std::size_t>(pack_.max_items), 0);
      pack_.item_positions.insert(pack_.item_positions.end(), places.begin(), places.end());
    }
  }

 private:
  void add_item(const std::int64_t* rows, std::int64_t first_unit) {
    for (int part = 0; part < pack_.parts(); ++part) {
      for (int lane = 0; lane < kLanes; ++lane) {
        // Lane l of a B fragment holds column l / 4 and, of each unit, the l % 4-th 4 bytes.
        const std::int64_t row = rows[lane / 4];
        for (int word = 0; word < kWordsOfLane; ++word) {
          pack_.fragments.push_back(row < 0 ? 0 : word_of(row, first_unit + word, lane % 4, part));
        }
      }
    }
  }

  /// The `quarter`-th 4 bytes of a row in one unit of channels.
  std::uint32_t word_of(std::int64_t row, std::int64_t unit, int quarter, int part) const {
    const int elements = pack_.unit() / 4;
    std::uint32_t word = 0;
    for (int e = 0; e < elements; ++e) {
      const std::int64_t channel = unit * pack_.unit() + quarter * elements + e;
      if (channel >= pack_.channels) continue;
      const float value = values_[static_cast<std::size_t>(row * pack_.channels + channel)];
      word |= (pack_.factors == Factors::scaled ? scaled_bits(value, part) : operand_bits(value, pack_.operand, part)) << (16 * e);
    }
    return word;
  }

  /// float16 of a weight under the power of two, or of what it leaves.
  std::uint32_t scaled_bits(float value, int part) const {
    const float scaled = std::ldexp(value, pack_.exponent);
    const std::uint16_t high = to_float16(scaled);
    return part == 0 ? high : to_float16(scaled - from_float16(high));
  }

  std::span<const float> values_;
  const winograd::Mask& mask_;
  RowPack& pack_;
  std::vector<std::vector<std::uint8_t>> places_;
};

/// Of the power of two that brings the largest kept weight to [2^13, 2^14); its inverse is a float32 too.
int exponent_of(const Tensor& U, const winograd::Mask& mask) {
  float largest = 0;
  const auto values = U.data<float>();
  for (int xi = 0; xi < mask.positions; ++xi) {
    for (std::int64_t k = 0; k < mask.rows; ++k) {
      if (!mask.kept(xi, k)) continue;
      for (const float value : values.subspan(static_cast<std::size_t>((xi * mask.rows + k) * mask.columns), static_cast<std::size_t>(mask.columns))) {
        require(std::isfinite(value), "a weight is {}", value);
        largest = std::max(largest, std::fabs(value));
      }
    }
  }
  if (largest == 0) return 0;
  constexpr int kLimit = 120;
  int exponent = 0;
  std::frexp(largest, &exponent);
  return std::clamp(14 - exponent, -kLimit, kLimit);
}

}  // namespace

int unit_channels(Operand operand) { return 16 / storage_bytes(operand); }
int factor_channels(Operand operand, Factors factors) { return unit_channels(factors == Factors::scaled ? Operand::f16 : operand); }

PackSize pack_size(const winograd::Mask& mask, int slice_channels) {
  PackSize size;
  for (std::int64_t first = 0; first < mask.rows; first += slice_channels) {
    int items = 0, alive = 0;
    std::array<int, kMostWarpItems + 1> warps{};
    for (int xi = 0; xi < mask.positions; ++xi) {
      std::int64_t rows = 0;
      for (std::int64_t k = first; k < std::min(mask.rows, first + slice_channels); ++k) rows += mask.kept(xi, k) ? 1 : 0;
      const int count = static_cast<int>((rows + kItemRows - 1) / kItemRows);
      for (int n = 1; n <= kMostWarpItems; ++n) warps[static_cast<std::size_t>(n)] += (count + n - 1) / n;
      items += count;
      alive += rows > 0 ? 1 : 0;
      size.outer = size.outer && (rows == 0 || xi % 4 == 0 || xi % 4 == 3);
      size.cross = size.cross && (rows == 0 || xi % 4 == 1 || xi / 4 == 1);
    }
    size.slices += 1;
    size.max_items = std::max({size.max_items, items, 1});
    size.max_alive = std::max({size.max_alive, alive, 1});
    std::ranges::transform(size.regular_warps, warps, size.regular_warps.begin(), [](int a, int b) { return std::max({a, b, 1}); });
  }
  return size;
}

RowPack pack_rows(const Tensor& U, const winograd::Mask& mask, Operand operand, int slice_channels, Factors factors) {
  require(mask.axis == winograd::Axis::row, "only whole rows can be packed");
  require(mask.positions <= kMaxPositions, "{} positions are too many, {} fit", mask.positions, kMaxPositions);
  require(U.shape() == Shape({mask.positions, mask.rows, mask.columns}), "weights {} do not fit the mask {}x{}x{}",
          to_string(U.shape()), mask.positions, mask.rows, mask.columns);
  require(slice_channels > 0, "slices of {} channels are not possible", slice_channels);
  require(factors == Factors::plain || storage_bytes(operand) == 4, "only float32 activations have scaled factors");
  RowPack pack;
  pack.operand = operand;
  pack.factors = factors;
  if (factors == Factors::scaled) pack.exponent = exponent_of(U, mask);
  pack.positions = mask.positions;
  pack.filters = mask.rows;
  pack.channels = mask.columns;
  const std::int64_t chunk = static_cast<std::int64_t>(pack.unit()) * kChunkUnits;
  pack.chunks = static_cast<int>((pack.channels + chunk - 1) / chunk);
  pack.max_channels = static_cast<int>(std::min<std::int64_t>(slice_channels, mask.rows));
  Packer packer(U, mask, pack);
  for (std::int64_t k = 0; k < mask.rows; k += slice_channels) {
    packer.add_slice(k, std::min<std::int64_t>(slice_channels, mask.rows - k));
  }
  packer.finish();
  return pack;
}

}  // namespace wins::runtime::cuda

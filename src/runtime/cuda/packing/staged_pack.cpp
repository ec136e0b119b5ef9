#include "wins/runtime/cuda/staged_pack.hpp"

#include <cstring>

#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

void pack_weights(const Tensor& U, const winograd::Mask& mask, StagedPack& pack) {
  const auto values = U.data<float>();
  const auto bytes = static_cast<std::size_t>(storage_bytes(pack.operand));
  const std::int64_t per_unit = unit_channels(pack.operand), parts = staged_parts(pack.operand);
  constexpr std::size_t kMatrixBytes = kItemRows * 16;
  std::int64_t items = 0;
  for (const StagedPosition& position : pack.alive) items += position.items();
  pack.weights.assign(static_cast<std::size_t>(items * pack.chunks * parts * kChunkUnits) * kMatrixBytes, std::byte{0});
  for (const StagedPosition& position : pack.alive) {
    std::int64_t row = 0;
    for (std::int64_t k = 0; k < mask.rows; ++k) {
      if (!mask.kept(position.xi, k)) continue;
      const float* from = &values[static_cast<std::size_t>((position.xi * mask.rows + k) * mask.columns)];
      for (std::int64_t c = 0; c < mask.columns; ++c) {
        const std::int64_t unit = c / per_unit, item = position.first_item * pack.chunks + unit / kChunkUnits * position.items() + row / kItemRows;
        for (std::int64_t part = 0; part < parts; ++part) {
          const auto matrix = static_cast<std::size_t>((item * parts + part) * kChunkUnits + unit % kChunkUnits);
          const std::size_t at = matrix * kMatrixBytes + static_cast<std::size_t>(row % kItemRows) * 16 + static_cast<std::size_t>(c % per_unit) * bytes;
          // Little-endian: the low bytes come first.
          const std::uint32_t bits = operand_bits(from[c], pack.operand, static_cast<int>(part));
          std::memcpy(&pack.weights[at], &bits, bytes);
        }
      }
      ++row;
    }
  }
}

}  // namespace

std::uint64_t StagedPack::alive_mask() const {
  std::uint64_t mask = 0;
  for (const StagedPosition& position : alive) mask |= std::uint64_t{1} << position.xi;
  return mask;
}

StagedPack staged_size(const winograd::Mask& mask, Operand operand) {
  StagedPack pack;
  pack.operand = operand;
  pack.positions = mask.positions;
  const std::int64_t unit = unit_channels(operand);
  pack.channels = (mask.columns + unit - 1) / unit * unit;
  pack.chunks = (pack.channels / unit + kChunkUnits - 1) / kChunkUnits;
  pack.filters = mask.rows;
  std::int32_t items = 0;
  for (int xi = 0; xi < mask.positions; ++xi) {
    const auto rows = static_cast<std::int32_t>(mask.kept_in(xi));
    if (rows == 0) continue;
    pack.alive.push_back({xi, pack.rows, rows, items});
    pack.rows += rows;
    items += pack.alive.back().items();
  }
  return pack;
}

StagedPack pack_staged(const Tensor& U, const winograd::Mask& mask, Operand operand) {
  require(mask.axis == winograd::Axis::row, "only whole rows can be packed");
  require(mask.positions <= kMaxStagedPositions, "{} positions are too many, {} fit", mask.positions, kMaxStagedPositions);
  require(U.shape() == Shape({mask.positions, mask.rows, mask.columns}), "weights {} do not fit the mask {}x{}x{}",
          to_string(U.shape()), mask.positions, mask.rows, mask.columns);
  StagedPack pack = staged_size(mask, operand);
  require(pack.rows <= kMaxStagedRows, "{} rows are too many, {} fit", pack.rows, kMaxStagedRows);
  pack_weights(U, mask, pack);
  pack.groups.assign(static_cast<std::size_t>(pack.positions * pack.group_count()), 0);
  for (const StagedPosition& position : pack.alive) {
    auto row = static_cast<std::uint32_t>(position.first_row);
    for (std::int64_t k = 0; k < mask.rows; ++k) {
      if (!mask.kept(position.xi, k)) continue;
      std::uint32_t& word = pack.groups[static_cast<std::size_t>(position.xi * pack.group_count() + k / kStagedGroup)];
      if (word == 0) word = row << 16;
      word |= 1U << (k % kStagedGroup);
      ++row;
    }
  }
  return pack;
}

}  // namespace wins::runtime::cuda

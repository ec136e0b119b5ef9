#include "wins/runtime/cuda/staged_pack.hpp"

#include <bit>
#include <cmath>
#include <cstring>

#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

std::uint32_t weight_bits(float value, Operand operand) {
  if (operand != Operand::f32) return operand_bits(value, operand, 0);
  require(std::isfinite(value), "a weight is {}", value);
  return std::bit_cast<std::uint32_t>(value);
}

void pack_weights(const Tensor& U, const winograd::Mask& mask, StagedPack& pack) {
  const auto values = U.data<float>();
  const auto bytes = static_cast<std::size_t>(storage_bytes(pack.operand));
  pack.weights.resize(static_cast<std::size_t>(pack.rows * pack.channels) * bytes);
  std::byte* to = pack.weights.data();
  for (const StagedPosition& position : pack.alive) {
    for (std::int64_t k = 0; k < mask.rows; ++k) {
      if (!mask.kept(position.xi, k)) continue;
      const float* from = &values[static_cast<std::size_t>((position.xi * mask.rows + k) * mask.columns)];
      for (std::int64_t c = 0; c < mask.columns; ++c) {
        // Little-endian: the low bytes come first.
        const std::uint32_t bits = weight_bits(from[c], pack.operand);
        std::memcpy(to + static_cast<std::size_t>(c) * bytes, &bits, bytes);
      }
      to += static_cast<std::size_t>(pack.channels) * bytes;
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
  pack.filters = mask.rows;
  for (int xi = 0; xi < mask.positions; ++xi) {
    const auto rows = static_cast<std::int32_t>(mask.kept_in(xi));
    if (rows == 0) continue;
    pack.alive.push_back({xi, pack.rows, rows});
    pack.rows += rows;
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

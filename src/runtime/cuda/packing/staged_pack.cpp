#include "wins/runtime/cuda/staged_pack.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

std::int64_t filled(std::int64_t count, std::int64_t unit) { return (count + unit - 1) / unit * unit; }

std::uint32_t weight_bits(float value, Operand operand) {
  if (operand != Operand::f32) return operand_bits(value, operand, 0);
  require(std::isfinite(value), "a weight is {}", value);
  return std::bit_cast<std::uint32_t>(value);
}

}  // namespace

std::uint64_t StagedPack::alive_mask() const {
  std::uint64_t mask = 0;
  for (const StagedPosition& position : alive) mask |= std::uint64_t{1} << position.xi;
  return mask;
}

bool StagedPack::even() const {
  return std::all_of(alive.begin(), alive.end(), [&](const StagedPosition& position) { return position.rows == alive.front().rows; });
}

StagedPack staged_size(const winograd::Mask& mask, Operand operand) {
  StagedPack pack;
  pack.operand = operand;
  pack.positions = mask.positions;
  pack.channels = filled(mask.columns, unit_channels(operand));
  pack.filters = filled(mask.rows, unit_channels(operand));
  for (int xi = 0; xi < mask.positions; ++xi) {
    const std::int64_t kept = mask.kept_in(xi);
    if (kept == 0) continue;
    const auto rows = static_cast<std::int32_t>(filled(kept, kStagedRows));
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
  require(pack.rows < kNoColumn, "{} rows are too many", pack.rows);
  const auto values = U.data<float>();
  const auto bytes = static_cast<std::size_t>(storage_bytes(operand));
  pack.weights.resize(static_cast<std::size_t>(pack.rows * pack.channels) * bytes);
  pack.columns.assign(static_cast<std::size_t>(pack.positions * pack.filters), kNoColumn);
  for (const StagedPosition& position : pack.alive) {
    std::int64_t row = position.first_row;
    for (std::int64_t k = 0; k < mask.rows; ++k) {
      if (!mask.kept(position.xi, k)) continue;
      const float* from = &values[static_cast<std::size_t>((position.xi * mask.rows + k) * mask.columns)];
      std::byte* to = &pack.weights[static_cast<std::size_t>(row * pack.channels) * bytes];
      for (std::int64_t c = 0; c < mask.columns; ++c, to += bytes) {
        // Little-endian: the low bytes come first.
        const std::uint32_t bits = weight_bits(from[c], operand);
        std::memcpy(to, &bits, bytes);
      }
      pack.columns[static_cast<std::size_t>(position.xi * pack.filters + k)] = static_cast<std::uint16_t>(row++);
    }
  }
  return pack;
}

}  // namespace wins::runtime::cuda

#include "wins/runtime/cuda/filter_pack.hpp"

#include <bit>

#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

std::uint32_t bits_of(float value, Operand operand) {
  const std::uint32_t bits = operand_bits(value, operand, 0);  // refuses what is not finite
  return operand == Operand::f32 ? std::bit_cast<std::uint32_t>(value) : bits;
}

}  // namespace

FilterPack pack_filters(const Tensor& weights, Operand operand) {
  require(weights.rank() == 4, "filters of shape {} are not of rank 4", to_string(weights.shape()));
  const std::int64_t K = weights.dim(0), C = weights.dim(1), rows = weights.dim(2), columns = weights.dim(3);
  const std::int64_t per_unit = unit_channels(operand), units = (C + per_unit - 1) / per_unit;
  FilterPack pack;
  pack.operand = operand;
  pack.items = static_cast<int>((K + kItemRows - 1) / kItemRows);
  pack.row_units = static_cast<int>(columns * units);
  pack.row_chunks = (pack.row_units + kChunkUnits - 1) / kChunkUnits;
  const auto values = weights.data<float>();
  const int elements = 4 / storage_bytes(operand);
  // The `quarter`-th 4 bytes of unit `e` of kernel row `y` of filter `k`.
  const auto word_of = [&](std::int64_t k, std::int64_t y, std::int64_t e, std::int64_t quarter) {
    std::uint32_t word = 0;
    for (int i = 0; i < elements && k < K && e < pack.row_units; ++i) {
      const std::int64_t c = e % units * per_unit + quarter * elements + i, x = e / units;
      if (c >= C) continue;
      word |= bits_of(values[static_cast<std::size_t>(((k * C + c) * rows + y) * columns + x)], operand) << (16 * i);
    }
    return word;
  };
  pack.matrices.reserve(static_cast<std::size_t>(pack.items * rows * pack.row_chunks * kChunkUnits * kItemRows * 4));
  for (std::int64_t item = 0; item < pack.items; ++item) {
    for (std::int64_t y = 0; y < rows; ++y) {
      for (std::int64_t chunk = 0; chunk < pack.row_chunks; ++chunk) {
        for (std::int64_t unit = 0; unit < kChunkUnits; ++unit) {
          for (std::int64_t filter = 0; filter < kItemRows; ++filter) {
            for (std::int64_t quarter = 0; quarter < 4; ++quarter) {
              pack.matrices.push_back(word_of(item * kItemRows + filter, y, chunk * kChunkUnits + unit, quarter));
            }
          }
        }
      }
    }
  }
  return pack;
}

}  // namespace wins::runtime::cuda

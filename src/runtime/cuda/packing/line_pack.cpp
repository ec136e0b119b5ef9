#include "wins/runtime/cuda/line_pack.hpp"

#include <algorithm>

#include "wins/base/error.hpp"
#include "wins/runtime/cuda/filter_pack.hpp"

namespace wins::runtime::cuda {

std::vector<std::uint32_t> pack_lines(const Tensor& weights, Operand operand, int tile_filters) {
  require(operand != Operand::f32, "lines of float32 are not multiplied whole");
  const FilterPack pack = pack_filters(weights, operand);
  require(weights.dim(2) == 1 && weights.dim(3) == 1, "filters of shape {} are not 1x1", to_string(weights.shape()));
  constexpr std::size_t kWords = std::size_t{kChunkUnits} * kItemRows * 4;  // of an item and chunk
  const int tile_items = tile_filters / kItemRows, tiles = (pack.items + tile_items - 1) / tile_items;
  std::vector<std::uint32_t> words(static_cast<std::size_t>(tiles) * static_cast<std::size_t>(pack.row_chunks * tile_items) * kWords, 0);
  for (int item = 0; item < pack.items; ++item) {
    for (int chunk = 0; chunk < pack.row_chunks; ++chunk) {
      const auto from = pack.matrices.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(item * pack.row_chunks + chunk) * kWords);
      const int place = (item / tile_items * pack.row_chunks + chunk) * tile_items + item % tile_items;
      std::copy_n(from, kWords, words.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(place) * kWords));
    }
  }
  return words;
}

std::vector<float> pack_affine(std::span<const float> scale, std::span<const float> shift, Operand operand) {
  const int per_unit = static_cast<int>(unit_channels(operand)), per_word = per_unit / 4;
  const int channels = static_cast<int>(scale.size()), chunk_channels = kChunkUnits * per_unit, chunks = (channels + chunk_channels - 1) / chunk_channels;
  std::vector<float> floats;
  floats.reserve(static_cast<std::size_t>(chunks * affine_floats(operand)));
  const auto push = [&](std::span<const float> values, int chunk, int step, int lane) {
    for (int unit = 2 * step; unit < 2 * step + 2; ++unit) {
      for (int i = 0; i < per_word; ++i) {
        const int channel = chunk * chunk_channels + unit * per_unit + lane * per_word + i;
        floats.push_back(channel < channels ? values[static_cast<std::size_t>(channel)] : 0.0F);
      }
    }
  };
  for (int chunk = 0; chunk < chunks; ++chunk) {
    for (int step = 0; step < kLineSteps; ++step) {
      if (per_word == 2) {
        for (const auto& values : {scale, shift}) {
          for (int lane = 0; lane < 4; ++lane) push(values, chunk, step, lane);
        }
      } else {
        for (int lane = 0; lane < 4; ++lane) {
          push(scale, chunk, step, lane);
          push(shift, chunk, step, lane);
        }
      }
    }
  }
  return floats;
}

}  // namespace wins::runtime::cuda

#include "wins/runtime/cuda/fused_layer.hpp"

#include <algorithm>
#include <tuple>

namespace wins::runtime::cuda {
namespace {

constexpr std::int32_t divide_up(std::int32_t a, std::int32_t b) { return (a + b - 1) / b; }

}  // namespace

std::vector<FusedShape> fused_shapes() {
  return {{32, 2}, {32, 3}, {32, 4}, {32, 6}, {64, 1}, {64, 2}, {64, 3}, {64, 4}};
}

void cut_tiles(FusedLayer& layer, int stride, int tiles, int element_bytes) {
  const std::int32_t rows = divide_up(layer.out_height, 2), columns = divide_up(layer.out_width, 2);
  std::tuple<std::int64_t, std::int32_t, std::int32_t> best{std::numeric_limits<std::int64_t>::max(), 0, 0};
  for (std::int32_t height = 1; height <= std::min(rows, tiles); ++height) {
    for (std::int32_t width = 1; width <= std::min(columns, tiles / height); ++width) {
      // More than one image only where a block holds all tiles of each.
      const bool whole = height == rows && width == columns;
      const std::int32_t images = whole ? std::min(tiles / (height * width), layer.batch) : 1;
      FusedLayer cut = layer;
      std::tie(cut.block_images, cut.block_rows, cut.block_columns) = std::tuple(images, height, width);
      if (patch_pixels(cut, stride) > max_patch_pixels(stride, tiles)) continue;
      std::tie(cut.grid_images, cut.grid_rows, cut.grid_columns) =
          std::tuple(divide_up(layer.batch, images), divide_up(rows, height), divide_up(columns, width));
      const auto blocks = static_cast<std::int64_t>(cut.grid_images) * cut.grid_rows * cut.grid_columns;
      const std::tuple key{blocks, patch_pixels(cut, stride), -width};
      if (key < best) {
        best = key;
        layer = cut;
      }
    }
  }
  layer.by_block_tiles = Divisor(layer.block_rows * layer.block_columns);
  layer.by_block_columns = Divisor(layer.block_columns);
  layer.by_grid_rows = Divisor(layer.grid_rows);
  layer.by_grid_columns = Divisor(layer.grid_columns);
  layer.by_patch_rows = Divisor(patch_rows(layer, stride));
  layer.by_patch_columns = Divisor(patch_columns(layer, stride));
  layer.by_units = Divisor(layer.slice_groups * kGroupChannels * element_bytes / 16);
}

std::size_t fused_shared_bytes(const FusedLayer& layer, int stride, FusedShape shape, int element_bytes) {
  return static_cast<std::size_t>(FusedMemory(layer, stride, shape.tiles, element_bytes).bytes);
}

}  // namespace wins::runtime::cuda

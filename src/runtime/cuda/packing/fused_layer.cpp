#include "wins/runtime/cuda/fused_layer.hpp"

#include <algorithm>
#include <tuple>

namespace wins::runtime::cuda {
namespace {


}  // namespace

std::vector<FusedShape> fused_shapes() {
  std::vector<FusedShape> shapes;
  for (const Factors factors : {Factors::plain, Factors::scaled}) {
    for (FusedShape shape : kFusedShapes) {
      shape.factors = factors;
      shapes.push_back(shape);
      if (!can_split(shape)) continue;
      for (const int splits : {2, 4}) {
        shape.splits = splits;
        shapes.push_back(shape);
      }
    }
  }
  return shapes;
}

std::vector<std::uint8_t> deal_items(std::span<const std::uint8_t> positions, FusedShape shape) {
  const int items = static_cast<int>(positions.size()), warps = shape.warps();
  std::vector<int> counts;  // of each position
  for (int i = 0; i < items; ++i) {
    if (i == 0 || positions[static_cast<std::size_t>(i)] != positions[static_cast<std::size_t>(i) - 1]) counts.push_back(0);
    ++counts.back();
  }
  std::vector<int> shares;  // of each position: warps
  int used = 0;
  for (const int count : counts) used += shares.emplace_back(divide_up(count, shape.items_per_warp));
  std::vector<std::uint8_t> firsts{0};
  if (used > warps) {
    for (int warp = 1; warp <= warps; ++warp) firsts.push_back(static_cast<std::uint8_t>(std::min(items, warp * shape.items_per_warp)));
    return firsts;
  }
  // Warps that are left help where a warp has the most.
  for (; used < warps; ++used) {
    std::size_t most = 0;
    for (std::size_t i = 1; i < counts.size(); ++i) {
      if (divide_up(counts[i], shares[i]) > divide_up(counts[most], shares[most])) most = i;
    }
    ++shares[most];
  }
  int first = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    for (int share = 1; share <= shares[i]; ++share) firsts.push_back(static_cast<std::uint8_t>(first + counts[i] * share / shares[i]));
    first += counts[i];
  }
  return firsts;
}

void cut_tiles(FusedLayer& layer, int stride, int tiles, int element_bytes) {
  const std::int32_t side = tile_outputs(layer), rows = divide_up(layer.out_height, side), columns = divide_up(layer.out_width, side);
  std::tuple<std::int64_t, std::int32_t, std::int32_t> best{std::numeric_limits<std::int64_t>::max(), 0, 0};
  for (std::int32_t height = 1; height <= std::min(rows, tiles); ++height) {
    for (std::int32_t width = 1; width <= std::min(columns, tiles / height); ++width) {
      // More than one image only where a block holds all tiles of each.
      const bool whole = height == rows && width == columns;
      const std::int32_t images = whole ? std::min(tiles / (height * width), layer.batch) : 1;
      const std::int32_t pixels = images * patch_extent(height, stride) * patch_extent(width, stride);
      if (pixels > max_patch_pixels(stride, tiles)) continue;
      const std::tuple grid(divide_up(layer.batch, images), divide_up(rows, height), divide_up(columns, width));
      const auto blocks = static_cast<std::int64_t>(std::get<0>(grid)) * std::get<1>(grid) * std::get<2>(grid);
      const std::tuple key{blocks, pixels, -width};
      if (key < best) {
        best = key;
        std::tie(layer.block_images, layer.block_rows, layer.block_columns) = std::tuple(images, height, width);
        std::tie(layer.grid_images, layer.grid_rows, layer.grid_columns) = grid;
      }
    }
  }
  layer.block_tiles = layer.block_images * layer.block_rows * layer.block_columns;
  layer.rectangles = layer.grid_images * layer.grid_rows * layer.grid_columns;
  layer.by_block_tiles = Divisor(layer.block_rows * layer.block_columns);
  layer.by_block_columns = Divisor(layer.block_columns);
  layer.by_grid_rows = Divisor(layer.grid_rows);
  layer.by_grid_columns = Divisor(layer.grid_columns);
  layer.by_patch_rows = Divisor(patch_rows(layer, stride));
  layer.by_patch_columns = Divisor(patch_columns(layer, stride));
  layer.by_units = Divisor(layer.slice_groups * kGroupChannels * element_bytes / 16);
}

namespace {

/// What a block can do without.
struct Room {
  int patch_buffers = 1;
  bool stage_apart = false;
};

BlockMemory memory_of(const FusedLayer& layer, int stride, FusedShape shape, Operand operand, Room room) {
  BlockMemory memory;
  const int element_bytes = storage_bytes(operand);
  const bool scaled = shape.factors == Factors::scaled;
  memory.patch_buffers = room.patch_buffers;
  memory.patch_row_bytes = patch_columns(layer, stride) * shape.units * 16;
  memory.patch_bytes = patch_pixels(layer, stride) * shape.units * 16;
  memory.V = divide_up(room.patch_buffers * memory.patch_bytes, 1024) * 1024;
  // Plain units are written by 8 lanes at once, scaled ones, half a unit a lane, by 16: of 8 units and two tiles, or of 16 units.
  memory.unit_bytes = scaled && shape.units == 8 ? (divide_up(layer.block_tiles, 4) * 4 + 2) * 16 : (layer.block_tiles | 1) * 16;
  const int units = factor_units(shape.units, shape.factors);
  const std::int32_t side = tile_outputs(layer);
  memory.stage_columns = side * layer.block_columns;
  const int slice_bytes = layer.slice_groups * kGroupChannels * element_bytes;
  memory.stage_line_bits = slice_bytes % 128 == 0 ? 3 : slice_bytes % 64 == 0 ? 2 : 1;
  memory.stage_line_bytes = 16 << memory.stage_line_bits;
  memory.stage_lines = divide_up(slice_bytes, memory.stage_line_bytes);
  memory.stage_pitch = divide_up(side * side * layer.block_tiles * memory.stage_line_bytes, 1024) * 1024;
  // Fragments are read past the last tile.
  memory.part_bytes = layer.max_alive * units * memory.unit_bytes;
  const int V_bytes = (scaled && operand == Operand::f32 ? 2 : 1) * memory.part_bytes + (shape.tiles - layer.block_tiles) * 16;
  const int M_bytes = layer.max_items * kItemRows * m_pitch(shape.tiles) * 4;
  memory.stage_apart = room.stage_apart || V_bytes <= M_bytes;
  memory.stage = memory.V + divide_up(memory.stage_apart ? std::max(V_bytes, M_bytes) : M_bytes, 1024) * 1024;
  const int end = std::max(memory.V + V_bytes, memory.stage + memory.stage_lines * memory.stage_pitch);
  memory.barriers = divide_up(end, 8) * 8;
  memory.bias = divide_up(memory.barriers + 3 * 8, 16) * 16;
  memory.pixels = memory.bias + layer.slice_groups * kGroupChannels * 4;
  memory.patches = memory.pixels + shape.tiles * 4;
  memory.exchange = memory.patches + shape.tiles * 4;
  memory.bytes = memory.exchange + (scaled ? 16 * 4 : 0);
  return memory;
}

int resident_blocks(const BlockMemory& memory, FusedShape shape, int element_bytes, const Multiprocessors& processors) {
  if (memory.bytes > processors.shared_bytes) return 0;
  return std::min((processors.shared_bytes + kSystemBytes) / (memory.bytes + kSystemBytes),
                  most_resident_blocks(32 * shape.warps(), shape.items_per_warp, element_bytes));
}

}  // namespace

int lay_out(FusedLayer& layer, int stride, FusedShape shape, Operand operand, const Multiprocessors& processors) {
  const int element_bytes = storage_bytes(operand);
  const std::int32_t units = layer.chunks * kChunkUnits, turn_units = factor_units(shape.units, shape.factors);
  if (shape.splits > 1 && units % (turn_units * shape.splits) != 0) return 0;
  layer.turns = divide_up(units, turn_units) / shape.splits;
  layer.splits = shape.splits;
  const auto resident_with = [&](Room room) {
    layer.memory = memory_of(layer, stride, shape, operand, room);
    return resident_blocks(layer.memory, shape, element_bytes, processors);
  };
  const int resident = resident_with({});
  if (resident == 0) return 0;
  for (const Room& room : {Room{2, true}, Room{2, false}, Room{1, true}, Room{}}) {
    if (room.patch_buffers > 1 && layer.turns == 1) continue;
    if (resident_with(room) == resident) break;
  }
  layer.grid_blocks = even_blocks(layer.rectangles, resident * processors.count / (layer.slices * shape.splits));
  return resident;
}

}  // namespace wins::runtime::cuda

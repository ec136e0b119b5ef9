// Blocks cover every tile once, and fit what the kernel's loops were built for.
#include "wins/runtime/cuda/fused_layer.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace wins::runtime::cuda {
namespace {

FusedLayer layer_of(int batch, int height, int width) {
  FusedLayer layer;
  layer.batch = batch;
  layer.out_height = height;
  layer.out_width = width;
  layer.chunks = 2;
  layer.max_items = 20;
  layer.max_alive = 9;
  layer.slice_groups = 8;
  return layer;
}

constexpr Multiprocessors kHopper{132, 227 * 1024};

TEST(FusedLayer, BlocksCoverEveryTileOnce) {
  const int sizes[][3] = {{1, 1, 1}, {1, 7, 7}, {64, 7, 7}, {3, 14, 14}, {2, 56, 56}, {1, 5, 224}, {2, 224, 3}, {7, 13, 9}, {1, 1, 100}};
  for (const auto& [batch, height, width] : sizes) {
    for (const int stride : {1, 2}) {
      for (const int tiles : {32, 64}) {
        FusedLayer layer = layer_of(batch, height, width);
        cut_tiles(layer, stride, tiles, 2);
        SCOPED_TRACE(testing::Message() << batch << "x" << height << "x" << width << " stride " << stride << " tiles " << tiles);
        EXPECT_LE(layer.block_images * layer.block_rows * layer.block_columns, tiles);
        EXPECT_LE(patch_pixels(layer, stride), max_patch_pixels(stride, tiles));
        // Each grid reaches the end, and no block begins behind it.
        const auto covers = [](int grid, int block, int extent) { return grid * block >= extent && (grid - 1) * block < extent; };
        EXPECT_TRUE(covers(layer.grid_images, layer.block_images, batch));
        EXPECT_TRUE(covers(layer.grid_rows, layer.block_rows, (height + 1) / 2));
        EXPECT_TRUE(covers(layer.grid_columns, layer.block_columns, (width + 1) / 2));
      }
    }
  }
}

TEST(FusedLayer, APoolLeavesOneOutputOfATile) {
  FusedLayer layer = layer_of(3, 28, 15), plain = layer_of(3, 56, 30);
  layer.max_pool = true;
  layer.slices = plain.slices = 1;
  for (FusedLayer* of : {&layer, &plain}) {
    cut_tiles(*of, 1, 32, 2);
    ASSERT_GT(lay_out(*of, 1, {32, 4}, Operand::f16, kHopper), 0);
  }
  EXPECT_EQ(layer.rectangles, plain.rectangles);
  EXPECT_EQ(layer.memory.stage_columns, layer.block_columns);
  EXPECT_GE(layer.memory.stage_pitch, layer.block_tiles * layer.memory.stage_line_bytes);
  EXPECT_LT(layer.memory.stage_pitch, plain.memory.stage_pitch);
}

TEST(FusedLayer, BlocksOfResNetWasteFewTiles) {
  for (const int size : {56, 28, 14, 7}) {
    FusedLayer layer = layer_of(64, size, size);
    cut_tiles(layer, 1, 32, 2);
    const int side = (size + 1) / 2;
    const double used = 64.0 * side * side / (32.0 * layer.grid_images * layer.grid_rows * layer.grid_columns);
    EXPECT_GT(used, 0.75) << size;
  }
}

/// So many items of each position, and what each warp of 8 gets.
std::vector<std::uint8_t> dealt(const std::vector<int>& counts, int items_per_warp) {
  std::vector<std::uint8_t> positions;
  for (std::size_t i = 0; i < counts.size(); ++i) positions.insert(positions.end(), static_cast<std::size_t>(counts[i]), static_cast<std::uint8_t>(i));
  const std::vector<std::uint8_t> firsts = deal_items(positions, {32, items_per_warp, 8});
  EXPECT_EQ(firsts.size(), 9U);
  EXPECT_EQ(firsts.front(), 0);
  EXPECT_EQ(firsts.back(), positions.size());
  std::vector<std::uint8_t> shares;
  for (std::size_t warp = 0; warp + 1 < firsts.size(); ++warp) {
    EXPECT_LE(firsts[warp], firsts[warp + 1]);
    shares.push_back(static_cast<std::uint8_t>(firsts[warp + 1] - firsts[warp]));
    EXPECT_LE(shares.back(), items_per_warp);
  }
  return shares;
}

TEST(FusedLayer, WarpsGetItemsOfOnePositionWhereThatFits) {
  using Shares = std::vector<std::uint8_t>;
  EXPECT_EQ(dealt({5, 1, 6, 3}, 4), (Shares{1, 2, 2, 1, 2, 2, 2, 3}));
  EXPECT_EQ(dealt({32}, 4), (Shares{4, 4, 4, 4, 4, 4, 4, 4}));
  EXPECT_EQ(dealt({1}, 2), (Shares{0, 0, 0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(dealt({1, 1, 1, 1, 1, 1, 1, 1}, 2), (Shares{1, 1, 1, 1, 1, 1, 1, 1}));
  // Nine positions do not fit eight warps.
  EXPECT_EQ(dealt({1, 1, 1, 1, 1, 1, 1, 1, 1}, 2), (Shares{2, 2, 2, 2, 1, 0, 0, 0}));
}

TEST(FusedLayer, MemoryHoldsWhatABlockKeeps) {
  for (const FusedShape& shape : fused_shapes()) {
    for (const Operand operand : {Operand::f16, Operand::tf32, Operand::f32}) {
      const int bytes = storage_bytes(operand);
      const bool scaled = shape.factors == Factors::scaled;
      if (scaled && bytes == 2) continue;
      FusedLayer layer = layer_of(64, 56, 56);
      layer.slices = 2;
      layer.chunks = 8;
      cut_tiles(layer, 1, shape.tiles, bytes);
      ASSERT_GT(lay_out(layer, 1, shape, operand, kHopper), 0);
      const BlockMemory& memory = layer.memory;
      EXPECT_GE(memory.V, memory.patch_buffers * patch_pixels(layer, 1) * shape.units * 16);
      EXPECT_GE(memory.unit_bytes, layer.block_tiles * 16);
      // Half units of two tiles, or whole ones of one, lie in different banks.
      EXPECT_EQ(memory.unit_bytes / 16 % (scaled && shape.units == 8 ? 4 : 2), scaled && shape.units == 8 ? 2 : 1);
      EXPECT_EQ(memory.part_bytes, layer.max_alive * factor_units(shape.units, shape.factors) * memory.unit_bytes);
      EXPECT_GE(memory.bytes, memory.exchange + (scaled ? 4 * shape.warps() : 0));
      EXPECT_GE(memory.bias, memory.barriers + 3 * 8);
      EXPECT_EQ(memory.bias % 16, 0);
      EXPECT_GE(memory.pixels, memory.bias + layer.slice_groups * kGroupChannels * 4);
      EXPECT_GE(memory.patches, memory.pixels + shape.tiles * 4);
      EXPECT_GE(memory.exchange, memory.patches + shape.tiles * 4);
      EXPECT_EQ(memory.exchange % 16, 0);
      const int V_bytes = memory.part_bytes * (scaled && operand == Operand::f32 ? 2 : 1) + (shape.tiles - layer.block_tiles) * 16;
      EXPECT_GE(memory.barriers, memory.V + V_bytes);
      EXPECT_GE(memory.stage, memory.V + layer.max_items * kItemRows * m_pitch(shape.tiles) * 4);
      EXPECT_GE(memory.stage_lines * memory.stage_line_bytes, layer.slice_groups * kGroupChannels * bytes);
      EXPECT_GE(memory.barriers, memory.stage + memory.stage_lines * memory.stage_pitch);
      EXPECT_EQ(memory.stage % 1024, 0);
      EXPECT_EQ(memory.stage_pitch % 1024, 0);
      EXPECT_LE(memory.bytes, kHopper.shared_bytes);
    }
  }
}

TEST(FusedLayer, TheStageIsApartWhereThatCostsNoResidentBlock) {
  int apart = 0;
  for (const int alive : {2, 9, 16}) {
    for (const int groups : {2, 8, 16, 32}) {
      FusedLayer layer = layer_of(64, 56, 56);
      layer.slices = 1;
      layer.max_alive = alive;
      layer.slice_groups = groups;
      cut_tiles(layer, 1, 32, 2);
      const FusedShape shape{32, 4, 16};
      if (lay_out(layer, 1, shape, Operand::f16, kHopper) == 0) continue;
      const BlockMemory& memory = layer.memory;
      const int V_bytes = memory.part_bytes + (shape.tiles - layer.block_tiles) * 16;
      EXPECT_EQ(memory.stage_apart, memory.V + V_bytes <= memory.stage) << alive << " " << groups;
      apart += memory.stage_apart ? 1 : 0;
    }
  }
  EXPECT_GE(apart, 4);
}

TEST(FusedLayer, BlocksThatShareChannelsHaveEquallyMany) {
  FusedLayer layer = layer_of(1, 14, 14);
  layer.slices = 1;
  cut_tiles(layer, 1, 32, 2);
  for (const int splits : {1, 2, 4}) {
    for (const int chunks : {1, 2, 4, 6, 8}) {
      layer.chunks = chunks;
      const bool even = splits == 1 || chunks * kChunkUnits % (16 * splits) == 0;
      EXPECT_EQ(lay_out(layer, 1, {32, 1, 16, Factors::plain, splits}, Operand::f16, kHopper) > 0, even) << chunks << " in " << splits;
      if (!even) continue;
      EXPECT_EQ(layer.turns * splits, (chunks * kChunkUnits + 15) / 16);
      EXPECT_LE(layer.grid_blocks * layer.slices * splits, kHopper.count);
    }
  }
}

TEST(FusedLayer, TwoPatchesOnlyWhereTheyCostNoResidentBlock) {
  for (const int alive : {2, 9, 16}) {
    FusedLayer layer = layer_of(64, 56, 56);
    layer.slices = 1;
    layer.max_alive = alive;
    cut_tiles(layer, 1, 32, 2);
    const int resident = lay_out(layer, 1, {32, 4}, Operand::f16, kHopper);
    layer.chunks = 1;
    EXPECT_EQ(lay_out(layer, 1, {32, 4}, Operand::f16, kHopper), resident) << alive;
    EXPECT_EQ(layer.memory.patch_buffers, 1);
  }
}

TEST(FusedLayer, RectanglesAreDealtOutEvenly) {
  for (const int batch : {1, 3, 64}) {
    FusedLayer layer = layer_of(batch, 56, 56);
    layer.slices = 3;
    cut_tiles(layer, 1, 32, 2);
    const int resident = lay_out(layer, 1, {32, 4}, Operand::f16, kHopper);
    const int rounds = (layer.rectangles + layer.grid_blocks - 1) / layer.grid_blocks;
    EXPECT_LE(layer.grid_blocks * layer.slices, resident * kHopper.count);
    EXPECT_LE(layer.grid_blocks, layer.rectangles);
    EXPECT_GT(layer.rectangles, (rounds - 1) * layer.grid_blocks);
  }
}

TEST(FusedLayer, NoBlockIsResidentWhereMemoryIsShort) {
  FusedLayer layer = layer_of(64, 56, 56);
  layer.slices = 1;
  cut_tiles(layer, 1, 32, 2);
  EXPECT_EQ(lay_out(layer, 1, {32, 4}, Operand::f16, {132, 16 * 1024}), 0);
}

TEST(Divisor, IsExactBelowTwoToThe31st) {
  static_assert(Divisor(7).quotient(48) == 6);
  for (const std::uint32_t divisor : {1U, 2U, 3U, 7U, 10U, 28U, 49U, 112U, 224U, 784U, 1000U, 65535U, 65537U, 0x7FFFFFFFU}) {
    const Divisor by(divisor);
    const auto check = [&](std::uint64_t n) {
      if (n >= (std::uint64_t{1} << 31)) return;
      ASSERT_EQ(by.quotient(static_cast<std::uint32_t>(n)), n / divisor) << n << " / " << divisor;
    };
    for (std::uint64_t n = 0; n < 3000; ++n) check(n);
    // Multiples and their neighbours are where a reciprocal that is a little off would show.
    for (std::uint64_t multiple = divisor; multiple < (std::uint64_t{1} << 31); multiple += divisor * (1 + multiple / divisor / 500)) {
      check(multiple - 1);
      check(multiple);
      check(multiple + 1);
    }
    for (std::uint64_t n = (std::uint64_t{1} << 31) - 1000; n < (std::uint64_t{1} << 31); ++n) check(n);
  }
}

}  // namespace
}  // namespace wins::runtime::cuda

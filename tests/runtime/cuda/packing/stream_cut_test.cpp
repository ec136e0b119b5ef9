#include "wins/runtime/cuda/stream_cut.hpp"

#include <gtest/gtest.h>

namespace wins::runtime::cuda {
namespace {

constexpr Multiprocessors kHopper{132, 227 * 1024};

TEST(StreamCut, FiltersRingAndStagesFit) {
  for (const std::int64_t chunks : {1, 2, 4, 8, 16}) {
    for (const int filters : {64, 128}) {
      for (const int element_bytes : {2, 4}) {
        const auto cut = cut_stream(200'704, 256, chunks, {filters, element_bytes}, kHopper);
        if (!cut) continue;
        EXPECT_LE((cut->bytes(element_bytes) + 1024) * cut->resident, kHopper.shared_bytes + 1024);
        EXPECT_GE(cut->ring, cut->resident == 2 ? 2 : 3);
        EXPECT_EQ(cut->stages_at() % 1024, 0) << "the copy engine's order of units begins there";
        EXPECT_EQ(cut->barriers_at(element_bytes) % 8, 0);
        EXPECT_GE(cut->bias_at(element_bytes), cut->filter_bytes() + cut->ring * kLineChunkBytes + kStreamStages * cut->stage_bytes(element_bytes));
      }
    }
  }
  EXPECT_EQ(cut_stream(200'704, 256, 1, {128, 2}, kHopper).value().resident, 2);
  EXPECT_EQ(cut_stream(200'704, 256, 2, {128, 2}, kHopper).value().resident, 1);
  EXPECT_FALSE(cut_stream(3136, 512, 32, {64, 2}, kHopper)) << "2048 channels";
}

/// Every tile of pixels is some block's, and none takes two more than another.
TEST(StreamCut, TilesAreDealtOut) {
  for (const std::int64_t pixels : {1, 128, 129, 3136, 50'176, 200'704}) {
    const StreamCut cut = cut_stream(pixels, 512, 2, {128, 2}, kHopper).value();
    EXPECT_EQ(cut.slices, 4);
    EXPECT_EQ(cut.tiles, (pixels + kLinePixels - 1) / kLinePixels);
    EXPECT_GE(cut.blocks, 1);
    EXPECT_LE(cut.blocks * cut.slices, kHopper.count * cut.resident);
    const int rounds = (cut.tiles + cut.blocks - 1) / cut.blocks;
    EXPECT_GT(cut.tiles, (rounds - 1) * cut.blocks) << "a round for nothing";
  }
}

}  // namespace
}  // namespace wins::runtime::cuda

#include "resize.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "fixtures.hpp"

namespace wins::data {
namespace {

using namespace testing;

/// The definition, pixel by pixel in double: a separable triangle over input pixel centres.
double triangle(double distance, double support) {
  return std::max(0.0, 1 - std::abs(distance) / support);
}

double centre(std::int64_t pixel) {
  return static_cast<double>(pixel) + 0.5;
}

double resized_pixel(const Image& in, std::int64_t height, std::int64_t width, std::int64_t y, std::int64_t x,
                     std::int64_t c) {
  const double down = static_cast<double>(in.height) / static_cast<double>(height);
  const double across = static_cast<double>(in.width) / static_cast<double>(width);
  double sum = 0, weights = 0;
  for (std::int64_t v = 0; v < in.height; ++v) {
    const double wy = triangle(centre(v) - centre(y) * down, std::max(down, 1.0));
    if (wy == 0) continue;
    for (std::int64_t u = 0; u < in.width; ++u) {
      const double w = wy * triangle(centre(u) - centre(x) * across, std::max(across, 1.0));
      sum += w * in.pixels[static_cast<std::size_t>((v * in.width + u) * in.channels + c)];
      weights += w;
    }
  }
  return sum / weights;
}

TEST(Resize, MatchesTheDefinition) {
  const std::int64_t sizes[][4] = {{17, 23, 8, 8}, {8, 8, 17, 23}, {31, 5, 4, 19}, {1, 1, 3, 2},
                                   {40, 40, 1, 1}, {9, 9, 9, 4},   {6, 50, 6, 7},  {3, 200, 3, 3}};
  for (const auto& [h, w, height, width] : sizes) {
    for (const std::int64_t channels : {1, 3}) {
      const Image in = noise(h, w, channels);
      const Image out = resize(in, height, width);
      ASSERT_EQ(out.pixels.size(), static_cast<std::size_t>(height * width * channels));
      for (std::int64_t i = 0; i < height * width * channels; ++i) {
        const double wanted =
            resized_pixel(in, height, width, i / channels / width, i / channels % width, i % channels);
        EXPECT_NEAR(out.pixels[static_cast<std::size_t>(i)], wanted, 0.501) << h << "x" << w << " at " << i;
      }
    }
  }
}

// What Pillow 13.0's Image.resize((w, h), BILINEAR) gives; it rounds after each of the two passes.
TEST(Resize, AgreesWithPillow) {
  const Image row{1, 8, 1, {0, 10, 20, 30, 40, 50, 60, 70}};
  EXPECT_EQ(resize(row, 1, 4).pixels, (ByteVector{7, 25, 45, 63}));
  EXPECT_EQ(resize(row, 1, 8).pixels, row.pixels);
  const Image in{3, 5, 1, {0, 200, 13, 90, 255, 7, 31, 180, 64, 99, 250, 3, 77, 140, 21}};
  const int smaller[] = {60, 90, 147, 96, 92, 77};
  const int wider[] = {3, 80, 120, 76, 79, 130, 197, 159, 76, 43, 116, 113, 85, 50};
  for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(resize(in, 2, 3).pixels[i], smaller[i], 1);
  for (std::size_t i = 0; i < 14; ++i) EXPECT_NEAR(resize(in, 2, 7).pixels[i], wider[i], 1);
}

TEST(Resize, WindowIsAPartOfTheWhole) {
  const Image in = noise(29, 37, 3);
  const Image whole = resize(in, 16, 20);
  const Window window{3, 5, 9, 11};
  EXPECT_EQ(resize(in, 16, 20, window).pixels, crop(whole, window).pixels);
  EXPECT_THROW(resize(in, 16, 20, {0, 0, 17, 20}), Error);
  EXPECT_THROW(resize(Image{}, 4, 4), Error);
}

TEST(Crop, OutsideIsZero) {
  const Image in{2, 2, 1, {1, 2, 3, 4}};
  EXPECT_EQ(crop(in, {-1, -1, 3, 3}).pixels, (ByteVector{0, 0, 0, 0, 1, 2, 0, 3, 4}));
  EXPECT_EQ(crop(in, {1, 1, 2, 2}).pixels, (ByteVector{4, 0, 0, 0}));
  EXPECT_EQ(crop(in, {0, 5, 1, 2}).pixels, (ByteVector{0, 0}));
}

TEST(Flip, MirrorsPixelsNotChannels) {
  Image in{1, 3, 3, {1, 2, 3, 4, 5, 6, 7, 8, 9}};
  flip_horizontally(in);
  EXPECT_EQ(in.pixels, (ByteVector{7, 8, 9, 4, 5, 6, 1, 2, 3}));
}

TEST(Channels, GreyAndColour) {
  EXPECT_EQ(to_channels({1, 2, 1, {5, 9}}, 3).pixels, (ByteVector{5, 5, 5, 9, 9, 9}));
  // 0.299 R + 0.587 G + 0.114 B
  EXPECT_EQ(to_channels({1, 3, 3, {255, 0, 0, 0, 255, 0, 0, 0, 255}}, 1).pixels, (ByteVector{76, 150, 29}));
  EXPECT_EQ(to_channels({1, 1, 3, {255, 255, 255}}, 1).pixels, (ByteVector{255}));
  EXPECT_THROW(to_channels({1, 1, 1, {5}}, 4), Error);
}

}  // namespace
}  // namespace wins::data

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixtures.hpp"
#include "wins/data/dataset.hpp"

namespace wins::data {
namespace {

using namespace testing;
using ::testing::HasSubstr;

int largest_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.height, b.height);
  EXPECT_EQ(a.width, b.width);
  EXPECT_EQ(a.channels, b.channels);
  int largest = 0;
  for (std::size_t i = 0; i < std::min(a.pixels.size(), b.pixels.size()); ++i)
    largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  return largest;
}

TEST(Png, GreyAndColourAreExact) {
  for (const std::int64_t channels : {1, 3}) {
    const Image image = noise(7, 13, channels);
    EXPECT_EQ(largest_difference(decode_image(png_of(image), "x.png"), image), 0);
  }
}

TEST(Png, InterlacedIsExact) {
  const Image image = noise(19, 11, 3);
  PngForm form;
  form.interlace = PNG_INTERLACE_ADAM7;
  EXPECT_EQ(decode_image(png_of(19, 11, image.pixels, form), "x.png").pixels, image.pixels);
}

TEST(Png, SixteenBitsAreScaledToEight) {
  PngForm form;
  form.colour_type = PNG_COLOR_TYPE_GRAY;
  form.depth = 16;
  // round(v * 255 / 65535) of 0x0000, 0x00ff, 0x8000, 0xffff
  const Image image = decode_image(png_of(1, 4, {0, 0, 0, 0xff, 0x80, 0, 0xff, 0xff}, form), "x.png");
  EXPECT_EQ(image.channels, 1);
  EXPECT_EQ(image.pixels, (ByteVector{0, 1, 128, 255}));
}

TEST(Png, AlphaIsDropped) {
  PngForm form;
  form.colour_type = PNG_COLOR_TYPE_RGB_ALPHA;
  const Image colour = decode_image(png_of(1, 2, {1, 2, 3, 0, 4, 5, 6, 255}, form), "x.png");
  EXPECT_EQ(colour.channels, 3);
  EXPECT_EQ(colour.pixels, (ByteVector{1, 2, 3, 4, 5, 6}));
  form.colour_type = PNG_COLOR_TYPE_GRAY_ALPHA;
  const Image grey = decode_image(png_of(1, 2, {7, 0, 8, 255}, form), "x.png");
  EXPECT_EQ(grey.channels, 1);
  EXPECT_EQ(grey.pixels, (ByteVector{7, 8}));
}

TEST(Png, PalettesAndLowDepthsAreExpanded) {
  PngForm form;
  form.colour_type = PNG_COLOR_TYPE_PALETTE;
  form.depth = 2;
  form.palette = {{10, 20, 30}, {40, 50, 60}, {70, 80, 90}};
  form.palette_alpha = {0, 128};
  const Image image = decode_image(png_of(1, 3, {0b00011000}, form), "x.png");
  EXPECT_EQ(image.pixels, (ByteVector{10, 20, 30, 40, 50, 60, 70, 80, 90}));
  PngForm bits;
  bits.colour_type = PNG_COLOR_TYPE_GRAY;
  bits.depth = 1;
  EXPECT_EQ(decode_image(png_of(1, 8, {0b10110000}, bits), "x.png").pixels,
            (ByteVector{255, 0, 255, 255, 0, 0, 0, 0}));
}

TEST(Png, BrokenFilesAreNamed) {
  const ByteVector good = png_of(noise(16, 16, 3));
  for (std::size_t size = 0; size < good.size(); size += 7) {
    const ByteVector cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THAT(error_of([&] { decode_image(cut, "cut.png"); }), HasSubstr("cut.png"));
  }
  ByteVector flipped = good;
  flipped[good.size() / 2] ^= 0x40;
  EXPECT_THAT(error_of([&] { decode_image(flipped, "flipped.png"); }), HasSubstr("flipped.png: broken PNG"));
}

TEST(Png, HugeExtentsAreRefusedBeforeMemoryIsTaken) {
  ByteVector bytes = png_of(noise(4, 4, 3));
  // IHDR's extents and its checksum, as libpng would verify them.
  const auto store = [&](std::size_t at, std::uint32_t value) {
    for (int i = 0; i < 4; ++i)
      bytes[at + static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
  };
  const auto set_extents = [&](std::uint32_t width, std::uint32_t height) {
    store(16, width);
    store(20, height);
    store(29, static_cast<std::uint32_t>(crc32(0, bytes.data() + 12, 17)));
  };
  set_extents(2'000'000'000, 2'000'000'000);
  EXPECT_THAT(error_of([&] { decode_image(bytes, "bomb.png"); }), HasSubstr("100 million"));
  set_extents(9'000, 9'000);
  EXPECT_THAT(error_of([&] { decode_image(bytes, "bomb.png"); }), HasSubstr("bomb.png: truncated"));
}

TEST(Jpeg, EverySubsamplingDecodes) {
  const Image image = ramp(19, 41, 3);  // one chroma everywhere: no subsampling may change it
  for (int subsampling = 0; subsampling < TJ_NUMSAMP; ++subsampling) {
    if (subsampling == TJSAMP_GRAY) continue;
    EXPECT_LE(largest_difference(decode_image(jpeg_of(image, subsampling), "x.jpg"), image), 6)
        << subsampling;
  }
}

TEST(Jpeg, GreyAndProgressive) {
  const Image grey = ramp(20, 31, 1);
  EXPECT_LE(largest_difference(decode_image(jpeg_of(grey), "x.jpg"), grey), 4);
  const Image colour = ramp(24, 24, 3);
  EXPECT_LE(
      largest_difference(decode_image(jpeg_of(colour, TJSAMP_444, TJFLAG_PROGRESSIVE), "x.jpg"), colour), 6);
}

TEST(Jpeg, CmykBecomesRgb) {
  Image inks{16, 16, 4, {}};
  for (int i = 0; i < 256; ++i) {
    const std::uint8_t pixel[] = {200, 100, 50, 128};  // inverted, as Adobe's writers store it
    inks.pixels.insert(inks.pixels.end(), std::begin(pixel), std::end(pixel));
  }
  const Image image = decode_image(jpeg_of(inks), "x.jpg");
  ASSERT_EQ(image.channels, 3);
  EXPECT_NEAR(image.pixels[0], 200 * 128 / 255, 2);
  EXPECT_NEAR(image.pixels[1], 100 * 128 / 255, 2);
  EXPECT_NEAR(image.pixels[2], 50 * 128 / 255, 2);
}

TEST(Jpeg, TruncatedAndDamagedFilesAreNamed) {
  const ByteVector good = jpeg_of(noise(40, 40, 3));
  for (const double share : {0.01, 0.2, 0.5, 0.9}) {
    const auto size = static_cast<std::ptrdiff_t>(share * static_cast<double>(good.size()));
    const ByteVector cut(good.begin(), good.begin() + size);
    EXPECT_THAT(error_of([&] { decode_image(cut, "cut.jpg"); }), HasSubstr("cut.jpg"));
  }
}

TEST(Jpeg, HugeExtentsAreRefused) {
  ByteVector bytes = jpeg_of(noise(8, 8, 3));
  std::size_t at = 2;  // walk to the frame header, SOF0
  while (bytes[at + 1] != 0xc0) at += 2 + (static_cast<std::size_t>(bytes[at + 2]) << 8 | bytes[at + 3]);
  for (std::size_t i = 5; i < 9; ++i) bytes[at + i] = 0xff;
  EXPECT_THAT(error_of([&] { decode_image(bytes, "bomb.jpg"); }), HasSubstr("bomb.jpg"));
  bytes[at + 5] = bytes[at + 7] = 0x20;
  EXPECT_THAT(error_of([&] { decode_image(bytes, "bomb.jpg"); }), HasSubstr("truncated"));
}

TEST(Image, ContentDecidesNotTheName) {
  const Image image = noise(5, 5, 1);
  EXPECT_EQ(decode_image(png_of(image), "x.JPEG").pixels, image.pixels);
  EXPECT_THAT(error_of([] { decode_image({}, "zero.jpg"); }), HasSubstr("zero.jpg: empty"));
  EXPECT_THAT(error_of([] {
                decode_image({'G', 'I', 'F', '8'}, "a.jpg");
              }),
              HasSubstr("neither a JPEG nor a PNG"));
  EXPECT_THAT(error_of([] { read_image("/nowhere/a.jpg"); }), HasSubstr("/nowhere/a.jpg"));
}

}  // namespace
}  // namespace wins::data

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "augment.hpp"
#include "fixtures.hpp"
#include "idx.hpp"
#include "resize.hpp"
#include "wins/data/loader.hpp"

namespace wins::data {
namespace {

using namespace testing;
using ::testing::HasSubstr;

Preprocess square(std::int64_t side, std::int64_t resize_to = 0) {
  Preprocess preprocess;
  preprocess.height = preprocess.width = side;
  preprocess.resize = resize_to;
  return preprocess;
}

/// Pixels as a key for sets.
std::string as_text(const Image& image) {
  return {image.pixels.begin(), image.pixels.end()};
}

TEST(Preprocess, MetadataRoundTrip) {
  Preprocess preprocess = square(32, 36);
  preprocess.channels = 1;
  preprocess.mean = {0.1307F};
  preprocess.deviation = {1.0F / 3};
  preprocess.classes = {"T-shirt/top", "Sandale, \"neu\"", "bag"};
  const Preprocess back = Preprocess::from_metadata(preprocess.to_metadata());
  EXPECT_EQ(back.channels, 1);
  EXPECT_EQ(back.height, 32);
  EXPECT_EQ(back.width, 32);
  EXPECT_EQ(back.resize, 36);
  EXPECT_EQ(back.mean, preprocess.mean);
  EXPECT_EQ(back.deviation, preprocess.deviation);
  EXPECT_EQ(back.classes, preprocess.classes);
  const Preprocess none = Preprocess::from_metadata({{"other", "x"}});
  EXPECT_EQ(none.channels, 3);
  EXPECT_TRUE(none.classes.empty());
}

TEST(Preprocess, BadMetadataIsNamed) {
  for (const auto& [key, value] :
       std::map<std::string, std::string>{{"wins.input.height", "12px"},
                                          {"wins.input.mean", "0.5,x"},
                                          {"wins.input.deviation", "0.5,,1"},
                                          {"wins.input.width", "99999999999999999999"}})
    EXPECT_THAT(error_of([&, k = key, v = value] { Preprocess::from_metadata({{k, v}}); }), HasSubstr(key));
  const Image image = noise(4, 4, 3);
  const auto message = [&](Preprocess preprocess) { return error_of([&] { preprocess.apply(image); }); };
  EXPECT_THAT(message(Preprocess()), HasSubstr("wins.input.height is 0"));
  Preprocess wrong = square(4);
  wrong.mean = {0.5F};
  EXPECT_THAT(message(wrong), HasSubstr("wins.input.mean has 1 values for 3"));
  wrong.mean = {};
  wrong.deviation = {1, 0, 1};
  EXPECT_THAT(message(wrong), HasSubstr("wins.input.deviation holds 0"));
  wrong = square(4);
  wrong.channels = 4;
  EXPECT_THAT(message(wrong), HasSubstr("wins.input.channels is 4"));
}

TEST(Preprocess, NormalisesPerChannel) {
  Preprocess preprocess = square(2);
  preprocess.mean = {0.5F, 0.25F, 0};
  preprocess.deviation = {0.5F, 2, 1};
  const Image image{2, 2, 3, {0, 51, 255, 255, 0, 0, 0, 0, 0, 0, 0, 102}};
  const Tensor tensor = preprocess.apply(image);
  EXPECT_EQ(tensor.shape(), (Shape{3, 2, 2}));
  const auto values = tensor.data<float>();
  EXPECT_FLOAT_EQ(values[0], -1);
  EXPECT_FLOAT_EQ(values[1], 1);
  EXPECT_FLOAT_EQ(values[4], (0.2F - 0.25F) / 2);
  EXPECT_FLOAT_EQ(values[8], 1);
  EXPECT_FLOAT_EQ(values[11], 0.4F);
}

TEST(Preprocess, ShorterSideThenCentreCrop) {
  const Image wide = noise(20, 41, 3);
  const Image fitted = fit(square(8, 10), wide);
  // 10 x 20.5 -> 10 x 20; the crop starts at (1, 6)
  EXPECT_EQ(fitted.pixels, crop(resize(wide, 10, 20), {1, 6, 8, 8}).pixels);
  Preprocess tall = square(8, 4);  // the resized picture still covers the crop
  tall.height = 30;
  EXPECT_EQ(fit(tall, wide).height, 30);
  // A needle must not be blown up as a whole.
  Image needle{1, 3'000'000, 1, ByteVector(3'000'000, 9)};
  EXPECT_EQ(fit(square(224, 256), needle).pixels, ByteVector(224 * 224 * 3, 9));
}

TEST(Augment, FlipsHalfAndKeepsThePicture) {
  const Image image = noise(8, 8, 3);
  Image mirrored = image;
  flip_horizontally(mirrored);
  Augment augment;
  augment.flip = true;
  int flipped = 0;
  for (std::uint64_t i = 0; i < 400; ++i) {
    Random random{i};
    const Image out = fit_randomly(square(8), augment, image, random);
    ASSERT_TRUE(out.pixels == image.pixels || out.pixels == mirrored.pixels);
    flipped += out.pixels == mirrored.pixels ? 1 : 0;
  }
  EXPECT_NEAR(flipped, 200, 50);
}

TEST(Augment, PadCropReachesEveryOffset) {
  const Image image = noise(6, 6, 1);
  Preprocess preprocess = square(6);
  preprocess.channels = 1;
  Augment augment;
  augment.pad_crop = 2;
  std::set<std::string> wanted, seen;
  for (std::int64_t y = -2; y <= 2; ++y)
    for (std::int64_t x = -2; x <= 2; ++x) wanted.insert(as_text(crop(image, {y, x, 6, 6})));
  for (std::uint64_t i = 0; i < 1000; ++i) {
    Random random{i};
    seen.insert(as_text(fit_randomly(preprocess, augment, image, random)));
  }
  EXPECT_EQ(seen, wanted);
}

TEST(Augment, CutoutSetsASquareToTheMean) {
  Image white{16, 16, 3, ByteVector(16 * 16 * 3, 255)};
  Preprocess preprocess = square(16);
  preprocess.mean = {0.2F, 0.4F, 0.6F};
  Augment augment;
  augment.cutout = 5;
  std::size_t most = 0;
  for (std::uint64_t i = 0; i < 50; ++i) {
    Random random{i};
    const Image out = fit_randomly(preprocess, augment, white, random);
    std::size_t cut = 0;
    for (std::size_t p = 0; p < 256; ++p) {
      if (out.pixels[3 * p] == 255) continue;
      ++cut;
      EXPECT_EQ(out.pixels[3 * p], 51);
      EXPECT_EQ(out.pixels[3 * p + 1], 102);
      EXPECT_EQ(out.pixels[3 * p + 2], 153);
    }
    EXPECT_GE(cut, 9U);  // at least a corner of 3 x 3
    most = std::max(most, cut);
  }
  EXPECT_EQ(most, 25U);
}

TEST(Augment, RandomResizedCropHasTheSizeAndVaries) {
  Augment augment;
  augment.random_resized = 0.08;
  std::set<std::string> seen;
  for (std::uint64_t i = 0; i < 50; ++i) {
    Random random{i};
    const Image out = fit_randomly(square(12), augment, noise(33, 21, 3), random);
    EXPECT_EQ(out.height, 12);
    EXPECT_EQ(out.width, 12);
    seen.insert(as_text(out));
  }
  EXPECT_EQ(seen.size(), 50U);
  for (std::uint64_t i = 0; i < 20; ++i) {  // extreme shapes fall back to a centred window
    Random random{i};
    EXPECT_EQ(fit_randomly(square(12), augment, noise(1, 90, 3), random).width, 12);
    EXPECT_EQ(fit_randomly(square(12), augment, noise(1, 1, 1), random).width, 12);
  }
}

TEST(Normalization, MeanAndDeviationOfThePictures) {
  ByteVector values;
  double sum = 0, squares = 0;
  for (int i = 0; i < 50 * 16; ++i) {
    values.push_back(static_cast<std::uint8_t>((i * 37) % 256));
    sum += values.back() / 255.0;
    squares += values.back() / 255.0 * values.back() / 255.0;
  }
  const auto dataset = make_idx_dataset({{50, 4, 4}, values}, {{50}, ByteVector(50, 0)}, {}, "x");
  Preprocess preprocess = square(4);
  preprocess.channels = 1;
  measure_normalization(*dataset, preprocess);
  ASSERT_EQ(preprocess.mean.size(), 1U);
  EXPECT_NEAR(preprocess.mean[0], sum / 800, 1e-6);
  EXPECT_NEAR(preprocess.deviation[0], std::sqrt(squares / 800 - sum / 800 * sum / 800), 1e-6);
  const auto constant = make_idx_dataset({{2, 4, 4}, ByteVector(32, 9)}, {{2}, ByteVector(2, 0)}, {}, "x");
  measure_normalization(*constant, preprocess);
  EXPECT_EQ(preprocess.deviation[0], 1.0F);
}

}  // namespace
}  // namespace wins::data

#include "augment.hpp"

#include <algorithm>
#include <cmath>

#include "resize.hpp"
#include "wins/base/error.hpp"

namespace wins::data {
namespace {

/// Random area and aspect ratio (Szegedy et al. 2015, section 6); after ten misses the largest centred window
/// with an allowed aspect ratio.
Window random_window(const Image& image, double smallest_area, Random& random) {
  const auto height = static_cast<double>(image.height), width = static_cast<double>(image.width);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = height * width * random.uniform(smallest_area, 1);
    const double aspect = std::exp(random.uniform(std::log(3.0 / 4), std::log(4.0 / 3)));
    const std::int64_t w = std::llround(std::sqrt(area * aspect));
    const std::int64_t h = std::llround(std::sqrt(area / aspect));
    if (w < 1 || h < 1 || w > image.width || h > image.height) continue;
    return {random.below(image.height - h + 1), random.below(image.width - w + 1), h, w};
  }
  const double aspect = std::clamp(width / height, 3.0 / 4, 4.0 / 3);
  const std::int64_t w = std::clamp<std::int64_t>(std::llround(height * aspect), 1, image.width);
  const std::int64_t h = std::clamp<std::int64_t>(std::llround(width / aspect), 1, image.height);
  return {(image.height - h) / 2, (image.width - w) / 2, h, w};
}

/// A square around a random pixel, clipped at the edges (DeVries and Taylor 2017), set to the mean.
void cut_out(Image& image, std::int64_t side, const std::vector<float>& mean, Random& random) {
  const std::int64_t top = random.below(image.height) - side / 2, left = random.below(image.width) - side / 2;
  for (std::int64_t y = std::max<std::int64_t>(top, 0); y < std::min(top + side, image.height); ++y) {
    for (std::int64_t x = std::max<std::int64_t>(left, 0); x < std::min(left + side, image.width); ++x) {
      for (std::int64_t c = 0; c < image.channels; ++c) {
        const float value = mean.empty() ? 0.0F : mean[static_cast<std::size_t>(c)];
        image.pixels[static_cast<std::size_t>((y * image.width + x) * image.channels + c)] =
            static_cast<std::uint8_t>(std::clamp(std::lround(value * 255), 0L, 255L));
      }
    }
  }
}

}  // namespace

void check(const Augment& augment) {
  require(augment.pad_crop >= 0 && augment.pad_crop <= 4096, "augmentation pad_crop {}: expected 0 to 4096",
          augment.pad_crop);
  require(augment.random_resized >= 0 && augment.random_resized <= 1,
          "augmentation random_resized {}: expected [0, 1]", augment.random_resized);
  require(augment.cutout >= 0 && augment.cutout <= 65536, "augmentation cutout {}: expected 0 to 65536",
          augment.cutout);
}

Image fit(const Preprocess& preprocess, Image image) {
  require(image.height > 0 && image.width > 0, "picture of {} x {} pixels", image.width, image.height);
  image = to_channels(std::move(image), preprocess.channels);
  if (preprocess.resize == 0) return resize(image, preprocess.height, preprocess.width);
  // At least as large as the crop, whatever the shape of the picture.
  const auto height = static_cast<double>(image.height), width = static_cast<double>(image.width);
  const double scale = std::max({static_cast<double>(preprocess.resize) / std::min(height, width),
                                 static_cast<double>(preprocess.height) / height,
                                 static_cast<double>(preprocess.width) / width});
  const auto extent = [&](double side, std::int64_t least) {
    return std::max(static_cast<std::int64_t>(std::floor(side * scale + 1e-6)), least);
  };
  const std::int64_t full_height = extent(height, preprocess.height),
                     full_width = extent(width, preprocess.width);
  const auto centre = [](std::int64_t all, std::int64_t part) {
    return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(all - part) / 2));
  };
  return resize(image, full_height, full_width,
                {centre(full_height, preprocess.height), centre(full_width, preprocess.width),
                 preprocess.height, preprocess.width});
}

Image fit_randomly(const Preprocess& preprocess, const Augment& augment, Image image, Random& random) {
  if (augment.random_resized > 0) {
    require(image.height > 0 && image.width > 0, "picture of {} x {} pixels", image.width, image.height);
    const Window window = random_window(image, augment.random_resized, random);
    image =
        resize(to_channels(crop(image, window), preprocess.channels), preprocess.height, preprocess.width);
  } else {
    image = fit(preprocess, std::move(image));
  }
  if (augment.pad_crop > 0) {
    const std::int64_t pad = augment.pad_crop;
    const std::int64_t top = random.below(2 * pad + 1) - pad, left = random.below(2 * pad + 1) - pad;
    image = crop(image, {top, left, image.height, image.width});
  }
  if (augment.flip && (random.next() & 1) != 0) flip_horizontally(image);
  if (augment.cutout > 0) cut_out(image, augment.cutout, preprocess.mean, random);
  return image;
}

void normalize(const Preprocess& preprocess, const Image& image, float* out) {
  const std::size_t count = static_cast<std::size_t>(image.height * image.width);
  const auto channels = static_cast<std::size_t>(image.channels);
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = preprocess.mean.empty() ? 0 : preprocess.mean[c];
    const double deviation = preprocess.deviation.empty() ? 1 : preprocess.deviation[c];
    float table[256];
    for (int v = 0; v < 256; ++v) table[v] = static_cast<float>((v / 255.0 - mean) / deviation);
    for (std::size_t i = 0; i < count; ++i) *out++ = table[image.pixels[i * channels + c]];
  }
}

}  // namespace wins::data

#include "resize.hpp"

#include <algorithm>
#include <cmath>

#include "wins/base/error.hpp"

namespace wins::data {
namespace {

/// For each output position: the first input position it reads, and its weights.
struct Taps {
  std::vector<std::int64_t> first;
  std::vector<std::vector<float>> weights;
};

/// Output positions [begin, begin + count) of a line of `in` samples resized to `out`.
Taps triangle_taps(std::int64_t in, std::int64_t out, std::int64_t begin, std::int64_t count) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double support = std::max(scale, 1.0);
  Taps taps;
  for (std::int64_t x = begin; x < begin + count; ++x) {
    const double centre = (static_cast<double>(x) + 0.5) * scale;
    const auto low = std::max<std::int64_t>(static_cast<std::int64_t>(std::floor(centre - support)), 0);
    const auto high = std::min<std::int64_t>(static_cast<std::int64_t>(std::ceil(centre + support)), in);
    std::vector<double> weights;
    double sum = 0;
    for (std::int64_t i = low; i < high; ++i) {
      weights.push_back(std::max(0.0, 1 - std::abs((static_cast<double>(i) + 0.5 - centre) / support)));
      sum += weights.back();
    }
    std::vector<float> normal;
    for (const double weight : weights) normal.push_back(static_cast<float>(weight / sum));
    taps.first.push_back(low);
    taps.weights.push_back(std::move(normal));
  }
  return taps;
}

/// One input row through the horizontal taps: [width x channels] floats.
void resize_row(const std::uint8_t* row, std::int64_t channels, const Taps& taps, float* out) {
  for (std::size_t x = 0; x < taps.first.size(); ++x) {
    const std::uint8_t* in = row + taps.first[x] * channels;
    for (std::int64_t c = 0; c < channels; ++c) {
      float sum = 0;
      for (std::size_t t = 0; t < taps.weights[x].size(); ++t)
        sum += taps.weights[x][t] * static_cast<float>(in[static_cast<std::int64_t>(t) * channels + c]);
      *out++ = sum;
    }
  }
}

std::uint8_t to_byte(float value) {
  return static_cast<std::uint8_t>(std::clamp(value + 0.5F, 0.0F, 255.0F));
}

/// Horizontally resized input rows, each computed once, dropped when no output row needs it any more.
class RowCache {
 public:
  RowCache(const Image& image, const Taps& taps, std::size_t slots)
      : image_(image), taps_(taps), rows_(slots), held_(slots, -1) {}

  const float* row(std::int64_t y) {
    const std::size_t slot = static_cast<std::size_t>(y) % rows_.size();
    if (held_[slot] != y) {
      rows_[slot].resize(taps_.first.size() * static_cast<std::size_t>(image_.channels));
      resize_row(image_.pixels.data() + y * image_.width * image_.channels, image_.channels, taps_,
                 rows_[slot].data());
      held_[slot] = y;
    }
    return rows_[slot].data();
  }

 private:
  const Image& image_;
  const Taps& taps_;
  std::vector<std::vector<float>> rows_;
  std::vector<std::int64_t> held_;
};

}  // namespace

Image resize(const Image& image, std::int64_t height, std::int64_t width, const Window& window) {
  require(image.height > 0 && image.width > 0 && height > 0 && width > 0,
          "cannot resize {} x {} to {} x {} pixels", image.width, image.height, width, height);
  require(window.top >= 0 && window.left >= 0 && window.top + window.height <= height &&
              window.left + window.width <= width,
          "resize: window outside {} x {} pixels", width, height);
  if (height == image.height && width == image.width) return crop(image, window);
  const Taps across = triangle_taps(image.width, width, window.left, window.width);
  const Taps down = triangle_taps(image.height, height, window.top, window.height);
  std::size_t slots = 1;
  for (const auto& weights : down.weights) slots = std::max(slots, weights.size());

  RowCache cache(image, across, slots);
  const std::size_t row_size = static_cast<std::size_t>(window.width * image.channels);
  Image out{window.height, window.width, image.channels, {}};
  out.pixels.reserve(static_cast<std::size_t>(window.height) * row_size);
  std::vector<float> sums(row_size);
  for (std::size_t y = 0; y < down.first.size(); ++y) {
    std::fill(sums.begin(), sums.end(), 0.0F);
    for (std::size_t t = 0; t < down.weights[y].size(); ++t) {
      const float* row = cache.row(down.first[y] + static_cast<std::int64_t>(t));
      for (std::size_t i = 0; i < row_size; ++i) sums[i] += down.weights[y][t] * row[i];
    }
    std::transform(sums.begin(), sums.end(), std::back_inserter(out.pixels), to_byte);
  }
  return out;
}

Image resize(const Image& image, std::int64_t height, std::int64_t width) {
  return resize(image, height, width, {0, 0, height, width});
}

Image crop(const Image& image, const Window& window) {
  if (window.top == 0 && window.left == 0 && window.height == image.height && window.width == image.width)
    return image;
  Image out{window.height, window.width, image.channels, {}};
  out.pixels.assign(static_cast<std::size_t>(window.height * window.width * image.channels), 0);
  const std::int64_t left = std::max<std::int64_t>(window.left, 0);
  const std::int64_t right = std::min(window.left + window.width, image.width);
  if (left >= right) return out;
  for (std::int64_t y = 0; y < window.height; ++y) {
    const std::int64_t from = y + window.top;
    if (from < 0 || from >= image.height) continue;
    const std::uint8_t* row = image.pixels.data() + (from * image.width + left) * image.channels;
    std::copy_n(row, (right - left) * image.channels,
                out.pixels.data() + (y * window.width + left - window.left) * image.channels);
  }
  return out;
}

void flip_horizontally(Image& image) {
  for (std::int64_t y = 0; y < image.height; ++y) {
    std::uint8_t* row = image.pixels.data() + y * image.width * image.channels;
    for (std::int64_t x = 0; x < image.width / 2; ++x)
      std::swap_ranges(row + x * image.channels, row + (x + 1) * image.channels,
                       row + (image.width - 1 - x) * image.channels);
  }
}

Image to_channels(Image image, std::int64_t channels) {
  if (image.channels == channels) return image;
  require((image.channels == 1 || image.channels == 3) && (channels == 1 || channels == 3),
          "cannot turn a picture of {} channels into {}", image.channels, channels);
  Image out{image.height, image.width, channels, {}};
  const std::size_t count = static_cast<std::size_t>(image.height * image.width);
  out.pixels.resize(count * static_cast<std::size_t>(channels));
  for (std::size_t i = 0; i < count; ++i) {
    if (channels == 3) {
      std::fill_n(out.pixels.begin() + static_cast<std::ptrdiff_t>(3 * i), 3, image.pixels[i]);
    } else {
      const std::uint8_t* rgb = image.pixels.data() + 3 * i;
      const std::uint32_t luma = 19595U * rgb[0] + 38470U * rgb[1] + 7471U * rgb[2] + 0x8000U;
      out.pixels[i] = static_cast<std::uint8_t>(luma >> 16);
    }
  }
  return out;
}

}  // namespace wins::data

// Geometry of 8-bit pictures.
#pragma once

#include <cstdint>

#include "wins/data/dataset.hpp"

namespace wins::data {

/// A rectangle of pixels.
struct Window {
  std::int64_t top = 0, left = 0, height = 0, width = 0;
};

/// The part `window` of `image` resized to `height` x `width`, without computing the rest.
/// Bilinear: a triangle filter over pixel centres whose support grows with the reduction
/// (antialiased, as Pillow's BILINEAR), edges renormalised; one rounding at the end.
Image resize(const Image& image, std::int64_t height, std::int64_t width, const Window& window);
Image resize(const Image& image, std::int64_t height, std::int64_t width);

/// The part `window`; what lies outside the picture is zero.
Image crop(const Image& image, const Window& window);

void flip_horizontally(Image& image);

/// 1 or 3 channels: grey is repeated, colour becomes luma (ITU-R 601-2, as Pillow's "L").
Image to_channels(Image image, std::int64_t channels);

}  // namespace wins::data

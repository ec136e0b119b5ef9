// The steps between a decoded picture and network input, shared by evaluation and training.
#pragma once

#include <cstdint>

#include "random.hpp"
#include "wins/data/loader.hpp"

namespace wins::data {

/// Throws `Error` naming the field that makes no sense (extents, channels, mean, deviation).
void check(const Preprocess& preprocess);
/// Throws `Error` naming the option out of range.
void check(const Augment& augment);

/// Resized and centre-cropped to height x width, with the right number of channels, still 8 bit.
Image fit(const Preprocess& preprocess, Image image);
/// The same with random changes.
Image fit_randomly(const Preprocess& preprocess, const Augment& augment, Image image, Random& random);

/// (value / 255 - mean) / deviation into `out`, C x H x W floats.
void normalize(const Preprocess& preprocess, const Image& image, float* out);

}  // namespace wins::data

// Images from one pitch to another: what is left of a concatenation when a kernel cannot work inside it.
#pragma once

#include <cstdint>
#include <memory>

#include "kernel.hpp"

namespace wins::runtime::cpu {

struct ImageCopy {
  std::int64_t images;
  std::int64_t floats;                ///< of one
  std::int64_t from_pitch, to_pitch;  ///< floats from one image to the next
};

/// Copies input 0 to output 0.
std::unique_ptr<Step> image_copy_step(const ImageCopy& copy, int threads);

}  // namespace wins::runtime::cpu

// The two picture formats, and the bounds that both obey.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "wins/data/dataset.hpp"

namespace wins::data {

inline constexpr std::int64_t kMaxPixels = 100'000'000;
/// Encoded pictures larger than this are refused unread.
inline constexpr std::uintmax_t kMaxPictureBytes = std::uintmax_t{256} << 20;

using Bytes = std::span<const std::uint8_t>;

bool looks_like_jpeg(Bytes bytes);
bool looks_like_png(Bytes bytes);
/// jpg, jpeg or png in any case.
bool has_picture_extension(const std::string& file_name);

/// Throws `Error` when the extents are empty, exceed `kMaxPixels`, or could not possibly be coded
/// in `bytes` bytes (`pixels_per_byte` is the format's best compression): a header that lies must
/// not cost memory.
void check_extents(std::int64_t width, std::int64_t height, std::size_t bytes, std::int64_t pixels_per_byte,
                   const std::string& name);

Image decode_jpeg(Bytes bytes, const std::string& name);
Image decode_png(Bytes bytes, const std::string& name);

}  // namespace wins::data

#include <turbojpeg.h>

#include <cstring>
#include <memory>

#include "codecs.hpp"
#include "wins/base/error.hpp"

namespace wins::data {
namespace {

// Huffman coding spends at least one bit on each 8 x 8 block; arithmetic coding can do better.
constexpr std::int64_t kPixelsPerByte = 8192;

struct CloseHandle {
  void operator()(void* handle) const { tjDestroy(handle); }
};
using Handle = std::unique_ptr<void, CloseHandle>;

/// Whether an APP14 "Adobe" segment stands before the image data: its writers store CMYK inverted.
bool has_adobe_marker(Bytes bytes) {
  std::size_t at = 2;
  while (at + 4 <= bytes.size() && bytes[at] == 0xff) {
    const std::uint8_t marker = bytes[at + 1];
    if (marker == 0xff) {  // fill byte
      ++at;
      continue;
    }
    if (marker == 0xda) return false;
    const std::size_t length = static_cast<std::size_t>(bytes[at + 2]) << 8 | bytes[at + 3];
    if (marker == 0xee && at + 9 <= bytes.size() && std::memcmp(bytes.data() + at + 4, "Adobe", 5) == 0)
      return true;
    at += 2 + length;
  }
  return false;
}

Image cmyk_to_rgb(const Image& cmyk, bool inverted) {
  Image rgb{cmyk.height, cmyk.width, 3, {}};
  rgb.pixels.resize(static_cast<std::size_t>(cmyk.height * cmyk.width * 3));
  const std::size_t count = static_cast<std::size_t>(cmyk.height * cmyk.width);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* in = cmyk.pixels.data() + 4 * i;
    const int black = inverted ? in[3] : 255 - in[3];
    for (std::size_t c = 0; c < 3; ++c) {
      const int ink = inverted ? in[c] : 255 - in[c];
      rgb.pixels[3 * i + c] = static_cast<std::uint8_t>((ink * black + 127) / 255);
    }
  }
  return rgb;
}

/// A warning that leaves the pixels right; every other one means damaged or missing data.
bool harmless(const char* warning) {
  return std::strstr(warning, "extraneous bytes before marker") != nullptr;
}

}  // namespace

Image decode_jpeg(Bytes bytes, const std::string& name) {
  const Handle handle(tjInitDecompress());
  require(handle != nullptr, "{}: the JPEG decoder does not start: {}", name, tjGetErrorStr2(nullptr));
  int width = 0, height = 0, subsampling = 0, colour_space = 0;
  const auto size = static_cast<unsigned long>(bytes.size());
  if (tjDecompressHeader3(handle.get(), bytes.data(), size, &width, &height, &subsampling, &colour_space) !=
          0 &&
      tjGetErrorCode(handle.get()) == TJERR_FATAL)
    fail("{}: broken JPEG: {}", name, tjGetErrorStr2(handle.get()));
  check_extents(width, height, bytes.size(), kPixelsPerByte, name);

  const bool four_inks = colour_space == TJCS_CMYK || colour_space == TJCS_YCCK;
  const bool grey = colour_space == TJCS_GRAY;
  Image image{height, width, grey ? 1 : four_inks ? 4 : 3, {}};
  image.pixels.resize(static_cast<std::size_t>(image.height * image.width * image.channels));
  const int format = grey ? TJPF_GRAY : four_inks ? TJPF_CMYK : TJPF_RGB;
  const int status = tjDecompress2(handle.get(), bytes.data(), size, image.pixels.data(), width, 0, height,
                                   format, TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS);
  if (status != 0) {
    const char* message = tjGetErrorStr2(handle.get());
    const bool fatal = tjGetErrorCode(handle.get()) == TJERR_FATAL;
    require(!fatal && harmless(message), "{}: broken JPEG: {}", name, message);
  }
  return four_inks ? cmyk_to_rgb(image, has_adobe_marker(bytes)) : image;
}

}  // namespace wins::data

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include "codecs.hpp"
#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/data/dataset.hpp"

namespace wins::data {
namespace {

template <std::size_t N>
bool starts_with(Bytes bytes, const std::array<std::uint8_t, N>& magic) {
  return bytes.size() >= N && std::equal(magic.begin(), magic.end(), bytes.begin());
}

}  // namespace

bool looks_like_jpeg(Bytes bytes) {
  return starts_with<3>(bytes, {0xff, 0xd8, 0xff});
}

bool looks_like_png(Bytes bytes) {
  return starts_with<8>(bytes, {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'});
}

bool has_picture_extension(const std::string& file_name) {
  std::string extension = std::filesystem::path(file_name).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

void check_extents(std::int64_t width, std::int64_t height, std::size_t bytes, std::int64_t pixels_per_byte,
                   const std::string& name) {
  require(width > 0 && height > 0, "{}: picture of {} x {} pixels", name, width, height);
  require(width <= kMaxPixels / height, "{}: {} x {} pixels, more than the {} million allowed", name, width,
          height, kMaxPixels / 1'000'000);
  require(width * height <= pixels_per_byte * static_cast<std::int64_t>(bytes),
          "{}: truncated: {} bytes cannot hold {} x {} pixels", name, bytes, width, height);
}

// The content decides, not the file name: well-known data sets hold PNG files called .JPEG.
Image decode_image(const std::vector<std::uint8_t>& bytes, const std::string& name) {
  require(!bytes.empty(), "{}: empty file, expected a JPEG or PNG picture", name);
  if (looks_like_jpeg(bytes)) return decode_jpeg(bytes, name);
  if (looks_like_png(bytes)) return decode_png(bytes, name);
  fail("{}: neither a JPEG nor a PNG picture", name);
}

Image read_image(const std::filesystem::path& path) {
  const std::string bytes = read_file(path, kMaxPictureBytes);
  return decode_image(std::vector<std::uint8_t>(bytes.begin(), bytes.end()), path.string());
}

}  // namespace wins::data

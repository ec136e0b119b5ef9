// Small pictures, IDX files and archives, written on the spot.
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <png.h>
#include <turbojpeg.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "random.hpp"
#include "wins/base/error.hpp"
#include "wins/data/dataset.hpp"

namespace wins::data::testing {

using ByteVector = std::vector<std::uint8_t>;

/// A folder of its own that goes away with the test.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::path(::testing::TempDir()) / "wins_data.XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path write(const std::string& name, const ByteVector& bytes) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return file;
  }
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    return write(name, ByteVector(text.begin(), text.end()));
  }

 private:
  std::filesystem::path path_;
};

/// Noise, or a smooth ramp that JPEG keeps nearly unchanged.
inline Image noise(std::int64_t height, std::int64_t width, std::int64_t channels, std::uint64_t seed = 1) {
  Image image{height, width, channels, {}};
  Random random{seed};
  for (std::int64_t i = 0; i < height * width * channels; ++i)
    image.pixels.push_back(static_cast<std::uint8_t>(random.below(256)));
  return image;
}
inline Image ramp(std::int64_t height, std::int64_t width, std::int64_t channels, int offset = 0) {
  Image image{height, width, channels, {}};
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t c = 0; c < channels; ++c)
        image.pixels.push_back(static_cast<std::uint8_t>((offset + 3 * y + 2 * x + 20 * c) % 200 + 20));
  return image;
}

/// Channels 1 (grey), 3 (RGB) or 4 (CMYK, stored as YCCK).
inline ByteVector jpeg_of(const Image& image, int subsampling = TJSAMP_444, int flags = 0) {
  tjhandle handle = tjInitCompress();
  unsigned char* out = nullptr;
  unsigned long size = 0;
  const int format = image.channels == 1 ? TJPF_GRAY : image.channels == 3 ? TJPF_RGB : TJPF_CMYK;
  const int status = tjCompress2(
      handle, image.pixels.data(), static_cast<int>(image.width), 0, static_cast<int>(image.height), format,
      &out, &size, image.channels == 1 ? static_cast<int>(TJSAMP_GRAY) : subsampling, 100, flags);
  EXPECT_EQ(status, 0) << tjGetErrorStr2(handle);
  ByteVector bytes(out, out + size);
  tjFree(out);
  tjDestroy(handle);
  return bytes;
}

/// How a PNG is stored. `rows` are packed bytes as libpng takes them (16 bit big-endian).
struct PngForm {
  int colour_type = PNG_COLOR_TYPE_RGB;
  int depth = 8;
  int interlace = PNG_INTERLACE_NONE;
  std::vector<png_color> palette = {};
  ByteVector palette_alpha = {};
};

inline ByteVector png_of(std::int64_t height, std::int64_t width, const ByteVector& rows,
                         const PngForm& form) {
  ByteVector bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp writer, png_bytep data, std::size_t count) {
        auto* out = static_cast<ByteVector*>(png_get_io_ptr(writer));
        out->insert(out->end(), data, data + count);
      },
      nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), form.depth,
               form.colour_type, form.interlace, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!form.palette.empty())
    png_set_PLTE(png, info, form.palette.data(), static_cast<int>(form.palette.size()));
  if (!form.palette_alpha.empty())
    png_set_tRNS(png, info, form.palette_alpha.data(), static_cast<int>(form.palette_alpha.size()), nullptr);
  png_write_info(png, info);
  const std::size_t stride = rows.size() / static_cast<std::size_t>(height);
  std::vector<png_bytep> pointers;
  for (std::int64_t y = 0; y < height; ++y)
    pointers.push_back(const_cast<png_bytep>(rows.data() + static_cast<std::size_t>(y) * stride));
  png_write_image(png, pointers.data());
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return bytes;
}
inline ByteVector png_of(const Image& image) {
  PngForm form;
  form.colour_type = image.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB;
  return png_of(image.height, image.width, image.pixels, form);
}

/// An IDX file of unsigned bytes.
inline ByteVector idx_of(const std::vector<std::uint32_t>& extents, const ByteVector& values) {
  ByteVector bytes{0, 0, 8, static_cast<std::uint8_t>(extents.size())};
  for (const std::uint32_t extent : extents)
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(extent >> shift));
  bytes.insert(bytes.end(), values.begin(), values.end());
  return bytes;
}

inline ByteVector gzip_of(const ByteVector& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  ByteVector out(deflateBound(&stream, bytes.size()) + 64);
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

using TarEntry = std::pair<std::string, ByteVector>;

/// A tar archive; `compress` switches a filter on (archive_write_add_filter_xz and the like).
inline std::string tar_of(const std::vector<TarEntry>& entries,
                          const std::function<int(archive*)>& compress = {}) {
  std::size_t bound = 1 << 16;
  for (const TarEntry& entry : entries) bound += entry.second.size() + 4096;
  std::string out(bound, '\0');
  std::size_t used = 0;
  archive* writer = archive_write_new();
  archive_write_set_format_pax_restricted(writer);
  if (compress) compress(writer);
  archive_write_open_memory(writer, out.data(), out.size(), &used);
  for (const auto& [path, bytes] : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, path.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(bytes.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_write_header(writer, entry);
    archive_write_data(writer, bytes.data(), bytes.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  out.resize(used);
  return out;
}

/// The message of the `Error` that `body` throws; fails the test when it throws none.
inline std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos)
        << "more than one line: " << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

}  // namespace wins::data::testing

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <memory>
#include <vector>

#include "codecs.hpp"
#include "wins/base/error.hpp"

namespace wins::data {
namespace {

// Deflate reaches 1032 : 1, and a byte holds up to eight pixels.
constexpr std::int64_t kPixelsPerByte = 8 * 1032;
constexpr png_alloc_size_t kMaxChunkBytes = png_alloc_size_t{8} << 20;

/// libpng reports errors by longjmp: everything with a destructor lives here, outside the frames
/// that are jumped over.
struct Reader {
  Bytes bytes;
  std::size_t at = 0;
  char message[128] = "";
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::vector<png_bytep> rows;

  Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

void on_error(png_structp png, png_const_charp message) {
  auto* reader = static_cast<Reader*>(png_get_error_ptr(png));
  std::strncpy(reader->message, message, sizeof reader->message - 1);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, std::size_t count) {
  auto* reader = static_cast<Reader*>(png_get_io_ptr(png));
  if (reader->bytes.size() - reader->at < count) png_error(png, "truncated");
  std::memcpy(out, reader->bytes.data() + reader->at, count);
  reader->at += count;
}

/// Header and the chunks before the pixels. False on an error (see Reader::message).
bool read_header(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_set_read_fn(reader.png, &reader, on_read);
  png_set_user_limits(reader.png, 0x7fffffff, 0x7fffffff);  // check_extents bounds the product
  png_set_chunk_malloc_max(reader.png, kMaxChunkBytes);
  png_read_info(reader.png, reader.info);
  return true;
}

/// Brings any PNG to 8-bit grey or RGB: palettes and low depths expanded, 16 bit scaled, alpha
/// dropped (as Pillow's convert("RGB") does, with which most networks were trained).
bool set_transforms(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_set_expand(reader.png);
  png_set_scale_16(reader.png);
  png_set_strip_alpha(reader.png);
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  return true;
}

bool read_pixels(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_read_image(reader.png, reader.rows.data());
  png_read_end(reader.png, nullptr);
  return true;
}

}  // namespace

Image decode_png(Bytes bytes, const std::string& name) {
  Reader reader;
  reader.bytes = bytes;
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
  require(reader.png != nullptr, "{}: the PNG decoder does not start", name);
  reader.info = png_create_info_struct(reader.png);
  require(reader.info != nullptr, "{}: the PNG decoder does not start", name);
  require(read_header(reader), "{}: broken PNG: {}", name, reader.message);
  const std::int64_t width = png_get_image_width(reader.png, reader.info);
  const std::int64_t height = png_get_image_height(reader.png, reader.info);
  check_extents(width, height, bytes.size(), kPixelsPerByte, name);
  require(set_transforms(reader), "{}: broken PNG: {}", name, reader.message);

  Image image{height, width, png_get_channels(reader.png, reader.info), {}};
  const std::size_t stride = png_get_rowbytes(reader.png, reader.info);
  require((image.channels == 1 || image.channels == 3) &&
              stride == static_cast<std::size_t>(width * image.channels),
          "{}: PNG with {} channels after conversion", name, image.channels);
  image.pixels.resize(stride * static_cast<std::size_t>(height));
  reader.rows.resize(static_cast<std::size_t>(height));
  for (std::size_t y = 0; y < reader.rows.size(); ++y) reader.rows[y] = image.pixels.data() + y * stride;
  require(read_pixels(reader), "{}: broken PNG: {}", name, reader.message);
  return image;
}

}  // namespace wins::data

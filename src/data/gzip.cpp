#include "gzip.hpp"

#include <zlib.h>

#include <algorithm>
#include <memory>

#include "wins/base/error.hpp"

namespace wins::data {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{2} << 30;
constexpr std::size_t kAlwaysAllowed = std::size_t{64} << 20;
constexpr std::size_t kMaxExpansion = 200;

struct EndInflate {
  void operator()(z_stream* stream) const { inflateEnd(stream); }
};

}  // namespace

bool looks_like_gzip(const std::string& bytes) {
  return bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b';
}

std::string inflate_gzip(const std::string& bytes, const std::string& name) {
  require(bytes.size() < kMaxBytes, "{}: larger than {} bytes", name, kMaxBytes);
  const std::size_t limit = std::min(kMaxBytes, kAlwaysAllowed + kMaxExpansion * bytes.size());
  z_stream stream{};
  require(inflateInit2(&stream, 15 + 16) == Z_OK, "{}: the gzip decoder does not start", name);
  const std::unique_ptr<z_stream, EndInflate> guard(&stream);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  char buffer[1 << 16];
  for (;;) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof buffer;
    const int status = inflate(&stream, Z_NO_FLUSH);
    out.append(buffer, sizeof buffer - stream.avail_out);
    require(out.size() <= limit, "{}: gzip content larger than {} bytes", name, limit);
    if (status == Z_STREAM_END) {
      if (stream.avail_in == 0) return out;
      require(inflateReset(&stream) == Z_OK, "{}: broken gzip", name);  // the next member
    } else {
      // Z_BUF_ERROR: no input is left but the member has not ended.
      require(status != Z_BUF_ERROR, "{}: truncated gzip", name);
      require(status == Z_OK, "{}: broken gzip: {}", name,
              stream.msg != nullptr ? stream.msg : "damaged data");
    }
  }
}

}  // namespace wins::data

#include "npy.hpp"

#include <fmt/core.h>

#include <array>
#include <cstring>
#include <optional>
#include <regex>
#include <string>

#include "wins/base/error.hpp"
#include "wins/base/files.hpp"

namespace wins::cli {
namespace {

// Layout: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kMaxHeader = 1 << 16;

struct TypeName {
  const char* text;
  DType dtype;
};
constexpr std::array<TypeName, 6> kTypes{{{"<f4", DType::f32},
                                          {"<f8", DType::f64},
                                          {"<i8", DType::i64},
                                          {"<i4", DType::i32},
                                          {"|u1", DType::u8},
                                          {"|b1", DType::boolean}}};

DType parse_type(const std::string& header, const std::string& file) {
  std::smatch match;
  require(std::regex_search(header, match, std::regex("'descr'\\s*:\\s*'([^']*)'")), "{}: broken npy header", file);
  for (const TypeName& type : kTypes) {
    if (match[1] == type.text) return type.dtype;
  }
  fail("{}: element type '{}' is not supported (float32, float64, int64, int32, uint8, bool are)", file,
       match[1].str());
}

Shape parse_shape(const std::string& header, const std::string& file) {
  std::smatch match;
  require(std::regex_search(header, match, std::regex("'shape'\\s*:\\s*\\(([0-9, ]*)\\)")), "{}: broken npy header",
          file);
  Shape shape;
  const std::string list = match[1];
  const std::regex number("[0-9]+");
  for (std::sregex_iterator it(list.begin(), list.end(), number), end; it != end; ++it) {
    require(it->length() < 18, "{}: extent {} is too large", file, it->str());
    shape.push_back(std::stoll(it->str()));
  }
  return shape;
}

}  // namespace

Tensor read_npy(const std::filesystem::path& path) {
  const std::string file = path.string();
  const std::string bytes = read_file(path);
  require(bytes.size() >= 12 && bytes.compare(0, kMagic.size(), kMagic) == 0, "{}: not an npy file", file);
  const bool wide = bytes[6] >= 2;
  const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])); };
  std::size_t length = byte(8) | byte(9) << 8;
  if (wide) length |= byte(10) << 16 | byte(11) << 24;
  const std::size_t begin = wide ? 12 : 10;
  require(length < kMaxHeader && begin + length <= bytes.size(), "{}: truncated npy header", file);
  const std::string header = bytes.substr(begin, length);
  require(!std::regex_search(header, std::regex("'fortran_order'\\s*:\\s*True")),
          "{}: Fortran order is not supported (save with np.ascontiguousarray)", file);

  const DType dtype = parse_type(header, file);
  const Shape shape = parse_shape(header, file);
  const std::size_t data_bytes = bytes.size() - begin - length;
  // Compared before allocation, so that a lying header cannot ask for memory.
  const auto count = static_cast<std::size_t>(element_count(shape));
  require(count <= data_bytes / size_of(dtype) && count * size_of(dtype) == data_bytes,
          "{}: shape {} does not match {} bytes of data", file, to_string(shape), data_bytes);
  Tensor tensor(dtype, shape);
  std::memcpy(tensor.mutable_bytes(), bytes.data() + begin + length, data_bytes);
  return tensor;
}

void write_npy(const std::filesystem::path& path, const Tensor& tensor) {
  std::string extents;
  for (const std::int64_t extent : tensor.shape()) extents += fmt::format("{}, ", extent);
  const char* type = nullptr;
  for (const TypeName& candidate : kTypes) {
    if (candidate.dtype == tensor.dtype()) type = candidate.text;
  }
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", type, extents);
  const std::size_t unpadded = kMagic.size() + 4 + header.size() + 1;
  header.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  header += '\n';

  std::string bytes(kMagic);
  bytes += '\x01';
  bytes += '\0';
  bytes += static_cast<char>(header.size() & 0xFF);
  bytes += static_cast<char>(header.size() >> 8);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(tensor.bytes()), tensor.byte_size());
  write_file_atomically(path, bytes);
}

}  // namespace wins::cli

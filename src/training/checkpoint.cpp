#include "checkpoint.hpp"

#include <zlib.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "wins/base/error.hpp"
#include "wins/base/files.hpp"

namespace wins::training {
namespace {

static_assert(std::endian::native == std::endian::little, "checkpoints are written in native order");

constexpr std::string_view kMagic = "WINSCKPT";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 24;
constexpr std::uint8_t kMaxRank = 8;

std::uint32_t crc_of(std::string_view bytes) {
  uLong crc = crc32(0, nullptr, 0);
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, std::size_t{1} << 30);
    crc = crc32(crc, reinterpret_cast<const Bytef*>(part.data()), static_cast<uInt>(part.size()));
    bytes.remove_prefix(part.size());
  }
  return static_cast<std::uint32_t>(crc);
}

class Writer {
 public:
  template <class T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(const std::string& value) {
    number(static_cast<std::uint32_t>(value.size()));
    bytes_ += value;
  }
  void tensor(const Tensor& tensor) {
    number(static_cast<std::uint8_t>(tensor.dtype()));
    number(static_cast<std::uint8_t>(tensor.rank()));
    for (const std::int64_t extent : tensor.shape()) number(extent);
    bytes_.append(reinterpret_cast<const char*>(tensor.bytes()), tensor.byte_size());
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Reader {
 public:
  Reader(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string text() { return std::string(take(number<std::uint32_t>())); }
  /// Count of entries that take at least `bytes` each.
  std::uint32_t count(std::size_t bytes) {
    const auto value = number<std::uint32_t>();
    check(value <= bytes_.size() / bytes);
    return value;
  }
  Tensor tensor() {
    const auto type = number<std::uint8_t>();
    const auto rank = number<std::uint8_t>();
    check(type <= static_cast<std::uint8_t>(DType::boolean) && rank <= kMaxRank);
    const auto dtype = static_cast<DType>(type);
    const auto room = static_cast<std::int64_t>(bytes_.size());
    Shape shape;
    bool empty = false;
    for (std::uint8_t i = 0; i < rank; ++i) {
      shape.push_back(number<std::int64_t>());
      check(shape.back() >= 0 && shape.back() <= room);
      empty = empty || shape.back() == 0;
    }
    std::int64_t elements = 1;
    for (const std::int64_t extent : shape) {
      if (!empty) check(elements <= room / extent);
      elements = empty ? 0 : elements * extent;
    }
    const std::string_view data = take(static_cast<std::size_t>(elements) * size_of(dtype));
    if (dtype == DType::boolean) {
      for (const char value : data) check(value == 0 || value == 1);
    }
    Tensor tensor(dtype, shape);
    if (!data.empty()) std::memcpy(tensor.mutable_bytes(), data.data(), data.size());
    return tensor;
  }
  void finish() const { check(bytes_.empty()); }

 private:
  void check(bool condition) const {
    require(condition, "{}: not a valid checkpoint: damaged contents", name_);
  }
  std::string_view take(std::size_t count) {
    check(count <= bytes_.size());
    const std::string_view part = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return part;
  }

  std::string_view bytes_;
  const std::string& name_;
};

}  // namespace

std::string encode_checkpoint(const Checkpoint& checkpoint) {
  Writer body;
  body.number(static_cast<std::uint32_t>(checkpoint.options.size()));
  for (const auto& [name, value] : checkpoint.options) {
    body.text(name);
    body.text(value);
  }
  body.number(static_cast<std::uint32_t>(checkpoint.numbers.size()));
  for (const auto& [name, value] : checkpoint.numbers) {
    body.text(name);
    body.number(value);
  }
  body.number(static_cast<std::uint32_t>(checkpoint.tensors.size()));
  for (const auto& [name, tensor] : checkpoint.tensors) {
    body.text(name);
    body.tensor(tensor);
  }
  const std::string payload = body.take();
  Writer file;
  for (const char c : kMagic) file.number(c);
  file.number(kVersion);
  file.number(crc_of(payload));
  file.number(static_cast<std::uint64_t>(payload.size()));
  return file.take() + payload;
}

Checkpoint decode_checkpoint(std::string_view bytes, const std::string& name) {
  require(bytes.size() >= kHeaderBytes && bytes.substr(0, kMagic.size()) == kMagic,
          "{}: not a wins checkpoint", name);
  Reader header(bytes.substr(kMagic.size(), kHeaderBytes - kMagic.size()), name);
  const auto version = header.number<std::uint32_t>();
  const auto crc = header.number<std::uint32_t>();
  const auto size = header.number<std::uint64_t>();
  require(version == kVersion, "{}: checkpoint version {}, this build reads {}", name, version, kVersion);
  const std::string_view payload = bytes.substr(kHeaderBytes);
  require(payload.size() == size, "{}: checkpoint of {} bytes where {} were written", name, payload.size(),
          size);
  require(crc_of(payload) == crc, "{}: checkpoint checksum does not match", name);
  Reader reader(payload, name);
  Checkpoint checkpoint;
  for (std::uint32_t i = reader.count(8); i > 0; --i) {
    const std::string key = reader.text();
    checkpoint.options[key] = reader.text();
  }
  for (std::uint32_t i = reader.count(12); i > 0; --i) {
    const std::string key = reader.text();
    checkpoint.numbers[key] = reader.number<double>();
  }
  for (std::uint32_t i = reader.count(6); i > 0; --i) {
    const std::string key = reader.text();
    checkpoint.tensors[key] = reader.tensor();
  }
  reader.finish();
  return checkpoint;
}

void save_checkpoint(const Checkpoint& checkpoint, const std::filesystem::path& path) {
  write_file_atomically(path, encode_checkpoint(checkpoint));
}

Checkpoint load_checkpoint(const std::filesystem::path& path) {
  return decode_checkpoint(read_file(path), path.string());
}

void require_same_options(const Checkpoint& checkpoint, const std::map<std::string, std::string>& options,
                          const std::filesystem::path& path) {
  for (const auto& [name, value] : options) {
    const auto found = checkpoint.options.find(name);
    const std::string before = found == checkpoint.options.end() ? "absent" : found->second;
    require(before == value, "checkpoint '{}' cannot be resumed: {} was {}, is {} now", path.string(), name,
            before, value);
  }
}

}  // namespace wins::training

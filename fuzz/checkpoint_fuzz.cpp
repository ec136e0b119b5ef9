// Checkpoint loading: any bytes give a checkpoint or an Error. The checksum is repaired so that the
// parser behind it is reached.
#include <zlib.h>

#include <cstring>
#include <string>

#include "../src/training/checkpoint.hpp"
#include "wins/base/error.hpp"

namespace {

constexpr std::size_t kHeader = 24;

std::string with_good_header(std::string bytes) {
  if (bytes.size() < kHeader) return bytes;
  const std::size_t size = bytes.size() - kHeader;
  const auto* payload = reinterpret_cast<const Bytef*>(bytes.data()) + kHeader;
  const auto crc = static_cast<std::uint32_t>(crc32_z(0, payload, size));
  const std::uint32_t version = 1;
  const std::uint64_t wide = size;
  std::memcpy(bytes.data(), "WINSCKPT", 8);
  std::memcpy(bytes.data() + 8, &version, 4);
  std::memcpy(bytes.data() + 12, &crc, 4);
  std::memcpy(bytes.data() + 16, &wide, 8);
  return bytes;
}

void check(const std::string& bytes) {
  try {
    const auto checkpoint = wins::training::decode_checkpoint(bytes, "fuzz");
    // What was read can be written and read again.
    wins::training::decode_checkpoint(wins::training::encode_checkpoint(checkpoint), "fuzz");
  } catch (const wins::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  check(bytes);
  check(with_good_header(bytes));
  return 0;
}

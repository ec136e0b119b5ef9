// Tar archives, plain, gzip and xz, and the folder trees inside them.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "../src/data/archive.hpp"
#include "wins/base/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::unique_ptr<wins::data::Dataset> dataset;
  try {
    dataset = wins::data::open_archive_bytes(std::string(data, data + size), "train", "fuzz");
  } catch (const wins::Error&) {
    return 0;
  }
  for (std::size_t i = 0; i < std::min<std::size_t>(dataset->size(), 8); ++i) {
    try {
      dataset->load(i);
      dataset->name(i);
    } catch (const wins::Error&) {
    }
  }
  return 0;
}

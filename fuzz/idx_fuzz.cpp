// IDX files, plain and gzip. The input is cut in two: pictures, then labels.
#include <cstdint>
#include <string>

#include "../src/data/idx.hpp"
#include "wins/base/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t cut = 2 + (static_cast<std::size_t>(data[0]) << 8 | data[1]) % (size - 1);
  const std::string pictures(data + 2, data + cut), labels(data + cut, data + size);
  try {
    const auto dataset = wins::data::make_idx_dataset(wins::data::parse_idx(pictures, 3, "pictures"),
                                                      wins::data::parse_idx(labels, 1, "labels"), {}, "fuzz");
    for (std::size_t i = 0; i < dataset->size(); ++i) dataset->load(i);
  } catch (const wins::Error&) {
  }
  return 0;
}

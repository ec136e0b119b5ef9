// JPEG and PNG decoding, and what follows it.
#include <cstdint>
#include <vector>

#include "wins/base/error.hpp"
#include "wins/data/dataset.hpp"
#include "wins/data/loader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const wins::data::Image image = wins::data::decode_image({data, data + size}, "fuzz");
    wins::data::Preprocess preprocess;
    preprocess.height = preprocess.width = 9;
    preprocess.resize = 11;
    preprocess.apply(image);
  } catch (const wins::Error&) {
  }
  return 0;
}

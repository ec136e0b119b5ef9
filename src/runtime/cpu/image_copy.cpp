#include "image_copy.hpp"

#include <algorithm>

#include "wins/base/parallel.hpp"

namespace wins::runtime::cpu {
namespace {

constexpr std::int64_t kPiece = 4096;  // floats that a thread copies in one go

class ImageCopyStep : public Step {
 public:
  ImageCopyStep(const ImageCopy& copy, int threads) : copy_(copy), threads_(threads) {}

  void run(const Arguments& arguments) override {
    const auto* x = static_cast<const float*>(arguments.inputs[0]);
    auto* y = static_cast<float*>(arguments.outputs[0]);
    const std::int64_t pieces = divide_up(copy_.floats, kPiece);
    parallel_for(copy_.images * pieces, threads_, [&](std::int64_t index, int) {
      const std::int64_t image = index / pieces, first = index % pieces * kPiece;
      std::copy_n(x + image * copy_.from_pitch + first, std::min(kPiece, copy_.floats - first),
                  y + image * copy_.to_pitch + first);
    });
  }

 private:
  ImageCopy copy_;
  int threads_;
};

}  // namespace

std::unique_ptr<Step> image_copy_step(const ImageCopy& copy, int threads) {
  return std::make_unique<ImageCopyStep>(copy, threads);
}

}  // namespace wins::runtime::cpu

// From pictures to batches: preprocessing, augmentation, decoding threads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/data/dataset.hpp"

namespace wins::data {

/// How a picture becomes network input; stored in the ONNX metadata under keys `wins.input.*`
/// and `wins.classes` so that run and eval need no flags.
struct Preprocess {
  std::int64_t channels = 3, height = 0, width = 0;
  std::vector<float> mean, deviation;  ///< per channel, of values in [0,1]; empty = 0 and 1
  /// Shorter side is resized to this before the centre crop; 0 = resize straight to height x width.
  std::int64_t resize = 0;
  std::vector<std::string> classes;

  std::map<std::string, std::string> to_metadata() const;
  /// Missing keys keep their defaults. Throws `Error` naming the key when it does not parse.
  static Preprocess from_metadata(const std::map<std::string, std::string>& metadata);

  /// [C, H, W] float32, bilinear (antialiased when shrinking), centre crop, normalised. Grey
  /// and colour are converted into each other.
  Tensor apply(const Image& image) const;
};

/// Training-time augmentation, applied to the u8 picture (after resize), deterministic in
/// (seed, epoch, index).
struct Augment {
  bool flip = false;          ///< horizontal, p = 0.5
  std::int64_t pad_crop = 0;  ///< pad by this many pixels (zeros) and crop at random
  double random_resized = 0;  ///< > 0: random area in [this, 1], aspect 3/4..4/3 (ImageNet recipe)
  std::int64_t cutout = 0;    ///< side of one square set to the mean; 0 = off
};

struct Batch {
  Tensor images;                      ///< [N, C, H, W] float32
  std::vector<std::int64_t> labels;   ///< N, kNoLabel without labels
  std::vector<std::size_t> indices;   ///< N, into the data set
};

struct LoaderOptions {
  std::int64_t batch_size = 128;
  bool shuffle = false;
  bool drop_last = false;
  std::uint64_t seed = 0;
  std::int64_t epoch = 0;        ///< order and augmentation depend on (seed, epoch)
  std::int64_t first_batch = 0;  ///< start here (resume in the middle of an epoch)
  int threads = 2;               ///< decoding threads
  Augment augment;
};

/// One pass over a data set; batches come in order and do not depend on the number of threads.
/// Broken pictures: named once in a warning, replaced by the next good one when training
/// (shuffle), left out otherwise, and counted.
class Loader {
 public:
  Loader(const Dataset& dataset, const Preprocess& preprocess, const LoaderOptions& options);
  ~Loader();
  std::int64_t batches() const;
  /// False at the end. Throws `Error` when every picture was broken.
  bool next(Batch& batch);
  std::int64_t broken() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Mean and deviation per channel over at most `limit` pictures.
void measure_normalization(const Dataset& dataset, Preprocess& preprocess, std::size_t limit = 2000);

}  // namespace wins::data

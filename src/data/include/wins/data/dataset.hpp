// Labelled pictures from IDX files, image folders or tar archives.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace wins::data {

/// 8-bit picture, height x width x channels (1 or 3), row-major.
struct Image {
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<std::uint8_t> pixels;
};

/// JPEG or PNG bytes to pixels, grey or RGB (alpha and palettes are resolved). Throws `Error`
/// naming `name` on broken data or more than 100 million pixels.
Image decode_image(const std::vector<std::uint8_t>& bytes, const std::string& name);
Image read_image(const std::filesystem::path& path);

inline constexpr std::int64_t kNoLabel = -1;

/// Random access, safe from several threads.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::size_t size() const = 0;
  virtual std::int64_t label(std::size_t index) const = 0;   ///< kNoLabel for unlabelled folders
  virtual std::string name(std::size_t index) const = 0;     ///< file name, for messages
  virtual Image load(std::size_t index) const = 0;           ///< throws `Error` naming the picture
  virtual const std::vector<std::string>& classes() const = 0;
};

/// Opens what `path` is:
///  * folder with IDX files (train-images-idx3-ubyte[.gz], t10k-...): `split` train or test;
///  * folder with `<split>/<class>/<picture>` (val stands in for test and the other way round),
///    or `<class>/<picture>` without splits, or pictures alone (no labels);
///  * .tar / .tar.gz / .tar.xz archive of such a tree (indexed once, kept in memory).
/// Throws `Error` naming the path: missing, empty, no pictures, unknown split.
std::unique_ptr<Dataset> open_dataset(const std::filesystem::path& path, const std::string& split);

/// View of some samples of another data set (which must outlive it).
class Subset : public Dataset {
 public:
  Subset(const Dataset& base, std::vector<std::size_t> indices) : base_(base), indices_(std::move(indices)) {}
  std::size_t size() const override { return indices_.size(); }
  std::int64_t label(std::size_t index) const override { return base_.label(indices_.at(index)); }
  std::string name(std::size_t index) const override { return base_.name(indices_.at(index)); }
  Image load(std::size_t index) const override { return base_.load(indices_.at(index)); }
  const std::vector<std::string>& classes() const override { return base_.classes(); }

 private:
  const Dataset& base_;
  std::vector<std::size_t> indices_;
};

/// Deterministic split: `share` of each class (at least one picture) is held out.
struct Split { std::vector<std::size_t> kept, held_out; };
Split hold_out(const Dataset& dataset, double share, std::uint64_t seed);

}  // namespace wins::data

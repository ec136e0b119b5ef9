#include "idx.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "class_names.hpp"
#include "codecs.hpp"
#include "gzip.hpp"
#include "wins/base/error.hpp"
#include "wins/base/files.hpp"

namespace wins::data {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMaxFileBytes = (std::uintmax_t{2} << 30) - 1;

std::uint32_t big_endian(const std::string& bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<std::uint8_t>(bytes[at + i]);
  return value;
}

class IdxDataset : public Dataset {
 public:
  IdxDataset(IdxArray pictures, IdxArray labels, std::vector<std::string> classes, std::string name)
      : pictures_(std::move(pictures)),
        labels_(std::move(labels)),
        classes_(std::move(classes)),
        name_(std::move(name)) {}

  std::size_t size() const override { return labels_.values.size(); }
  std::int64_t label(std::size_t index) const override { return labels_.values.at(index); }
  std::string name(std::size_t index) const override { return fmt::format("{}[{}]", name_, index); }
  Image load(std::size_t index) const override {
    require(index < size(), "{}: picture {} of {}", name_, index, size());
    Image image{pictures_.extents[1], pictures_.extents[2], 1, {}};
    const auto count = image.height * image.width;
    const auto begin = pictures_.values.begin() + static_cast<std::int64_t>(index) * count;
    image.pixels.assign(begin, begin + count);
    return image;
  }
  const std::vector<std::string>& classes() const override { return classes_; }

 private:
  IdxArray pictures_, labels_;
  std::vector<std::string> classes_;
  std::string name_;
};

/// The file of this kind and prefix, under any of its usual spellings.
std::optional<fs::path> find_idx(const fs::path& folder, const std::string& prefix, const std::string& kind,
                                 int rank) {
  for (const char* separator : {"-", "."}) {
    for (const char* suffix : {"", ".gz"}) {
      fs::path path = folder / fmt::format("{}-{}{}idx{}-ubyte{}", prefix, kind, separator, rank, suffix);
      std::error_code error;
      if (fs::is_regular_file(path, error)) return path;
    }
  }
  return std::nullopt;
}

std::optional<fs::path> find_pictures(const fs::path& folder, const std::string& prefix) {
  return find_idx(folder, prefix, "images", 3);
}

fs::path require_idx(const fs::path& folder, const std::string& prefix, const std::string& kind, int rank) {
  auto path = find_idx(folder, prefix, kind, rank);
  require(path.has_value(), "{}: no file {}-{}-idx{}-ubyte[.gz]", folder.string(), prefix, kind, rank);
  return *path;
}

IdxArray read_idx(const fs::path& path, std::size_t rank) {
  return parse_idx(read_file(path, kMaxFileBytes), rank, path.string());
}

std::size_t labels_used(const IdxArray& labels) {
  const auto largest = std::max_element(labels.values.begin(), labels.values.end());
  return largest == labels.values.end() ? 0 : std::size_t{*largest} + 1;
}

}  // namespace

IdxArray parse_idx(std::string bytes, std::size_t rank, const std::string& name) {
  if (looks_like_gzip(bytes)) bytes = inflate_gzip(bytes, name);
  const std::size_t header = 4 + 4 * rank;
  require(bytes.size() >= 4 && bytes[0] == 0 && bytes[1] == 0, "{}: not an IDX file", name);
  require(bytes[2] == 8, "{}: IDX element type {:#04x}, expected unsigned bytes (0x08)", name,
          static_cast<std::uint8_t>(bytes[2]));
  require(static_cast<std::uint8_t>(bytes[3]) == rank, "{}: IDX array of {} dimensions, expected {}", name,
          static_cast<std::uint8_t>(bytes[3]), rank);
  require(bytes.size() >= header, "{}: truncated IDX header", name);
  IdxArray array;
  std::uint64_t count = 1;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    const std::uint64_t extent = big_endian(bytes, 4 + 4 * axis);
    require(extent > 0, "{}: IDX dimension {} is empty", name, axis);
    require(count <= std::numeric_limits<std::int64_t>::max() / extent, "{}: IDX dimensions overflow", name);
    count *= extent;
    array.extents.push_back(static_cast<std::int64_t>(extent));
  }
  require(count == bytes.size() - header, "{}: IDX dimensions say {} bytes, the file holds {}", name, count,
          bytes.size() - header);
  array.values.assign(bytes.begin() + static_cast<std::ptrdiff_t>(header), bytes.end());
  return array;
}

std::unique_ptr<Dataset> make_idx_dataset(IdxArray pictures, IdxArray labels,
                                          std::vector<std::string> classes, const std::string& name) {
  require(pictures.extents.at(0) == labels.extents.at(0), "{}: {} pictures but {} labels", name,
          pictures.extents[0], labels.extents[0]);
  require(pictures.extents[1] <= kMaxPixels / pictures.extents[2], "{}: pictures of {} x {} pixels", name,
          pictures.extents[1], pictures.extents[2]);
  const std::size_t used = labels_used(labels);
  require(classes.empty() || used <= classes.size(), "{}: label {} but only {} class names", name, used - 1,
          classes.size());
  for (std::size_t i = 0; classes.size() < used; ++i) classes.push_back(std::to_string(i));
  return std::make_unique<IdxDataset>(std::move(pictures), std::move(labels), std::move(classes), name);
}

bool holds_idx(const fs::path& folder) {
  return find_pictures(folder, "train").has_value() || find_pictures(folder, "t10k").has_value();
}

std::unique_ptr<Dataset> open_idx(const fs::path& folder, const std::string& split) {
  const std::string prefix = split == "train" ? "train" : "t10k";
  const std::string other = split == "train" ? "t10k" : "train";
  const fs::path pictures_path = require_idx(folder, prefix, "images", 3);
  IdxArray labels = read_idx(require_idx(folder, prefix, "labels", 1), 1);
  std::vector<std::string> classes = read_class_list(folder / "classes.txt");
  if (classes.empty()) {
    // Both splits must agree on the number of classes, even where one lacks the last of them.
    std::size_t count = labels_used(labels);
    if (const auto path = find_idx(folder, other, "labels", 1))
      count = std::max(count, labels_used(read_idx(*path, 1)));
    for (std::size_t i = 0; i < count; ++i) classes.push_back(std::to_string(i));
  }
  return make_idx_dataset(read_idx(pictures_path, 3), std::move(labels), std::move(classes),
                          pictures_path.string());
}

}  // namespace wins::data

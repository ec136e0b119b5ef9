#include "wins/data/dataset.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "archive.hpp"
#include "folder.hpp"
#include "idx.hpp"
#include "random.hpp"
#include "tree.hpp"
#include "wins/base/error.hpp"

namespace wins::data {

namespace fs = std::filesystem;

std::unique_ptr<Dataset> open_dataset(const fs::path& path, const std::string& split) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  require(fs::exists(status), "{}: no such file or folder", path.string());
  check_split(split, path.string());
  if (fs::is_directory(status)) return holds_idx(path) ? open_idx(path, split) : open_folder(path, split);
  require(has_archive_extension(path), "{}: neither a folder nor a .tar, .tar.gz or .tar.xz archive",
          path.string());
  return open_archive(path, split);
}

Split hold_out(const Dataset& dataset, double share, std::uint64_t seed) {
  require(share >= 0 && share < 1, "held-out share {}: expected [0, 1)", share);
  Split split;
  std::map<std::int64_t, std::vector<std::size_t>> by_label;
  for (std::size_t i = 0; i < dataset.size(); ++i) by_label[dataset.label(i)].push_back(i);
  for (auto& [label, members] : by_label) {
    Random random{seed, static_cast<std::uint64_t>(label)};
    random.shuffle(members);
    auto held = static_cast<std::size_t>(std::llround(share * static_cast<double>(members.size())));
    if (share > 0) held = std::max<std::size_t>(held, 1);
    held = std::min(held, members.size() - 1);  // a class of one picture stays in the training part
    const auto border = members.begin() + static_cast<std::ptrdiff_t>(held);
    split.held_out.insert(split.held_out.end(), members.begin(), border);
    split.kept.insert(split.kept.end(), border, members.end());
  }
  std::sort(split.kept.begin(), split.kept.end());
  std::sort(split.held_out.begin(), split.held_out.end());
  return split;
}

}  // namespace wins::data

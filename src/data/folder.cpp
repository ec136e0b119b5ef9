#include "folder.hpp"

#include <algorithm>
#include <system_error>

#include "class_names.hpp"
#include "codecs.hpp"
#include "tree.hpp"
#include "wins/base/error.hpp"

namespace wins::data {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 8;

class FolderDataset : public Dataset {
 public:
  FolderDataset(fs::path path, std::vector<std::string> files, Tree tree)
      : path_(std::move(path)), tree_(std::move(tree)) {
    for (const std::size_t i : tree_.pictures) files_.push_back(std::move(files[i]));
  }
  std::size_t size() const override { return files_.size(); }
  std::int64_t label(std::size_t index) const override { return tree_.labels.at(index); }
  std::string name(std::size_t index) const override { return (path_ / files_.at(index)).string(); }
  Image load(std::size_t index) const override { return read_image(path_ / files_.at(index)); }
  const std::vector<std::string>& classes() const override { return tree_.classes; }

 private:
  fs::path path_;
  std::vector<std::string> files_;
  Tree tree_;
};

/// A link to a folder that contains the link would be walked forever.
bool leads_upwards(const fs::directory_entry& entry) {
  std::error_code error;
  if (!entry.is_symlink(error)) return false;
  const fs::path target = fs::canonical(entry.path(), error);
  const fs::path here = fs::canonical(entry.path().parent_path(), error);
  return std::mismatch(target.begin(), target.end(), here.begin(), here.end()).first == target.end();
}

std::vector<std::string> list_pictures(const fs::path& path) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator at(path, fs::directory_options::follow_directory_symlink, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    const std::string file_name = at->path().filename().string();
    std::error_code ignored;
    if (at->is_directory(ignored)) {
      if (file_name[0] == '.' || at.depth() >= kMaxDepth || leads_upwards(*at))
        at.disable_recursion_pending();
    } else if (file_name[0] != '.' && has_picture_extension(file_name)) {
      files.push_back(at->path().lexically_relative(path).generic_string());
    }
  }
  require(!error, "{}: cannot list the folder: {}", path.string(), error.message());
  return files;
}

}  // namespace

std::unique_ptr<Dataset> open_folder(const fs::path& path, const std::string& split) {
  std::vector<std::string> files = list_pictures(path);
  Tree tree = arrange_tree(files, split, path.string());
  auto table = read_class_table(path / tree.root / "classes.tsv");
  // `path` may also be one split of a larger set.
  if (table.empty()) table = read_class_table(fs::absolute(path).lexically_normal() / ".." / "classes.tsv");
  rename_classes(tree, table);
  return std::make_unique<FolderDataset>(path, std::move(files), std::move(tree));
}

}  // namespace wins::data

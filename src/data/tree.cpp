#include "tree.hpp"

#include <algorithm>
#include <set>
#include <string_view>

#include "wins/base/error.hpp"
#include "wins/data/dataset.hpp"

namespace wins::data {
namespace {

constexpr const char* kSplits[] = {"train", "val", "test"};

bool is_split(std::string_view folder) {
  return std::find(std::begin(kSplits), std::end(kSplits), folder) != std::end(kSplits);
}

std::string_view first_folder(std::string_view path) {
  const std::size_t slash = path.find('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::int64_t folders_in(std::string_view path) {
  return std::count(path.begin(), path.end(), '/');
}

/// Drops leading folders that hold everything, as archives have, but never the class folder.
std::string common_root(const std::vector<std::string>& paths) {
  std::size_t cut = 0;
  for (;;) {
    const std::string_view folder = first_folder(std::string_view(paths.front()).substr(cut));
    if (folder.empty() || is_split(folder)) break;
    const bool shared = std::all_of(paths.begin(), paths.end(), [&](const std::string& path) {
      const std::string_view rest = std::string_view(path).substr(cut);
      return first_folder(rest) == folder && folders_in(rest) >= 2;
    });
    if (!shared) break;
    cut += folder.size() + 1;
  }
  return paths.front().substr(0, cut);
}

/// The folder that stands for `split`: itself, or val for test and the other way round.
std::string split_folder(const std::set<std::string>& present, const std::string& split,
                         const std::string& name) {
  if (present.count(split) != 0) return split;
  const std::string substitute = split == "test" ? "val" : split == "val" ? "test" : "";
  if (present.count(substitute) != 0) return substitute;
  std::string list;
  for (const std::string& folder : present) list += (list.empty() ? "" : ", ") + folder;
  fail("{}: no split {} (found: {})", name, split, list);
}

}  // namespace

void check_split(const std::string& split, const std::string& name) {
  require(is_split(split), "{}: unknown split {}, expected train, val or test", name, split);
}

Tree arrange_tree(const std::vector<std::string>& paths, const std::string& split, const std::string& name) {
  check_split(split, name);
  require(!paths.empty(), "{}: no pictures (.jpg, .jpeg, .png)", name);
  Tree tree;
  tree.root = common_root(paths);
  const auto below_root = [&](std::size_t i) { return std::string_view(paths[i]).substr(tree.root.size()); };

  std::set<std::string> splits;
  for (std::size_t i = 0; i < paths.size(); ++i)
    if (is_split(first_folder(below_root(i)))) splits.emplace(first_folder(below_root(i)));
  const std::string wanted = splits.empty() ? "" : split_folder(splits, split, name) + "/";

  // Classes come from all splits, so that labels mean the same in each even if one lacks a class.
  std::set<std::string, std::less<>> classes;
  std::size_t loose = 0;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    std::string_view rest = below_root(i);
    if (!splits.empty() && !is_split(first_folder(rest))) continue;
    const bool chosen = rest.substr(0, wanted.size()) == wanted;
    if (!splits.empty()) rest.remove_prefix(first_folder(rest).size() + 1);
    const std::string_view folder = first_folder(rest);
    if (!folder.empty()) classes.emplace(folder);
    if (!chosen) continue;
    tree.pictures.push_back(i);
    loose += folder.empty() ? 1 : 0;
  }
  require(loose == 0 || loose == tree.pictures.size(), "{}: {} of {} pictures lie outside the class folders",
          name, loose, tree.pictures.size());

  std::sort(tree.pictures.begin(), tree.pictures.end(),
            [&](std::size_t a, std::size_t b) { return paths[a] < paths[b]; });
  tree.classes.assign(classes.begin(), classes.end());
  for (const std::size_t i : tree.pictures) {
    const std::string_view folder = first_folder(below_root(i).substr(wanted.size()));
    const auto position = std::lower_bound(tree.classes.begin(), tree.classes.end(), folder);
    tree.labels.push_back(folder.empty() ? kNoLabel : position - tree.classes.begin());
  }
  if (loose > 0) tree.classes.clear();
  return tree;
}

void rename_classes(Tree& tree, const std::map<std::string, std::string>& table) {
  for (std::string& name : tree.classes)
    if (const auto row = table.find(name); row != table.end()) name = row->second;
}

}  // namespace wins::data

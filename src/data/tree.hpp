// Which picture of a folder tree belongs to which split and class, on disk or in an archive.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace wins::data {

/// One split of a tree, in a fixed order (by path).
struct Tree {
  std::string root;                   ///< leading folders that all pictures share, "" or "a/b/"
  std::vector<std::size_t> pictures;  ///< indices into the paths given
  std::vector<std::int64_t> labels;   ///< one per picture; kNoLabel without class folders
  std::vector<std::string> classes;   ///< folder names, sorted, of all splits together
};

/// `paths`: pictures with `/` between folders. Recognises `[root/]<split>/<class>/<picture>`,
/// `[root/]<class>/<picture>` and pictures alone; see `open_dataset`. Throws `Error` naming `name`
/// when the split is missing or the pictures lie at different depths.
Tree arrange_tree(const std::vector<std::string>& paths, const std::string& split, const std::string& name);

/// Replaces the folder names that `table` knows (classes.tsv) by readable ones.
void rename_classes(Tree& tree, const std::map<std::string, std::string>& table);

/// Throws `Error` naming the split unless it is train, val or test.
void check_split(const std::string& split, const std::string& name);

}  // namespace wins::data

// Readable class names that lie beside a data set.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace wins::data {

/// classes.txt: one name per line, in the order of the labels. Empty when there is no such file.
std::vector<std::string> read_class_list(const std::filesystem::path& path);

/// classes.tsv: `folder<TAB>words` per line. Throws `Error` naming file and line without a tab.
std::map<std::string, std::string> parse_class_table(const std::string& text, const std::string& name);
/// Empty when there is no such file.
std::map<std::string, std::string> read_class_table(const std::filesystem::path& path);

}  // namespace wins::data

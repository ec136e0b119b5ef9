#include "class_names.hpp"

#include "wins/base/error.hpp"
#include "wins/base/files.hpp"

namespace wins::data {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMaxBytes = std::uintmax_t{16} << 20;

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    lines.push_back(std::move(line));
    begin = end + 1;
  }
  return lines;
}

std::string read_if_present(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) ? read_file(path, kMaxBytes) : std::string();
}

}  // namespace

std::vector<std::string> read_class_list(const fs::path& path) {
  std::vector<std::string> names = split_lines(read_if_present(path));
  while (!names.empty() && names.back().empty()) names.pop_back();
  for (std::size_t i = 0; i < names.size(); ++i)
    require(!names[i].empty(), "{}: line {} is empty", path.string(), i + 1);
  return names;
}

std::map<std::string, std::string> parse_class_table(const std::string& text, const std::string& name) {
  std::map<std::string, std::string> table;
  const std::vector<std::string> lines = split_lines(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    const std::size_t tab = lines[i].find('\t');
    require(tab != std::string::npos, "{}: line {} has no tab", name, i + 1);
    table[lines[i].substr(0, tab)] = lines[i].substr(tab + 1);
  }
  return table;
}

std::map<std::string, std::string> read_class_table(const fs::path& path) {
  return parse_class_table(read_if_present(path), path.string());
}

}  // namespace wins::data

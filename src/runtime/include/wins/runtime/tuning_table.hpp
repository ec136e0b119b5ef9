// Measured times of kernels by problem, and the file that keeps them.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace wins::runtime {

/// Microseconds by machine, problem and choice (kernel and cut). What one
/// machine measured says nothing about another; a file may hold several.
class TuningTable {
 public:
  using Times = std::map<std::string, double>;  ///< by choice

  /// Reads the text form. Throws `Error` naming the line that is damaged, or the first when the
  /// text is something else.
  static TuningTable parse(std::string_view text);
  /// A header, then "machine", its text and a line for each time, parted by tabs.
  std::string text() const;

  void set(const std::string& machine, const std::string& problem, const std::string& choice, double us);
  /// Null when nothing was measured.
  const Times* find(const std::string& machine, const std::string& problem) const;
  /// Takes over every time of `other`.
  void merge(const TuningTable& other);
  bool empty() const { return machines_.empty(); }

 private:
  std::map<std::string, std::map<std::string, Times>> machines_;
};

/// ${XDG_CACHE_HOME:-~/.cache}/wins/tuning.txt; empty when there is no such folder to name.
std::filesystem::path default_tuning_file();

/// The table in `file`; an empty one when there is no such file. Throws `Error` naming the file.
TuningTable read_tuning(const std::filesystem::path& file);

/// Adds `measured` to what the file holds by now, and replaces it in one step: of two writers at
/// once each leaves a whole file. Makes the folder. Throws `Error` naming the file.
void add_to_tuning(const std::filesystem::path& file, const TuningTable& measured);

}  // namespace wins::runtime

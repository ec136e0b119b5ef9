// Measured times of one machine, from a file that keeps them, and what they decide.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "wins/runtime/decisions.hpp"
#include "wins/runtime/tuning_table.hpp"

namespace wins::runtime {

/// Without tabs and line ends, as the file needs it.
std::string one_line(std::string text);

class TuningFile {
 public:
  /// `file`: SessionOptions::tune_cache. A file that cannot be read or written is named in a warning on standard error, once a session
  /// (`decisions`); it is left as it is, and measured times are not kept.
  TuningFile(const std::string& file, std::string machine, Decisions& decisions);

  void load();
  /// What is known of a problem by now.
  const TuningTable::Times& times(const std::string& problem) const;
  void add(const std::string& problem, const std::string& choice, double us);
  /// Adds what is new to the file.
  void save();

 private:
  void warn(const std::string& text);

  Decisions& decisions_;
  std::filesystem::path file_;
  std::string machine_;
  TuningTable known_, fresh_;
  bool usable_ = false;
};

/// What the times of `choices` say; the first one is the cost model's, and another must save more than noise. Nothing where
/// the first one's is not known.
Decision decide(const std::vector<std::string>& choices, const TuningTable::Times& times);

}  // namespace wins::runtime

#include "wins/runtime/tuning_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace wins::runtime {
namespace {

/// Part of the time that another choice must save: less is noise.
constexpr double kGain = 0.03;

}  // namespace

std::string one_line(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return c == '\t' || c == '\n'; }, ' ');
  return text;
}

TuningFile::TuningFile(const std::string& file, std::string machine, Decisions& decisions)
    : decisions_(decisions), file_(file.empty() ? default_tuning_file() : std::filesystem::path(file)), machine_(one_line(std::move(machine))) {}

void TuningFile::warn(const std::string& text) {
  if (decisions_.warned) return;
  decisions_.warned = true;
  fmt::print(stderr, "wins: warning: {}\n", text);
}

void TuningFile::load() {
  if (file_.empty())
    return warn("no place for a tuning cache: neither XDG_CACHE_HOME nor HOME is set; measured times are not kept");
  try {
    known_ = read_tuning(file_);
    usable_ = true;
  } catch (const std::exception& error) {
    warn(fmt::format("tuning cache {}; it is left as it is, and measured times are not kept", error.what()));
  }
}

const TuningTable::Times& TuningFile::times(const std::string& problem) const {
  static const TuningTable::Times none;
  const TuningTable::Times* found = known_.find(machine_, problem);
  return found != nullptr ? *found : none;
}

void TuningFile::add(const std::string& problem, const std::string& choice, double us) {
  known_.set(machine_, problem, choice, us);
  fresh_.set(machine_, problem, choice, us);
}

void TuningFile::save() {
  if (!usable_ || fresh_.empty()) return;
  try {
    add_to_tuning(file_, fresh_);
  } catch (const std::exception& error) {
    warn(fmt::format("tuning cache {}; measured times are not kept", error.what()));
  }
}

Decision decide(const std::vector<std::string>& choices, const TuningTable::Times& times) {
  Decision decision;
  // Without the time of what the cost model chooses there is nothing to compare with.
  if (choices.empty() || !times.contains(choices.front())) return decision;
  decision.choice = choices.front();
  double least = times.at(decision.choice) * (1 - kGain);
  for (const std::string& choice : choices) {
    const auto time = times.find(choice);
    if (time == times.end()) continue;
    decision.measured.insert(*time);
    if (time->second >= least) continue;
    least = time->second;
    decision.choice = choice;
  }
  return decision;
}

}  // namespace wins::runtime

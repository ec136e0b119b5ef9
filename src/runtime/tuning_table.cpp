#include "wins/runtime/tuning_table.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <mutex>

#include "wins/base/error.hpp"
#include "wins/base/files.hpp"

namespace wins::runtime {
namespace {

constexpr std::string_view kHeader = "wins tuning 1";
/// Far more than all layers of many networks need.
constexpr std::uintmax_t kMostBytes = 16 << 20;

/// Up to the next `separator`, which is taken off `rest` too.
std::string_view take(std::string_view& rest, char separator) {
  const std::string_view part = rest.substr(0, rest.find(separator));
  rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  return part;
}

double parse_time(std::string_view digits, int line) {
  double us = 0;
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), us);
  require(status == std::errc() && end == digits.data() + digits.size() && std::isfinite(us) && us > 0,
          "line {} is damaged: '{}' is no time", line, digits);
  return us;
}

}  // namespace

TuningTable TuningTable::parse(std::string_view text) {
  require(take(text, '\n') == kHeader, "not a tuning cache of this version");
  TuningTable table;
  std::string machine;
  for (int line = 2; !text.empty(); ++line) {
    require(text.find('\n') != std::string_view::npos, "line {} is cut off", line);
    std::string_view rest = take(text, '\n');
    const std::string_view first = take(rest, '\t');
    if (first == "machine") {
      require(!rest.empty(), "line {} is damaged: no machine", line);
      machine = rest;
      continue;
    }
    const double us = parse_time(first, line);
    const std::string choice(take(rest, '\t'));
    require(!machine.empty() && !choice.empty() && !rest.empty() && rest.find('\t') == std::string_view::npos,
            "line {} is damaged", line);
    table.set(machine, std::string(rest), choice, us);
  }
  return table;
}

std::string TuningTable::text() const {
  std::string text = std::string(kHeader) + "\n";
  for (const auto& [machine, problems] : machines_) {
    text += "machine\t" + machine + "\n";
    for (const auto& [problem, times] : problems) {
      for (const auto& [choice, us] : times) text += fmt::format("{:.2f}\t{}\t{}\n", us, choice, problem);
    }
  }
  return text;
}

void TuningTable::set(const std::string& machine, const std::string& problem, const std::string& choice, double us) {
  machines_[machine][problem][choice] = std::max(us, 0.01);  // as the text form rounds
}

const TuningTable::Times* TuningTable::find(const std::string& machine, const std::string& problem) const {
  const auto problems = machines_.find(machine);
  if (problems == machines_.end()) return nullptr;
  const auto times = problems->second.find(problem);
  return times != problems->second.end() ? &times->second : nullptr;
}

void TuningTable::merge(const TuningTable& other) {
  for (const auto& [machine, problems] : other.machines_) {
    for (const auto& [problem, times] : problems) {
      for (const auto& [choice, us] : times) set(machine, problem, choice, us);
    }
  }
}

std::filesystem::path default_tuning_file() {
  const auto folder = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value != nullptr ? value : "");
  };
  if (const auto cache = folder("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "wins" / "tuning.txt";
  if (const auto home = folder("HOME"); home.is_absolute()) return home / ".cache" / "wins" / "tuning.txt";
  return {};
}

TuningTable read_tuning(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return {};
  const std::string text = read_file(file, kMostBytes);
  try {
    return TuningTable::parse(text);
  } catch (const Error& error) {
    fail("{}: {}", file.string(), error.what());
  }
}

void add_to_tuning(const std::filesystem::path& file, const TuningTable& measured) {
  // Sessions of one process wait for each other. Of two processes the later one may drop a few times
  // of the other, which are then measured again.
  static std::mutex writing;
  const std::lock_guard lock(writing);
  std::error_code error;
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path(), error);
  TuningTable all = read_tuning(file);
  all.merge(measured);
  write_file_atomically(file, all.text());
}

}  // namespace wins::runtime

// A progress bar with time left, on a terminal only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace wins {

/// Draws `label  [####    ] 42 %  1:23 left  note` on stderr while alive. Silent when stderr is
/// not a terminal or `Progress::enable(false)` was called. Not thread-safe: one thread updates.
class Progress {
 public:
  Progress(std::string label, std::int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Moves forward by `steps`; `note` (a loss, a file name) is shown at the end of the line.
  void advance(std::int64_t steps = 1, const std::string& note = {});

  /// Switches all bars of the process off or on (`--quiet`).
  static void enable(bool on);

 private:
  void draw();

  std::string label_;
  std::string note_;
  std::int64_t total_;
  std::int64_t done_ = 0;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point drawn_;
  bool visible_;
};

/// "1:23" or "1:02:03" from seconds.
std::string format_duration(double seconds);

}  // namespace wins

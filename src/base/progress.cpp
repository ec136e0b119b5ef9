#include "wins/base/progress.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>

namespace wins {
namespace {

std::atomic<bool> g_enabled{true};
constexpr int kBarWidth = 24;
constexpr std::chrono::milliseconds kRedraw{100};

}  // namespace

std::string format_duration(double seconds) {
  const auto total = static_cast<std::int64_t>(std::max(0.0, std::round(seconds)));
  const std::int64_t hours = total / 3600;
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, total / 60 % 60, total % 60);
  return fmt::format("{}:{:02}", total / 60, total % 60);
}

void Progress::enable(bool on) { g_enabled = on; }

Progress::Progress(std::string label, std::int64_t total)
    : label_(std::move(label)),
      total_(std::max<std::int64_t>(total, 1)),
      start_(std::chrono::steady_clock::now()),
      visible_(g_enabled && isatty(STDERR_FILENO) != 0) {
  if (visible_) draw();
}

Progress::~Progress() {
  if (visible_) std::fputs("\r\x1b[K", stderr);
}

void Progress::advance(std::int64_t steps, const std::string& note) {
  done_ = std::min(total_, done_ + steps);
  if (!visible_) return;
  note_ = note;
  if (std::chrono::steady_clock::now() - drawn_ >= kRedraw || done_ == total_) draw();
}

void Progress::draw() {
  drawn_ = std::chrono::steady_clock::now();
  const double elapsed = std::chrono::duration<double>(drawn_ - start_).count();
  const double share = static_cast<double>(done_) / static_cast<double>(total_);
  const int filled = static_cast<int>(share * kBarWidth);
  const std::string left =
      done_ == 0 ? "--:--" : format_duration(elapsed / share - elapsed);
  fmt::print(stderr, "\r\x1b[K{}  [{}{}] {:3.0f} %  {} left  {}", label_, std::string(filled, '#'),
             std::string(kBarWidth - filled, ' '), share * 100, left, note_);
  std::fflush(stderr);
}

}  // namespace wins

#include "timing.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include "wins/base/progress.hpp"

namespace wins::cli {
namespace {

/// ONNX Runtime's workers spin for about a million pauses (tens of milliseconds) after a run.
constexpr std::chrono::milliseconds kSettle{100};

}  // namespace

double microseconds(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<Timing> time_in_turn(std::vector<Contender>& contenders, int rounds, int warm_up) {
  for (Contender& contender : contenders) {
    for (int i = 0; i < warm_up; ++i) contender.run_once();
  }
  Progress progress("timing in turn", rounds);
  std::vector<std::vector<double>> samples(contenders.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      contenders[i].run_once();
      samples[i].push_back(contenders[i].run_once());
      if (contenders[i].spins_after) std::this_thread::sleep_for(kSettle);
    }
    progress.advance();
  }
  std::vector<Timing> timings;
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    std::sort(samples[i].begin(), samples[i].end());
    const std::size_t last = samples[i].size() - 1;
    timings.push_back({contenders[i].name, median(samples[i]), samples[i].front(),
                       samples[i][std::min(last, samples[i].size() * 99 / 100)]});
  }
  return timings;
}

}  // namespace wins::cli

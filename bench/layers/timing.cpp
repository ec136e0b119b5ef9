#include "timing.hpp"

#include <algorithm>

namespace wins::layers {

std::vector<Times> time_in_turn(std::vector<Contender>& contenders, int rounds) {
  std::vector<std::vector<double>> samples(contenders.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      contenders[i].run_timed();
      samples[i].push_back(contenders[i].run_timed());
    }
  }
  std::vector<Times> times;
  for (std::vector<double>& sample : samples) {
    std::sort(sample.begin(), sample.end());
    const std::size_t half = sample.size() / 2;
    const double median = sample.size() % 2 == 1 ? sample[half] : (sample[half - 1] + sample[half]) / 2;
    times.push_back({median, sample.front()});
  }
  return times;
}

}  // namespace wins::layers

// Means, variances and errors of activations, channel by channel, in double.
#pragma once

#include <cstdint>
#include <vector>

#include "frontier.hpp"

namespace wins::refit {

/// Of one set of activations, over pictures and pixels.
struct ChannelStatistics {
  std::vector<double> mean, variance;
};
ChannelStatistics channel_statistics(const Activations& activations, int threads);

/// Deviation of outputs from their targets, gathered batch by batch; a constant shift of a channel does not
/// count.
class OutputError {
 public:
  explicit OutputError(std::int64_t channels);
  void add(const Tensor& output, const Tensor& target);
  /// Mean of target - output.
  std::vector<double> shift() const;
  /// Squared error of each channel, less that of the shift.
  std::vector<double> squared() const;
  /// sqrt(sum of squared errors / sum of the target's squared deviations from its channel means).
  double relative() const;

 private:
  std::vector<double> difference_, difference_squared_, target_, target_squared_;
  double count_ = 0;
};

}  // namespace wins::refit

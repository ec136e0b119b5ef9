// Means and variances of activations, channel by channel, in double.
#pragma once

#include "activations.hpp"
#include "wins/refit/backend.hpp"

namespace wins::refit {

ChannelStatistics channel_statistics(const Activations& activations, int threads);

}  // namespace wins::refit

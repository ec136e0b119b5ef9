// Means and variances of activations, channel by channel, in double.
#pragma once

#include "activations.hpp"
#include "wins/refit/backend.hpp"

namespace wins::refit {

ChannelStatistics channel_statistics(const Activations& activations, int threads);

/// Squared differences over the squared deviation of `want` from its channel means; a constant shift of a channel
/// does not count.
double centred_squared_error(const Activations& have, const Activations& want, int threads);

}  // namespace wins::refit

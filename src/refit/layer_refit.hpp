// The refit of one layer.
#pragma once

#include "wins/refit/backend.hpp"

namespace wins::refit {

/// Fits the kept weights and a shift of each channel to the dense network's output of the block. First in
/// closed form to the linear targets; then, where an activation follows, `activation_rounds` times to what the
/// activation lets through. A channel keeps the best that all calibration pictures have seen.
LayerSolution refit_layer(const LayerSite& site, LayerEngine& engine, const RefitOptions& options, LayerFit& fit);

}  // namespace wins::refit

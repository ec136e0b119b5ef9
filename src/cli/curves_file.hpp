// --curves: error curves of an earlier run, so that other ratios need no new measurement.
#pragma once

#include <string>
#include <vector>

#include "common.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/refit/allocation.hpp"

namespace wins::cli {

/// What has shaped the curves.
struct CurvesKey {
  pruning::Method method;
  pruning::Criterion criterion;
};

/// [{"layer", "reason"} or {"layer", "curve": [{"ratio", "error", "damage"}]}].
Json to_json(const std::vector<refit::LayerCurve>& curves);

/// Curves of `layers` from the record that `prune --allocate --json` wrote to `path`. Throws `Error` naming the file
/// when it holds none, when they are of another method or criterion, or lack a layer.
std::vector<refit::LayerCurve> read_curves(const std::string& path, const CurvesKey& key,
                                           const std::vector<std::string>& layers);

}  // namespace wins::cli

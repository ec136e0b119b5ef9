// Layer-by-layer comparison of a backend with the float64 reference.
#pragma once

#include <string>
#include <vector>

#include "wins/runtime/session.hpp"

namespace wins::runtime {

struct LayerCheck {
  std::string node;
  std::string kernel;  ///< the kernel that ran
  double relative_l2 = 0;
  double max_error = 0;
  bool passed = false;
};

/// Runs every node of the optimised, specialised graph alone on `options.backend`, on the
/// reference's inputs rounded to float32, and compares with float64 on the same inputs; the last
/// entry ("network") is the whole network end to end.
std::vector<LayerCheck> verify(const graph::Graph& graph, const std::vector<Tensor>& inputs,
                               const SessionOptions& options, double bound);

}  // namespace wins::runtime

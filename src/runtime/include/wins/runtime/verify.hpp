// Layer-by-layer comparison of a backend with the float64 reference.
#pragma once

#include <string>
#include <vector>

#include "wins/runtime/session.hpp"

namespace wins::runtime {

struct LayerCheck {
  std::string node;
  std::string kernel;      ///< the kernel that ran; empty when the backend needs none (no-op)
  double relative_l2 = 0;  ///< largest over the outputs; infinite on NaN or a wrong shape
  double max_error = 0;    ///< largest absolute difference
  bool passed = false;     ///< relative_l2 within its bound, by the kernel that the network runs
};

/// Largest relative L2 errors that pass.
struct VerifyBounds {
  double layer = 0, network = 0;
};
/// What rounding may cost in the precision and with the weights that the options ask for: about four times what layers of the
/// five networks show; a network's errors grow from layer to layer.
VerifyBounds verify_bounds(const SessionOptions& options);

/// Runs every node of the optimised, specialised graph alone on `options.backend`, on the
/// reference's inputs rounded to float32, and compares with float64 on the same inputs; the last
/// entry ("network") is the whole network end to end, with the backend's name as its kernel.
///
/// A backend chooses kernels by node, shapes and options alone, so a node runs the same kernel
/// alone as in the network. Where it does not, the check fails and `kernel` names both.
/// What a node alone does not have, memory that is a part of a larger tensor's, the last entry checks.
/// Throws `Error` as Session::open and Session::run do.
std::vector<LayerCheck> verify(const graph::Graph& graph, const std::vector<Tensor>& inputs,
                               const SessionOptions& options, const VerifyBounds& bounds);

/// The whole network end to end alone: the last entry of `verify`.
LayerCheck verify_network(const graph::Graph& graph, const std::vector<Tensor>& inputs, const SessionOptions& options, double bound);

}  // namespace wins::runtime

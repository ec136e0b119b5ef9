// The body of WinogradConv in standard operators, so that other runtimes run our files.
#pragma once

#include <string>

#include "proto.hpp"
#include "wins/graph/ops.hpp"

namespace wins::onnx {

/// Name of the body that a layer needs, e.g. "f2x3_row_bias_p1_1_1_1": tile and kernel ("f2x3_s2" with
/// stride 2), mask axis, with or without bias, pads.
std::string overload_of(const graph::WinogradConv& conv, bool has_bias);

/// The function of that name: inputs X, values, indices [, bias]; output Y (docs/onnx.md).
pb::FunctionProto winograd_function(const graph::WinogradConv& conv, bool has_bias);

}  // namespace wins::onnx

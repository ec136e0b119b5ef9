// Where the elements of a resized axis come from (ONNX Resize-19, which is separable).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernel.hpp"

namespace wins::runtime::cpu {

/// One axis: output element i is the sum of `count` source elements times their weights.
struct ResizeAxis {
  std::int64_t in = 0, out = 0;
  int count = 1;
  std::vector<std::int64_t> source;  ///< [out][count], within the axis
  std::vector<float> weight;         ///< [out][count]
  bool identity = false;
};

/// Why the axes are not known before the run.
std::optional<std::string> refuse_resize_axes(const Problem& problem);
/// All axes of the node's input.
std::vector<ResizeAxis> resize_axes(const Problem& problem);

}  // namespace wins::runtime::cpu

// What the kernels of plain loops ask about a node.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernel.hpp"

namespace wins::runtime::cuda {

/// Why no kernel of plain loops takes the node: one of the first `floats` inputs or an output is not float32,
/// is empty, or has too many elements or axes.
std::optional<std::string> refuse_values(const Problem& problem, std::size_t floats = SIZE_MAX);
/// Why the inputs from `first` on cannot be used before a run: one is not constant.
std::optional<std::string> refuse_variable(const Problem& problem, std::size_t first);

/// An axis counted from the back when negative.
std::size_t normal_axis(std::int64_t axis, std::size_t rank);
/// Integers of a constant input.
std::vector<std::int64_t> integers(const Problem& problem, std::size_t i);
/// Numbers of a constant input of any type, row-major.
std::vector<float> numbers(const Problem& problem, std::size_t i);

/// `reads` of a step that reads the first `count` inputs alone.
std::vector<bool> reads_first(const Problem& problem, std::size_t count);

/// `reads` of a convolution whose filters and bias are packed: its input and its residual.
std::vector<bool> reads_of_convolution(const Problem& problem);
/// The bias of a convolution as float32 on the device; null without one.
std::shared_ptr<const DeviceBuffer> upload_float_bias(const Problem& problem);

/// Name of a constant of a node in the weight store. The values count too: what `specialize` folded depends on
/// the shapes of the inputs.
std::string constant_key(const Problem& problem, std::string_view kernel, std::string_view form, const std::vector<float>& values);

/// Microseconds to read the float inputs and write the outputs once.
double predict_traffic(const Problem& problem);
/// Microseconds of so many multiply-adds in plain loops, 5 % of what the processors can do, by threads that add `terms` one
/// after the other.
double predict_loops(double macs, double terms);

/// How long a library's product takes, about: `launch` microseconds, `product` and `traffic` times what all tensor cores and
/// the whole bandwidth would need, and `wait` microseconds for every 1000 terms of a sum, which no other work can hide at
/// batch 1; fitted on an H200.
struct LibraryTimes {
  double launch, product, traffic, wait;
};
double predict_library(const LibraryTimes& times, double macs, double bytes, double terms);

/// Of output 0.
double output_elements(const Problem& problem);

}  // namespace wins::runtime::cuda

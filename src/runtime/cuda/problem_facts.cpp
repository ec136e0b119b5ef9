#include "problem_facts.hpp"

#include <fmt/format.h>

#include <cstring>

#include "strided.hpp"

namespace wins::runtime::cuda {
namespace {

std::optional<std::string> refuse_value(const graph::Value& value, const Layout& layout) {
  if (value.dtype != DType::f32) return "not float32";
  if (element_count(layout.shape) == 0) return "empty";
  if (layout.shape.size() > kMaxStridedAxes) return fmt::format("more than {} axes", kMaxStridedAxes);
  if (extent_of(layout) > INT32_MAX) return "more than 2^31 - 1 elements";
  return std::nullopt;
}

}  // namespace

std::optional<std::string> refuse_values(const Problem& problem, std::size_t floats) {
  for (std::size_t i = 0; i < problem.node.inputs.size() && i < floats; ++i) {
    if (!problem.has_input(i)) continue;
    if (auto reason = refuse_value(problem.input(i), problem.inputs[i])) return reason;
  }
  for (std::size_t i = 0; i < problem.node.outputs.size(); ++i) {
    if (problem.node.outputs[i] == graph::kNone) continue;
    if (auto reason = refuse_value(problem.output(i), problem.outputs[i])) return reason;
  }
  return std::nullopt;
}

std::optional<std::string> refuse_variable(const Problem& problem, std::size_t first) {
  for (std::size_t i = first; i < problem.node.inputs.size(); ++i) {
    if (problem.has_input(i) && problem.constant(i) == nullptr) return fmt::format("input {} is not constant", i);
  }
  return std::nullopt;
}

std::size_t normal_axis(std::int64_t axis, std::size_t rank) {
  return static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis);
}

std::vector<std::int64_t> integers(const Problem& problem, std::size_t i) {
  const Tensor values = problem.constant(i)->cast(DType::i64);
  const auto data = values.data<std::int64_t>();
  return {data.begin(), data.end()};
}

std::vector<float> numbers(const Problem& problem, std::size_t i) {
  const Tensor values = problem.constant(i)->cast(DType::f32);
  const auto data = values.data<float>();
  return {data.begin(), data.end()};
}

std::vector<bool> reads_first(const Problem& problem, std::size_t count) {
  std::vector<bool> reads(problem.node.inputs.size(), false);
  for (std::size_t i = 0; i < count && i < reads.size(); ++i) reads[i] = true;
  return reads;
}

std::vector<bool> reads_of_convolution(const Problem& problem) {
  std::vector<bool> reads{true, false, false, true};
  reads.resize(problem.node.inputs.size());
  return reads;
}

std::shared_ptr<const DeviceBuffer> upload_float_bias(const Problem& problem) {
  const Tensor* bias = problem.constant(2);
  if (bias == nullptr) return nullptr;
  const auto values = bias->data<float>();
  return upload_floats(problem.env, problem.node.name + "/bias", {values.begin(), values.end()});
}

std::string constant_key(const Problem& problem, std::string_view kernel, std::string_view form, const std::vector<float>& values) {
  std::uint64_t hash = 14695981039346656037ULL;  // FNV-1a
  for (const float value : values) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    hash = (hash ^ bits) * 1099511628211ULL;
  }
  return fmt::format("{}/{}/{}/{}/{:x}", problem.node.name, kernel, form, values.size(), hash);
}

double predict_traffic(const Problem& problem) {
  double elements = 0;
  for (std::size_t i = 0; i < problem.inputs.size(); ++i) {
    if (problem.has_input(i) && problem.input(i).dtype == DType::f32) elements += static_cast<double>(extent_of(problem.inputs[i]));
  }
  for (const Layout& output : problem.outputs) elements += static_cast<double>(extent_of(output));
  return predict_bytes(elements * static_cast<double>(problem.env.element_bytes()));
}

double predict_loops(double macs, double terms) {
  constexpr double kTerm = 0.15;  // that a thread waits for, measured at batch 1
  // 128 lanes a multiprocessor at about 1.5 GHz.
  return kTerm * terms + macs / (0.05 * 128 * 1500.0 * device().processors);
}

double predict_library(const LibraryTimes& times, double macs, double bytes, double terms) {
  return times.launch + times.product * macs / device().tensor_macs + times.traffic * bytes / device().bandwidth + times.wait * terms / 1000;
}

double output_elements(const Problem& problem) { return static_cast<double>(element_count(problem.output_shape())); }

}  // namespace wins::runtime::cuda

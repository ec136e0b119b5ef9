// Moving data: concatenation in blocks, and operators that only rename a tensor.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "aligned.hpp"
#include "kernels.hpp"
#include "wins/base/parallel.hpp"

namespace wins::runtime::cpu {
namespace {

using graph::Concat;

Cost predict_copy(const Problem& problem) {
  const double values = static_cast<double>(element_count(problem.output_shape()));
  return predict_roofline(0, 8 * values, 1, problem.env.threads, problem.env.machine);
}

// ---- concat ----------------------------------------------------------------------------------------

std::size_t concat_axis(const Problem& problem) {
  const auto rank = static_cast<std::int64_t>(problem.output_shape().size());
  return static_cast<std::size_t>((std::get<Concat>(problem.node.op).axis + rank) % rank);
}

std::optional<std::string> refuse_concat(const Problem& problem) {
  if (!problem.is_float()) return "not float32";
  if (problem.output_shape().empty()) return "no axes";
  return std::nullopt;
}

/// Row-major: each input is a run of `lengths[i]` floats in each of `outer` rows.
class PlainConcatStep : public Step {
 public:
  PlainConcatStep(std::int64_t outer, std::vector<std::int64_t> lengths, int threads)
      : outer_(outer), lengths_(std::move(lengths)), threads_(threads) {}

  void run(const Arguments& arguments) override {
    const std::int64_t total = std::accumulate(lengths_.begin(), lengths_.end(), std::int64_t{0});
    auto* y = static_cast<float*>(arguments.outputs[0]);
    parallel_for(outer_, threads_, [&](std::int64_t row, int) {
      float* to = y + row * total;
      for (std::size_t i = 0; i < lengths_.size(); ++i) {
        const auto* x = static_cast<const float*>(arguments.inputs[i]);
        std::copy_n(x + row * lengths_[i], lengths_[i], to);
        to += lengths_[i];
      }
    });
  }

 private:
  std::int64_t outer_;
  std::vector<std::int64_t> lengths_;
  int threads_;
};

/// Channels of blocked tensors: whole blocks where an input starts at a block, else lane by lane.
class BlockedConcatStep : public Step {
 public:
  explicit BlockedConcatStep(const Problem& problem)
      : block_(problem.env.block),
        threads_(problem.env.threads),
        batch_(problem.output_shape()[0]),
        channels_(problem.output_shape()[1]),
        pixels_(problem.output_shape()[2] * problem.output_shape()[3]),
        pitch_(problem.output_pitches[0]) {
    std::int64_t start = 0;
    for (std::size_t i = 0; i < problem.node.inputs.size(); ++i) {
      parts_.push_back({start, problem.input_shape(i)[1], problem.input_pitches[i]});
      start += parts_.back().channels;
    }
  }

  void run(const Arguments& arguments) override {
    const std::int64_t blocks = divide_up(channels_, block_);
    parallel_for(batch_ * blocks, threads_, [&](std::int64_t index, int) {
      const std::int64_t n = index / blocks, first = index % blocks * block_;
      fill_block(arguments, n, first, static_cast<float*>(arguments.outputs[0]) + n * pitch_ + first * pixels_);
    });
  }

 private:
  struct Part {
    std::int64_t start, channels, pitch;
  };

  /// Output channels [first, first + B) of one image.
  void fill_block(const Arguments& arguments, std::int64_t n, std::int64_t first, float* y) const {
    if (first + block_ > channels_) std::fill_n(y, pixels_ * block_, 0.0F);
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const Part& part = parts_[i];
      const std::int64_t begin = std::max(first, part.start),
                         end = std::min(first + block_, part.start + part.channels);
      if (begin >= end) continue;
      const auto* x = static_cast<const float*>(arguments.inputs[i]) + n * part.pitch;
      std::int64_t c = begin - part.start;
      if (begin == first && c % block_ == 0 && end - begin == block_) {
        std::copy_n(x + c * pixels_, pixels_ * block_, y);
        continue;
      }
      for (std::int64_t to = begin - first; to < end - first; ++to, ++c) {
        const float* from = x + c / block_ * pixels_ * block_ + c % block_;
        for (std::int64_t p = 0; p < pixels_; ++p) y[p * block_ + to] = from[p * block_];
      }
    }
  }

  int block_, threads_;
  std::int64_t batch_, channels_, pixels_, pitch_;
  std::vector<Part> parts_;
};

Implementation build_concat(const Problem& problem) {
  const Shape& shape = problem.output_shape();
  const std::size_t axis = concat_axis(problem);
  const bool blocked = shape.size() == 4 && axis == 1 &&
                       std::count(problem.existing.begin(), problem.existing.end(), Layout::blocked) > 0;
  Implementation result;
  result.name = "cpu:concat";
  result.output = blocked ? Layout::blocked : Layout::plain;
  result.inputs.assign(problem.node.inputs.size(), need(result.output));
  if (blocked) {
    result.pitched = true;
    result.step = std::make_unique<BlockedConcatStep>(problem);
    return result;
  }
  const auto split = shape.begin() + static_cast<std::ptrdiff_t>(axis);
  std::vector<std::int64_t> lengths;
  for (std::size_t i = 0; i < problem.node.inputs.size(); ++i) {
    const Shape& part = problem.input_shape(i);
    lengths.push_back(element_count(Shape(part.begin() + static_cast<std::ptrdiff_t>(axis), part.end())));
  }
  result.step = std::make_unique<PlainConcatStep>(element_count(Shape(shape.begin(), split)),
                                                  std::move(lengths), problem.env.threads);
  return result;
}

// ---- alias -----------------------------------------------------------------------------------------

std::optional<std::string> refuse_alias(const Problem& problem) {
  const auto* unary = problem.node.as<graph::Unary>();
  if (unary != nullptr && unary->function.kind != graph::UnaryKind::identity) return "computes";
  if (problem.input(0).dtype != problem.output().dtype) return "changes the type";
  return std::nullopt;
}

class CopyStep : public Step {
 public:
  explicit CopyStep(std::size_t bytes) : bytes_(bytes) {}
  void run(const Arguments& arguments) override {
    if (arguments.outputs[0] != arguments.inputs[0])
      std::memcpy(arguments.outputs[0], arguments.inputs[0], bytes_);
  }

 private:
  std::size_t bytes_;
};

Implementation build_alias(const Problem& problem) {
  Implementation result;
  result.name = "cpu:alias";
  result.inputs.assign(problem.node.inputs.size(), Need::none);
  result.inputs[0] = Need::plain;
  result.in_place = 0;
  result.step = std::make_unique<CopyStep>(static_cast<std::size_t>(element_count(problem.output_shape())) *
                                           size_of(problem.output().dtype));
  return result;
}

Cost predict_alias(const Problem&) {
  return {};
}

}  // namespace

Kernel concat_kernel() {
  return {"cpu:concat", &refuse_concat, &predict_copy, &build_concat};
}
Kernel alias_kernel() {
  return {"cpu:alias", &refuse_alias, &predict_alias, &build_alias};
}

}  // namespace wins::runtime::cpu

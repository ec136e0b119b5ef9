#include "layer_timer.hpp"

#include <algorithm>
#include <chrono>

#include "wins/base/parallel.hpp"

namespace wins::runtime::cpu {
namespace {

constexpr int kMostRuns = 9;
constexpr int kLeastRuns = 3;
/// Short layers need more runs to be told apart, long ones are expensive.
constexpr double kEnoughSeconds = 0.006;

/// `pitch`: between images in blocks.
std::int64_t floats_of(const graph::Value& value, Layout layout, int block, std::int64_t pitch) {
  const Shape& shape = value.shape.value();
  if (layout == Layout::plain) return element_count(shape);
  const std::int64_t image = image_count(shape, block);
  return (shape[0] - 1) * std::max(pitch, image) + image;
}

const graph::Value& output_of(const Problem& problem) { return problem.env.graph.value(problem.outputs()[0]); }

AlignedFloats filled(std::int64_t count, float value) {
  AlignedFloats floats(std::max<std::int64_t>(1, count));
  std::fill_n(floats.data(), floats.size(), value);
  return floats;
}

/// Memory of one layer alone.
class LayerMemory {
 public:
  LayerMemory(const Problem& problem, const Implementation& implementation) {
    const int block = problem.env.block;
    for (std::size_t i = 0; i < problem.node.inputs.size(); ++i) {
      const Need need = i < implementation.inputs.size() ? implementation.inputs[i] : Need::none;
      const bool read = need != Need::none && problem.has_input(i);
      const Layout layout = need == Need::blocked ? Layout::blocked : Layout::plain;
      inputs_.push_back(read ? filled(floats_of(problem.input(i), layout, block, problem.input_pitches[i]), 0.5F) : AlignedFloats());
    }
    outputs_.push_back(filled(floats_of(output_of(problem), implementation.output, block, problem.output_pitches[0]), 0));
    workspace_ = filled(static_cast<std::int64_t>(implementation.workspace_bytes / sizeof(float)), 0);
    for (const AlignedFloats& input : inputs_) input_pointers_.push_back(input.data());
    for (AlignedFloats& output : outputs_) output_pointers_.push_back(output.data());
  }

  Arguments arguments() { return {input_pointers_.data(), output_pointers_.data(), workspace_.data()}; }
  const std::vector<AlignedFloats>& inputs() const { return inputs_; }

 private:
  std::vector<AlignedFloats> inputs_, outputs_;
  AlignedFloats workspace_;
  std::vector<const void*> input_pointers_;
  std::vector<void*> output_pointers_;
};

/// Reads a share of `floats` on each thread.
void touch(const AlignedFloats& floats, int threads) {
  constexpr std::int64_t kLine = 16;
  parallel_for(threads, threads, [&](std::int64_t part, int) {
    float sum = 0;
    for (std::int64_t i = floats.size() * part / threads; i < floats.size() * (part + 1) / threads; i += kLine)
      sum += floats.data()[i];
    volatile float sink = sum;
    static_cast<void>(sink);
  });
}

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

std::size_t layer_bytes(const Problem& problem, const Implementation& implementation) {
  std::int64_t floats = floats_of(output_of(problem), Layout::blocked, problem.env.block, problem.output_pitches[0]);
  for (const std::size_t i : {std::size_t{0}, std::size_t{3}}) {
    if (problem.has_input(i)) floats += floats_of(problem.input(i), Layout::blocked, problem.env.block, problem.input_pitches[i]);
  }
  return static_cast<std::size_t>(floats) * sizeof(float) + implementation.workspace_bytes;
}

double time_layer(const Problem& problem, Implementation& implementation, const std::function<double()>& left) {
  const int threads = problem.env.threads;
  LayerMemory memory(problem, implementation);
  const auto l2_floats = static_cast<std::int64_t>(problem.env.machine.l2_bytes / sizeof(float));
  const AlignedFloats other = filled(l2_floats * threads, 0);
  implementation.step->run(memory.arguments());
  double least = 0, used = 0;
  for (int run = 0; run < kMostRuns && (run < kLeastRuns || used < kEnoughSeconds) && left() > 0; ++run) {
    touch(other, threads);
    for (const AlignedFloats& input : memory.inputs()) touch(input, threads);
    const double start = seconds();
    implementation.step->run(memory.arguments());
    const double took = seconds() - start;
    used += took;
    least = run == 0 ? took : std::min(least, took);
  }
  return least * 1e6;
}

}  // namespace wins::runtime::cpu

// A oneDNN primitive as a step of a plan.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "aligned.hpp"
#include "dnnl_api.hpp"
#include "kernel.hpp"

namespace wins::runtime::cpu {

class DnnlStep : public Step {
 public:
  explicit DnnlStep(const DnnlPlan& plan);

  /// Argument `arg` of the primitive is the node's input (output) `index`, which a repeated step finds
  /// `pitch` floats further each time.
  void bind_input(int arg, std::size_t index, const dnnl::memory::desc& desc, std::int64_t pitch = 0);
  void bind_output(int arg, std::size_t index, const dnnl::memory::desc& desc, std::int64_t pitch = 0);
  /// Argument `arg` is `data`, which stays alive with the step.
  void bind_constant(int arg, const dnnl::memory::desc& desc, std::shared_ptr<const AlignedFloats> data);
  /// Before the primitive runs, an output becomes a copy of an input (for sums), unless they share
  /// memory.
  struct Copy {
    std::size_t input, output, bytes;
    std::int64_t input_pitch = 0, output_pitch = 0;
  };
  void copy_first(const Copy& copy) { copy_ = copy; }
  /// The primitive is for one of `images` and runs for each in turn.
  void repeat(std::int64_t images) { images_ = images; }

  std::size_t workspace_bytes() const { return scratchpad_bytes_; }
  void run(const Arguments& arguments) override;

 private:
  struct Binding {
    dnnl::memory memory;
    std::size_t index;
    std::int64_t pitch;
    bool output;
  };
  void run_image(const Arguments& arguments, std::int64_t image);
  dnnl::memory& attach(int arg, const dnnl::memory::desc& desc);

  dnnl::primitive primitive_;
  dnnl::stream stream_;
  std::unordered_map<int, dnnl::memory> arguments_;
  std::vector<Binding> bindings_;
  std::optional<dnnl::memory> scratchpad_;
  std::size_t scratchpad_bytes_ = 0;
  std::optional<Copy> copy_;
  std::int64_t images_ = 1;
  std::vector<std::shared_ptr<const AlignedFloats>> constants_;
};

/// What a primitive on blocked values sees at once: all images, or one (and `repeat` gives it the
/// others) where some are parts of larger values. oneDNN 2 has nothing but reference code for
/// blocked tensors with pitches of their own.
struct ImageLoop {
  std::int64_t images = 1;  ///< for `repeat`
  bool apart = false;
  explicit ImageLoop(const Problem& problem)
      : images(problem.has_parts() ? problem.output_shape()[0] : 1), apart(problem.has_parts()) {}
  Shape seen(Shape shape) const {
    if (apart) shape[0] = 1;
    return shape;
  }
};

/// An activation behind a kernel's own work, on output 0 in place.
std::unique_ptr<DnnlStep> eltwise_after(const Problem& problem, const DnnlEltwise& function, Layout layout);

/// `values` in row-major order, reordered to `to` by the library.
AlignedFloats reorder_constant(const float* values, const dnnl::memory::desc& from,
                               const dnnl::memory::desc& to);

}  // namespace wins::runtime::cpu

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

  /// Argument `arg` of the primitive is the node's input (output) `index`.
  void bind_input(int arg, std::size_t index, const dnnl::memory::desc& desc);
  void bind_output(int arg, std::size_t index, const dnnl::memory::desc& desc);
  /// Argument `arg` is `data`, which stays alive with the step.
  void bind_constant(int arg, const dnnl::memory::desc& desc, std::shared_ptr<const AlignedFloats> data);
  /// Before the primitive runs, output `output` becomes a copy of input `input` (for sums), unless
  /// they share memory.
  void copy_first(std::size_t input, std::size_t output, std::size_t bytes);

  std::size_t workspace_bytes() const { return scratchpad_bytes_; }
  void run(const Arguments& arguments) override;

 private:
  struct Binding {
    dnnl::memory memory;
    std::size_t index;
    bool output;
  };
  struct Copy {
    std::size_t input, output, bytes;
  };
  dnnl::memory& attach(int arg, const dnnl::memory::desc& desc);

  dnnl::primitive primitive_;
  dnnl::stream stream_;
  std::unordered_map<int, dnnl::memory> arguments_;
  std::vector<Binding> bindings_;
  std::optional<dnnl::memory> scratchpad_;
  std::size_t scratchpad_bytes_ = 0;
  std::optional<Copy> copy_;
  std::vector<std::shared_ptr<const AlignedFloats>> constants_;
};

/// `values` in row-major order, reordered to `to` by the library.
AlignedFloats reorder_constant(const float* values, const dnnl::memory::desc& from,
                               const dnnl::memory::desc& to);

}  // namespace wins::runtime::cpu

// The last resort: the reference in float, on plain tensors.
#include <algorithm>
#include <cstring>

#include "kernels.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace wins::runtime::cpu {
namespace {

struct Slot {
  DType dtype;
  Shape shape;
};

class ReferenceStep : public Step {
 public:
  explicit ReferenceStep(const Problem& problem) : node_(problem.node) {
    for (std::size_t i = 0; i < node_.inputs.size(); ++i) {
      const Tensor* constant = problem.constant(i);
      constants_.push_back(constant != nullptr ? *constant : Tensor());
      slots_.push_back(problem.has_input(i) ? Slot{problem.input(i).dtype, problem.input_shape(i)} : Slot{});
    }
  }

  void run(const Arguments& arguments) override {
    std::vector<Tensor> tensors = constants_;
    std::vector<const Tensor*> pointers;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (!tensors[i].defined() && arguments.inputs[i] != nullptr) {
        tensors[i] = Tensor(slots_[i].dtype, slots_[i].shape);
        std::memcpy(tensors[i].mutable_bytes(), arguments.inputs[i], tensors[i].byte_size());
      }
      pointers.push_back(tensors[i].defined() ? &tensors[i] : nullptr);
    }
    const std::vector<Tensor> results = ref::run_node(node_, pointers, ref::Precision::float32);
    for (std::size_t i = 0; i < results.size() && i < node_.outputs.size(); ++i) {
      if (arguments.outputs[i] == nullptr) continue;
      std::memcpy(arguments.outputs[i], results[i].bytes(), results[i].byte_size());
    }
  }

 private:
  graph::Node node_;
  std::vector<Tensor> constants_;
  std::vector<Slot> slots_;
};

std::optional<std::string> refuse(const Problem&) {
  return std::nullopt;
}

/// Always the worst.
Cost predict(const Problem&) {
  return {1e12, 0, 0};
}

Implementation build(const Problem& problem) {
  Implementation result;
  result.name = "ref:" + lower_case(graph::op_name(problem.node.op));
  for (std::size_t i = 0; i < problem.node.inputs.size(); ++i) {
    const bool read = problem.has_input(i) && problem.constant(i) == nullptr;
    result.inputs.push_back(read ? Need::plain : Need::none);
    if (const Tensor* constant = problem.constant(i)) result.weight_bytes += constant->byte_size();
  }
  result.step = std::make_unique<ReferenceStep>(problem);
  return result;
}

}  // namespace

Kernel reference_kernel() {
  return {"ref", &refuse, &predict, &build};
}

}  // namespace wins::runtime::cpu

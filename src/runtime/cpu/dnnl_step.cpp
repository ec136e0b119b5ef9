#include "dnnl_step.hpp"

#include <algorithm>
#include <cstring>

namespace wins::runtime::cpu {

DnnlStep::DnnlStep(const DnnlPlan& plan)
    : primitive_(plan.primitive), stream_(dnnl_engine()), scratchpad_bytes_(plan.scratchpad.get_size()) {
  if (scratchpad_bytes_ > 0) scratchpad_ = attach(DNNL_ARG_SCRATCHPAD, plan.scratchpad);
}

dnnl::memory& DnnlStep::attach(int arg, const dnnl::memory::desc& desc) {
  return arguments_[arg] = dnnl::memory(desc, dnnl_engine(), DNNL_MEMORY_NONE);
}

void DnnlStep::bind_input(int arg, std::size_t index, const dnnl::memory::desc& desc) {
  bindings_.push_back({attach(arg, desc), index, false});
}

void DnnlStep::bind_output(int arg, std::size_t index, const dnnl::memory::desc& desc) {
  bindings_.push_back({attach(arg, desc), index, true});
}

void DnnlStep::bind_constant(int arg, const dnnl::memory::desc& desc,
                             std::shared_ptr<const AlignedFloats> data) {
  attach(arg, desc).set_data_handle(const_cast<float*>(data->data()));  // oneDNN only reads it
  constants_.push_back(std::move(data));
}

void DnnlStep::copy_first(std::size_t input, std::size_t output, std::size_t bytes) {
  copy_ = Copy{input, output, bytes};
}

void DnnlStep::run(const Arguments& arguments) {
  const auto point_to = [](dnnl::memory& memory, void* data) {
    if (memory.get_data_handle() != data) memory.set_data_handle(data);
  };
  for (Binding& b : bindings_) {
    point_to(b.memory, b.output ? arguments.outputs[b.index] : const_cast<void*>(arguments.inputs[b.index]));
  }
  if (scratchpad_) point_to(*scratchpad_, arguments.workspace);
  if (copy_ && arguments.outputs[copy_->output] != arguments.inputs[copy_->input]) {
    std::memcpy(arguments.outputs[copy_->output], arguments.inputs[copy_->input], copy_->bytes);
  }
  primitive_.execute(stream_, arguments_);
  stream_.wait();
}

AlignedFloats reorder_constant(const float* values, const dnnl::memory::desc& from,
                               const dnnl::memory::desc& to) {
  AlignedFloats result(static_cast<std::int64_t>(to.get_size() / sizeof(float)));
  std::fill_n(result.data(), result.size(), 0.0F);
  dnnl::memory source(from, dnnl_engine(), const_cast<float*>(values));  // only read
  dnnl::memory target(to, dnnl_engine(), result.data());
  dnnl::stream stream(dnnl_engine());
  dnnl::reorder(source, target).execute(stream, source, target);
  stream.wait();
  return result;
}

}  // namespace wins::runtime::cpu

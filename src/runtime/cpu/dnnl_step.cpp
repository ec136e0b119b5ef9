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

void DnnlStep::bind_input(int arg, std::size_t index, const dnnl::memory::desc& desc, std::int64_t pitch) {
  bindings_.push_back({attach(arg, desc), index, pitch, false});
}

void DnnlStep::bind_output(int arg, std::size_t index, const dnnl::memory::desc& desc, std::int64_t pitch) {
  bindings_.push_back({attach(arg, desc), index, pitch, true});
}

void DnnlStep::bind_constant(int arg, const dnnl::memory::desc& desc,
                             std::shared_ptr<const AlignedFloats> data) {
  attach(arg, desc).set_data_handle(const_cast<float*>(data->data()));  // oneDNN only reads it
  constants_.push_back(std::move(data));
}

void DnnlStep::run(const Arguments& arguments) {
  for (std::int64_t image = 0; image < images_; ++image) run_image(arguments, image);
}

void DnnlStep::run_image(const Arguments& arguments, std::int64_t image) {
  const auto point_to = [](dnnl::memory& memory, void* data) {
    if (memory.get_data_handle() != data) memory.set_data_handle(data);
  };
  const auto input = [&](std::size_t index, std::int64_t pitch) {
    return static_cast<const float*>(arguments.inputs[index]) + image * pitch;
  };
  const auto output = [&](std::size_t index, std::int64_t pitch) {
    return static_cast<float*>(arguments.outputs[index]) + image * pitch;
  };
  for (Binding& b : bindings_) {
    point_to(b.memory, b.output ? output(b.index, b.pitch) : const_cast<float*>(input(b.index, b.pitch)));
  }
  if (scratchpad_) point_to(*scratchpad_, arguments.workspace);
  if (copy_) {
    const float* from = input(copy_->input, copy_->input_pitch);
    float* to = output(copy_->output, copy_->output_pitch);
    if (to != from) std::memcpy(to, from, copy_->bytes);
  }
  primitive_.execute(stream_, arguments_);
  stream_.wait();
}

std::unique_ptr<DnnlStep> eltwise_after(const Problem& problem, const DnnlEltwise& function, Layout layout) {
  const bool blocked = layout == Layout::blocked;
  const ImageLoop loop(problem);
  const Shape& shape = problem.output_shape();
  const auto desc = blocked ? blocked_desc(loop.seen(shape), problem.env.block) : plain_desc(shape);
  auto step = std::make_unique<DnnlStep>(make_eltwise(function, desc));
  step->bind_output(DNNL_ARG_SRC, 0, desc, problem.output_pitches[0]);
  step->bind_output(DNNL_ARG_DST, 0, desc, problem.output_pitches[0]);
  if (blocked) step->repeat(loop.images);
  return step;
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

#include "kernel.hpp"

#include <algorithm>
#include <cctype>

#include "aligned.hpp"
#include "kernels.hpp"

namespace wins::runtime::cpu {
namespace {

/// Lists of kernels by operator; operators that are not named have the reference alone.
struct Lister {
  using List = std::vector<Kernel>;

  template <class T>
  List operator()(const T&) const {
    return {};
  }

  List operator()(const graph::Conv&) const {
    List kernels = winograd_rows_kernels();
    kernels.push_back(stem_kernel());
    kernels.push_back(pointwise_kernel());
    kernels.push_back(direct_convolution_kernel());
    return kernels;
  }
  List operator()(const graph::WinogradConv&) const {
    List kernels = winograd_rows_kernels();
    for (const Kernel& kernel : winograd_csr_kernels()) kernels.push_back(kernel);
    return kernels;
  }
  List operator()(const graph::ConvTranspose&) const { return {deconvolution_kernel()}; }
  List operator()(const graph::Pool&) const { return {pooling_kernel()}; }
  List operator()(const graph::GlobalPool&) const { return {pooling_kernel()}; }
  List operator()(const graph::Reduce&) const { return {pooling_kernel()}; }
  List operator()(const graph::Gemm&) const { return {linear_bf16_kernel(), inner_product_kernel()}; }
  List operator()(const graph::MatMul&) const { return {linear_bf16_kernel(), inner_product_kernel(), matmul_kernel()}; }
  List operator()(const graph::Unary&) const { return {alias_kernel(), eltwise_kernel()}; }
  List operator()(const graph::Binary&) const { return {binary_kernel()}; }
  List operator()(const graph::BatchNorm&) const { return {scale_shift_kernel()}; }
  List operator()(const graph::Softmax&) const { return {softmax_kernel()}; }
  List operator()(const graph::Lrn&) const { return {lrn_kernel()}; }
  List operator()(const graph::LayerNorm&) const { return {layer_norm_kernel()}; }
  List operator()(const graph::PRelu&) const { return {prelu_kernel()}; }
  List operator()(const graph::Concat&) const { return {concat_kernel()}; }
  List operator()(const graph::Slice&) const { return {slice_kernel()}; }
  List operator()(const graph::Split&) const { return {split_kernel()}; }
  List operator()(const graph::Pad&) const { return {pad_kernel()}; }
  List operator()(const graph::Expand&) const { return {expand_kernel()}; }
  List operator()(const graph::Resize&) const { return {resize_nearest_kernel(), resize_blend_kernel()}; }
  List operator()(const graph::Transpose&) const { return {transpose_kernel()}; }
  List operator()(const graph::DepthToSpace&) const { return {depth_to_space_kernel()}; }
  List operator()(const graph::SpaceToDepth&) const { return {space_to_depth_kernel()}; }
  List operator()(const graph::Flatten&) const { return {alias_kernel()}; }
  List operator()(const graph::Reshape&) const { return {alias_kernel()}; }
  List operator()(const graph::Squeeze&) const { return {alias_kernel()}; }
  List operator()(const graph::Unsqueeze&) const { return {alias_kernel()}; }
};

}  // namespace

bool Problem::is_float() const {
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (has_input(i) && constant(i) == nullptr && input(i).dtype != DType::f32) return false;
  }
  return output().dtype == DType::f32;
}

bool Problem::has_parts() const {
  const auto apart = [&](graph::ValueId id, std::int64_t pitch) {
    return id != graph::kNone && pitch != image_count(env.graph.value(id).shape.value(), env.block);
  };
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (apart(node.inputs[i], input_pitches[i])) return true;
  }
  for (std::size_t i = 0; i < outputs().size(); ++i) {
    if (apart(outputs()[i], output_pitches[i])) return true;
  }
  return false;
}

std::vector<Kernel> kernels_for(const graph::Op& op) {
  std::vector<Kernel> kernels = std::visit(Lister(), op);
  kernels.push_back(reference_kernel());
  return kernels;
}

std::shared_ptr<const AlignedFloats> padded_bias(const Problem& problem) {
  return problem.env.weights.get<AlignedFloats>(problem.node.name + "/bias", [&] {
    AlignedFloats bias(round_up(problem.output_shape()[1], problem.env.block));
    std::fill_n(bias.data(), bias.size(), 0.0F);
    if (const Tensor* given = problem.constant(2)) {
      const auto values = given->data<float>();
      std::copy(values.begin(), values.end(), bias.data());
    }
    return bias;
  });
}

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::int64_t image_count(const Shape& shape, int block) {
  return shape.size() == 4 ? round_up(shape[1], block) * shape[2] * shape[3] : 0;
}

std::int64_t blocked_count(const Shape& shape, int block) {
  return shape.at(0) * image_count(shape, block);
}

}  // namespace wins::runtime::cpu

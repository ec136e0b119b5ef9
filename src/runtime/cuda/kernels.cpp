#include "kernels.hpp"

namespace wins::runtime::cuda {
namespace {

/// Lists of kernels by operator; operators that are not named have none.
struct Lister {
  using List = std::vector<Kernel>;

  template <class T>
  List operator()(const T&) const {
    return {};
  }

  List operator()(const graph::Conv&) const {
    return {winograd_fused_kernel(),     stem_kernel(),     pointwise_kernel(), cudnn_convolution_kernel(),
            direct_convolution_kernel(), implicit_kernel(), winograd_staged_kernel(),
            columns_kernel(),            lines_kernel()};
  }
  List operator()(const graph::WinogradConv&) const { return {winograd_fused_kernel(), winograd_staged_kernel(), equivalent_kernel(), direct_winograd_kernel()}; }
  List operator()(const graph::ConvTranspose&) const { return {deconvolution_kernel()}; }
  List operator()(const graph::Pool&) const { return {pooling_kernel()}; }
  List operator()(const graph::GlobalPool&) const { return {global_pooling_kernel()}; }
  List operator()(const graph::Reduce&) const { return {reduce_kernel()}; }
  List operator()(const graph::Gemm&) const { return {linear_kernel(), vector_kernel(), nonzeros_kernel(), matmul_kernel()}; }
  List operator()(const graph::MatMul&) const { return {linear_kernel(), vector_kernel(), nonzeros_kernel(), matmul_kernel()}; }
  List operator()(const graph::Unary&) const { return {unary_kernel()}; }
  List operator()(const graph::Binary&) const { return {binary_kernel()}; }
  List operator()(const graph::PRelu&) const { return {prelu_kernel()}; }
  List operator()(const graph::BatchNorm&) const { return {scale_shift_kernel()}; }
  List operator()(const graph::Softmax&) const { return {softmax_kernel()}; }
  List operator()(const graph::Lrn&) const { return {lrn_kernel()}; }
  List operator()(const graph::LayerNorm&) const { return {layer_norm_kernel()}; }
  List operator()(const graph::Concat&) const { return {concat_kernel()}; }
  List operator()(const graph::Split&) const { return {split_kernel()}; }
  List operator()(const graph::Slice&) const { return {slice_kernel()}; }
  List operator()(const graph::Pad&) const { return {pad_kernel()}; }
  List operator()(const graph::Expand&) const { return {expand_kernel()}; }
  List operator()(const graph::Resize&) const { return {resize_kernel()}; }
  List operator()(const graph::Transpose&) const { return {transpose_kernel()}; }
  List operator()(const graph::DepthToSpace&) const { return {depth_to_space_kernel()}; }
  List operator()(const graph::SpaceToDepth&) const { return {space_to_depth_kernel()}; }
  List operator()(const graph::Flatten&) const { return {reshape_kernel()}; }
  List operator()(const graph::Reshape&) const { return {reshape_kernel()}; }
  List operator()(const graph::Squeeze&) const { return {reshape_kernel()}; }
  List operator()(const graph::Unsqueeze&) const { return {reshape_kernel()}; }
};

}  // namespace

std::vector<Kernel> kernels_for(const graph::Op& op) { return std::visit(Lister(), op); }

}  // namespace wins::runtime::cuda

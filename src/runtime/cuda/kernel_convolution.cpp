// Convolutions through cuDNN, with bias, residual and ReLU in its epilogue.
#include <algorithm>
#include <array>
#include <memory>

#include "activation_step.hpp"
#include "kernels.hpp"
#include "problem_facts.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/problem.hpp"

namespace wins::runtime::cuda {
namespace {

using graph::UnaryKind;

constexpr std::size_t kMaxWorkspace = std::size_t{256} << 20;

/// Descriptors of one convolution.
struct Descriptors {
  cudnnTensorDescriptor_t input = nullptr, output = nullptr, residual = nullptr, bias = nullptr;
  cudnnFilterDescriptor_t filter = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
  cudnnActivationDescriptor_t activation = nullptr;

  Descriptors() {
    for (auto* tensor : {&input, &output, &residual, &bias}) check(cudnnCreateTensorDescriptor(tensor), "a descriptor");
    check(cudnnCreateFilterDescriptor(&filter), "a descriptor");
    check(cudnnCreateConvolutionDescriptor(&convolution), "a descriptor");
    check(cudnnCreateActivationDescriptor(&activation), "a descriptor");
  }
  ~Descriptors() {
    for (auto* tensor : {input, output, residual, bias}) cudnnDestroyTensorDescriptor(tensor);
    cudnnDestroyFilterDescriptor(filter);
    cudnnDestroyConvolutionDescriptor(convolution);
    cudnnDestroyActivationDescriptor(activation);
  }
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;
};

cudnnDataType_t type_of(Operand operand) {
  return operand == Operand::f16 ? CUDNN_DATA_HALF : operand == Operand::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

/// Channels as cuDNN sees them: whole units, except of grouped convolutions.
std::int64_t seen_channels(const Problem& problem, std::int64_t channels) {
  const std::int64_t unit = problem.env.unit();
  return problem.node.as<graph::Conv>()->group > 1 ? channels : (channels + unit - 1) / unit * unit;
}

void describe(cudnnTensorDescriptor_t tensor, const Problem& problem, const Layout& layout) {
  const std::int64_t channels = seen_channels(problem, layout.shape[1]);
  check(cudnnSetTensor4dDescriptorEx(tensor, type_of(problem.env.operand), static_cast<int>(layout.shape[0]), static_cast<int>(channels),
                                     static_cast<int>(layout.shape[2]), static_cast<int>(layout.shape[3]), static_cast<int>(layout.strides[0]), 1,
                                     static_cast<int>(layout.strides[2]), static_cast<int>(layout.strides[3])),
        "a tensor");
}

std::unique_ptr<Descriptors> describe(const Problem& problem) {
  auto d = std::make_unique<Descriptors>();
  const auto& conv = *problem.node.as<graph::Conv>();
  const Operand operand = problem.env.operand;
  describe(d->input, problem, problem.inputs[0]);
  describe(d->output, problem, problem.outputs[0]);
  describe(d->residual, problem, problem.has_input(3) ? problem.inputs[3] : problem.outputs[0]);
  const Shape& weights = problem.input_shape(1);
  const auto filters = static_cast<int>(seen_channels(problem, weights[0]));
  const auto channels = static_cast<int>(conv.group > 1 ? weights[1] : seen_channels(problem, weights[1]));
  check(cudnnSetFilter4dDescriptor(d->filter, type_of(operand), CUDNN_TENSOR_NHWC, filters, channels, static_cast<int>(weights[2]),
                                   static_cast<int>(weights[3])),
        "a filter");
  check(cudnnSetTensor4dDescriptor(d->bias, CUDNN_TENSOR_NHWC, type_of(operand), 1, filters, 1, 1), "a bias");
  const auto& window = conv.window;
  const auto as_int = [](std::int64_t x) { return static_cast<int>(x); };
  check(cudnnSetConvolution2dDescriptor(d->convolution, as_int(window.pads[0]), as_int(window.pads[1]), as_int(window.stride[0]),
                                        as_int(window.stride[1]), as_int(window.dilation[0]), as_int(window.dilation[1]),
                                        CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
        "a convolution");
  check(cudnnSetConvolutionGroupCount(d->convolution, as_int(conv.group)), "groups");
  const cudnnMathType_t math = operand == Operand::f32    ? CUDNN_FMA_MATH
                               : operand == Operand::tf32 ? CUDNN_DEFAULT_MATH
                                                          : CUDNN_TENSOR_OP_MATH;
  check(cudnnSetConvolutionMathType(d->convolution, math), "the mathematics");
  const bool relu = conv.activation.kind == UnaryKind::relu;
  check(cudnnSetActivationDescriptor(d->activation, relu ? CUDNN_ACTIVATION_RELU : CUDNN_ACTIVATION_IDENTITY, CUDNN_PROPAGATE_NAN, 0), "an activation");
  return d;
}

struct Algorithm {
  cudnnConvolutionFwdAlgo_t algorithm;
  std::size_t workspace;
};

/// The heuristics' first that fits.
Algorithm choose_algorithm(const Problem& problem, const Descriptors& d) {
  const bool relu = problem.node.as<graph::Conv>()->activation.kind == UnaryKind::relu;
  std::array<cudnnConvolutionFwdAlgoPerf_t, CUDNN_CONVOLUTION_FWD_ALGO_COUNT> found{};
  int count = 0;
  const cudnnStatus_t status =
      cudnnGetConvolutionForwardAlgorithm_v7(problem.env.libraries.dnn(), d.input, d.filter, d.convolution, d.output,
                                             static_cast<int>(found.size()), &count, found.data());
  if (status != CUDNN_STATUS_SUCCESS) throw Unsupported{fmt::format("cuDNN says {}", cudnnGetErrorString(status))};
  for (int i = 0; i < count; ++i) {
    const auto& candidate = found[static_cast<std::size_t>(i)];
    if (candidate.status != CUDNN_STATUS_SUCCESS || candidate.memory > kMaxWorkspace) continue;
    // cuDNN: the identity goes with this algorithm alone.
    if (!relu && candidate.algo != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM) continue;
    std::size_t bytes = 0;
    if (cudnnGetConvolutionForwardWorkspaceSize(problem.env.libraries.dnn(), d.input, d.filter, d.convolution, d.output, candidate.algo, &bytes) !=
            CUDNN_STATUS_SUCCESS || bytes > kMaxWorkspace) {
      continue;
    }
    return {candidate.algo, bytes};
  }
  throw Unsupported{"cuDNN has no algorithm for it"};
}

/// 1x1 with strides may gather its input into the workspace first, and then takes four times as long as an implicit
/// product (64 to 128 channels at 56x56 in 16 bits).
bool copies_input(const Problem& problem, const Algorithm& algorithm) {
  const auto& conv = *problem.node.as<graph::Conv>();
  if (conv.group != 1 || conv.window.kernel != std::array<std::int64_t, 2>{1, 1} || problem.env.options.force_kernel == "cuda:cudnn") return false;
  const auto input = static_cast<std::size_t>(extent_of(problem.inputs[0]) * problem.env.element_bytes());
  return algorithm.workspace >= input / 4 && algorithm.workspace > (std::size_t{1} << 20);
}

std::optional<std::string> refuse(const Problem& problem) {
  const auto& window = problem.node.as<graph::Conv>()->window;
  if (window.auto_pad != graph::AutoPad::none) return "auto_pad is not resolved";
  if (window.pads[0] != window.pads[2] || window.pads[1] != window.pads[3]) return "pads differ before and after";
  if (problem.constant(1) == nullptr || (problem.has_input(2) && problem.constant(2) == nullptr)) return "weights are not constant";
  if (extent_of(problem.inputs[0]) == 0 || extent_of(problem.outputs[0]) == 0) return "empty";
  if (extent_of(problem.inputs[0]) > INT32_MAX || extent_of(problem.outputs[0]) > INT32_MAX) return "2^31 elements or more";
  // Their channels are not padded by zeros, so the last ones would stay unwritten.
  if (problem.node.as<graph::Conv>()->group > 1 && problem.output_shape()[1] % problem.env.unit() != 0) return "grouped, with channels that do not fill 16 bytes";
  return std::nullopt;
}

double predict(const Problem& problem) {
  const double macs = static_cast<double>(conv_problem(problem.env.graph, problem.node).direct_macs());
  // Of the values alone: a part of a larger one must run the same kernel as the layer by itself.
  const Shape& weights = problem.constant(1)->shape();
  const std::int64_t outputs = element_count(problem.output_shape()) * (problem.has_input(3) ? 2 : 1);
  const auto bytes = static_cast<double>((element_count(problem.input_shape(0)) + outputs + element_count(weights)) * problem.env.element_bytes());
  // fp32 runs on the plain units.
  static constexpr LibraryTimes kF32{7.0, 31, 4.0, 23}, kTf32{5.2, 2.2, 0.94, 1.85}, k16{5.2, 1.2, 0.9, 1.2};
  static constexpr LibraryTimes kPlainTf32{4.4, 0.95, 1.1, 1.8}, kPlain16{3.6, 0.5, 1.2, 0.8};  // 1x1 without strides
  const Operand operand = problem.env.operand;
  const auto& window = problem.node.as<graph::Conv>()->window;
  const bool plain = weights[2] * weights[3] * window.stride[0] * window.stride[1] == 1;
  const LibraryTimes& times = operand == Operand::f32 ? kF32 : operand == Operand::tf32 ? (plain ? kPlainTf32 : kTf32) : plain ? kPlain16 : k16;
  // Of less than a unit of channels its kernels make little: 3 to 64 of 224x224 in 413 us in fp16, 622 in TF32, writing alone 140 and 280 (H100).
  const double few = weights[1] < problem.env.unit() && problem.node.as<graph::Conv>()->group == 1 ? 2.7 : 1;
  // 1x1 with strides of 64 channels in TF32: 47 us for 27 (to 128 at 56x56, H200); of 128 and more as predicted.
  const bool strided_tf32 = operand == Operand::tf32 && weights[2] * weights[3] == 1 && !plain && weights[1] <= 64;
  return (strided_tf32 ? 1.7 : 1) * predict_library(times, macs, few * bytes, static_cast<double>(weights[1] * weights[2] * weights[3]));
}

/// KRSC, with zeros where channels fill a unit.
std::shared_ptr<const DeviceBuffer> upload_filters(const Problem& problem) {
  const Tensor& given = *problem.constant(1);
  const Shape& shape = given.shape();
  const bool grouped = problem.node.as<graph::Conv>()->group > 1;
  const std::int64_t filters = seen_channels(problem, shape[0]), channels = grouped ? shape[1] : seen_channels(problem, shape[1]);
  Tensor padded(DType::f32, {filters, shape[2], shape[3], channels});
  const auto from = given.data<float>();
  auto to = padded.mutable_data<float>();
  for (std::int64_t k = 0; k < shape[0]; ++k) {
    for (std::int64_t c = 0; c < shape[1]; ++c) {
      for (std::int64_t tap = 0; tap < shape[2] * shape[3]; ++tap) {
        to[static_cast<std::size_t>((k * shape[2] * shape[3] + tap) * channels + c)] =
            from[static_cast<std::size_t>((k * shape[1] + c) * shape[2] * shape[3] + tap)];
      }
    }
  }
  return upload(problem.env, problem.node.name + "/cudnn", padded, plain_layout(padded.shape()));
}

std::shared_ptr<const DeviceBuffer> upload_bias(const Problem& problem) {
  Tensor bias(DType::f32, {seen_channels(problem, problem.output_shape()[1])});
  if (const Tensor* given = problem.constant(2)) std::ranges::copy(given->data<float>(), bias.mutable_data<float>().begin());
  return upload(problem.env, problem.node.name + "/cudnn/bias", bias, plain_layout(bias.shape()));
}

Implementation build(const Problem& problem) {
  std::shared_ptr<const Descriptors> d = describe(problem);
  const Algorithm algorithm = choose_algorithm(problem, *d);
  if (copies_input(problem, algorithm)) throw Unsupported{"cuDNN would copy its input"};
  const auto filters = upload_filters(problem), bias = upload_bias(problem);
  const auto& activation = problem.node.as<graph::Conv>()->activation;
  Step after;
  if (activation.kind != UnaryKind::identity && activation.kind != UnaryKind::relu) after = activation_step(problem.env, problem.outputs[0], activation);
  const bool residual = problem.has_input(3);
  Implementation result;
  result.name = fmt::format("cuda:cudnn_{}", static_cast<int>(algorithm.algorithm));
  result.reads = reads_of_convolution(problem);
  result.workspace_bytes = algorithm.workspace;
  result.weights = {filters, bias};
  result.step = [d, algorithm, filters, bias, after, residual, handle = problem.env.libraries.dnn()](const Arguments& arguments) {
    const float one = 1, zero = 0;
    void* output = arguments.outputs[0];
    check(cudnnSetStream(handle, arguments.stream), "cuDNN's stream");
    check(cudnnConvolutionBiasActivationForward(handle, &one, d->input, arguments.inputs[0], d->filter, filters->data(), d->convolution,
                                                algorithm.algorithm, arguments.workspace, algorithm.workspace, residual ? &one : &zero, d->residual,
                                                residual ? arguments.inputs[3] : output, d->bias, bias->data(), d->activation, d->output, output),
          "a convolution");
    if (after) after(arguments);
  };
  return result;
}

}  // namespace

Kernel cudnn_convolution_kernel() { return {"cuda:cudnn", refuse, predict, build}; }

}  // namespace wins::runtime::cuda

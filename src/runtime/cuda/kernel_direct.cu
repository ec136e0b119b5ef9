// Convolutions in plain loops, for layers that nothing else takes: any group, dilation, padding, Winograd tile and
// mask. A thread computes a few pixels of one output channel, neighbouring threads neighbouring channels.
#include <span>

#include "equivalent_filters.hpp"
#include "kernels.hpp"
#include "problem_facts.hpp"
#include "storage.cuh"
#include "wins/runtime/cuda/divisor.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cuda {
namespace {

constexpr int kPixels = 4;  // of a thread, in one row: they share each weight

/// One spatial axis.
struct ConvAxis {
  std::int32_t in = 1, out = 1, kernel = 1, stride = 1, dilation = 1, pad = 0;
};

/// A convolution whose output row (column) y stands at tile y / block, and has the weights of place y % block in its
/// tile; `stride` is that of the tiles. An ordinary convolution has tiles of one pixel.
struct ConvLayer {
  std::uint32_t threads = 0;
  Divisor by_channels, by_column_groups, by_block, by_rows, by_group_filters;
  ConvAxis rows, columns;
  std::int32_t block = 1;
  std::uint32_t filters = 1;         ///< K
  std::uint32_t group_channels = 1;  ///< C / groups
  std::uint32_t from_pitch = 0, to_pitch = 0, residual_pitch = 0;
  DeviceActivation activation;
};

template <class T>
struct ConvPointers {
  const T* from;
  const float* weights;  ///< [place in the tile][tap][C / groups][K]
  const float* bias;     ///< or null
  const T* residual;     ///< or null
  T* to;
};

/// Sums of kPixels output pixels of one row, `tile` and the following ones, of filter `k`.
template <class T>
__device__ void convolve(const ConvLayer& layer, const T* image, const float* weights, std::uint32_t first_channel, int row_tile, int column_tile,
                         float (&sums)[kPixels]) {
  const ConvAxis &rows = layer.rows, &columns = layer.columns;
  for (int ky = 0; ky < rows.kernel; ++ky) {
    const int y = row_tile * rows.stride - rows.pad + ky * rows.dilation;
    if (y < 0 || y >= rows.in) continue;
    for (int kx = 0; kx < columns.kernel; ++kx) {
      const T* from[kPixels];
      bool inside[kPixels];
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
        const int x = (column_tile + p) * columns.stride - columns.pad + kx * columns.dilation;
        inside[p] = x >= 0 && x < columns.in;
        from[p] = image + (static_cast<std::size_t>(y) * columns.in + (inside[p] ? x : 0)) * layer.from_pitch + first_channel;
      }
      const float* w = weights + static_cast<std::size_t>(ky * columns.kernel + kx) * layer.group_channels * layer.filters;
      for (std::uint32_t c = 0; c < layer.group_channels; ++c, w += layer.filters) {
        const float weight = *w;
#pragma unroll
        for (int p = 0; p < kPixels; ++p) {
          if (inside[p]) sums[p] += weight * to_float(from[p][c]);
        }
      }
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) convolve_pixels(const __grid_constant__ ConvLayer layer, const ConvPointers<T> at) {
  for (std::uint32_t i = first_index(); i < layer.threads; i += index_stride()) {
    std::uint32_t k = i;
    std::uint32_t group = layer.by_channels.divide(k);  // of kPixels columns
    std::uint32_t place = layer.by_column_groups.divide(group);
    std::uint32_t oy = layer.by_block.divide(place);  // `place` is now that of the columns in their tiles
    const std::uint32_t n = layer.by_rows.divide(oy);
    std::uint32_t row_place = oy;
    const auto row_tile = static_cast<int>(layer.by_block.divide(row_place));
    const int column_tile = static_cast<int>(group) * kPixels;
    float sums[kPixels] = {};
    if (k < layer.filters) {
      const std::size_t taps = static_cast<std::size_t>(layer.rows.kernel) * layer.columns.kernel;
      const float* weights = at.weights + (row_place * layer.block + place) * taps * layer.group_channels * layer.filters + k;
      std::uint32_t rest = k;
      const std::uint32_t first_channel = layer.by_group_filters.divide(rest) * layer.group_channels;
      const T* image = at.from + static_cast<std::size_t>(n) * layer.rows.in * layer.columns.in * layer.from_pitch;
      convolve(layer, image, weights, first_channel, row_tile, column_tile, sums);
    }
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
      const int ox = (column_tile + p) * layer.block + static_cast<int>(place);
      if (ox >= layer.columns.out) continue;
      const std::size_t pixel = (static_cast<std::size_t>(n) * layer.rows.out + oy) * layer.columns.out + ox;
      float value = 0;
      if (k < layer.filters) {
        value = sums[p] + (at.bias != nullptr ? at.bias[k] : 0.0F);
        if (at.residual != nullptr) value += to_float(at.residual[pixel * layer.residual_pitch + k]);
        value = apply(layer.activation, value);
      }
      at.to[pixel * layer.to_pitch + k] = from_float<T>(value);
    }
  }
}

std::int32_t narrow(std::int64_t value) { return static_cast<std::int32_t>(value); }

/// What is the same for all kinds: everything but the axes, `block` and the groups.
void complete(const Problem& problem, ConvLayer& layer) {
  const Layout &x = problem.inputs[0], &y = problem.outputs[0];
  const std::int64_t unit = problem.env.unit(), channels = (y.shape[1] + unit - 1) / unit * unit;
  const std::int64_t tiles = (y.shape[3] + layer.block - 1) / layer.block, groups = (tiles + kPixels - 1) / kPixels;
  layer.threads = static_cast<std::uint32_t>(channels * groups * layer.block * y.shape[2] * y.shape[0]);
  layer.by_channels = Divisor(channels);
  layer.by_column_groups = Divisor(groups);
  layer.by_block = Divisor(layer.block);
  layer.by_rows = Divisor(y.shape[2]);
  layer.filters = static_cast<std::uint32_t>(y.shape[1]);
  layer.rows.in = narrow(x.shape[2]);
  layer.rows.out = narrow(y.shape[2]);
  layer.columns.in = narrow(x.shape[3]);
  layer.columns.out = narrow(y.shape[3]);
  layer.from_pitch = static_cast<std::uint32_t>(x.pitch);
  layer.to_pitch = static_cast<std::uint32_t>(y.pitch);
  if (problem.has_input(3)) layer.residual_pitch = static_cast<std::uint32_t>(problem.inputs[3].pitch);
}

/// Threads of a convolution with tiles of `block` pixels, which an index must be able to count.
std::optional<std::string> refuse_convolution(const Problem& problem, std::int64_t block) {
  if (problem.constant(1) == nullptr) return "weights are not constant";
  if (problem.has_input(2) && problem.constant(2) == nullptr) return "the bias is not constant";
  if (auto reason = refuse_values(problem)) return reason;
  const Shape& y = problem.output_shape();
  if (y[0] * y[2] * (y[3] + block * kPixels) * (y[1] + problem.env.unit()) > INT32_MAX) return "more than 2^31 - 1 threads";
  return std::nullopt;
}

std::shared_ptr<const DeviceBuffer> upload_bias(const Problem& problem, std::string_view kernel) {
  if (!problem.has_input(2)) return nullptr;
  const std::vector<float> values = numbers(problem, 2);
  return upload_floats(problem.env, constant_key(problem, kernel, "bias", values), values);
}

/// Float32 weights of a node, made once for a session.
template <class Make>
std::shared_ptr<const DeviceBuffer> upload_weights(const Problem& problem, std::string_view kernel, const Make& make) {
  return problem.env.weights.get<DeviceBuffer>(problem.node.name + "/" + std::string(kernel) + "/weights", [&] {
    const std::vector<float> values = make();
    return DeviceBuffer(values.data(), values.size() * sizeof(float));
  });
}

Implementation implement(const Problem& problem, std::string_view kernel, const ConvLayer& layer, std::shared_ptr<const DeviceBuffer> weights) {
  const auto bias = upload_bias(problem, kernel);
  const bool has_residual = problem.has_input(3);
  Implementation result;
  result.name = kernel;
  result.reads = reads_first(problem, 1);
  if (has_residual) result.reads[3] = true;
  result.weights = {weights, bias};
  result.step = with_storage(problem.env.operand, [&](auto type) -> Step {
    using T = typename decltype(type)::type;
    return [layer, weights, bias, has_residual](const Arguments& arguments) {
      const ConvPointers<T> pointers{static_cast<const T*>(arguments.inputs[0]), static_cast<const float*>(weights->data()),
                                     bias ? static_cast<const float*>(bias->data()) : nullptr,
                                     has_residual ? static_cast<const T*>(arguments.inputs[3]) : nullptr, static_cast<T*>(arguments.outputs[0])};
      convolve_pixels<T><<<blocks_for(layer.threads), kThreads, 0, arguments.stream>>>(layer, pointers);
      check(cudaPeekAtLastError(), "a direct convolution");
    };
  });
  return result;
}

/// Weights [rows][C][taps] as [place][tap][C][K], where row k * places + place has filter k.
std::vector<float> arrange(std::span<const float> weights, std::int64_t places, std::int64_t filters, std::int64_t channels, std::int64_t taps) {
  std::vector<float> result(weights.size());
  std::size_t from = 0;
  for (std::int64_t k = 0; k < filters; ++k) {
    for (std::int64_t place = 0; place < places; ++place) {
      for (std::int64_t c = 0; c < channels; ++c) {
        for (std::int64_t tap = 0; tap < taps; ++tap) {
          result[static_cast<std::size_t>(((place * taps + tap) * channels + c) * filters + k)] = weights[from++];
        }
      }
    }
  }
  return result;
}

// ---- Conv ------------------------------------------------------------------------------------------

std::optional<std::string> refuse_direct(const Problem& problem) { return refuse_convolution(problem, 1); }

double predict_direct(const Problem& problem) {
  const Shape& w = problem.input_shape(1);
  const auto terms = static_cast<double>(w[1] * w[2] * w[3]);
  return predict_traffic(problem) + predict_loops(output_elements(problem) * terms, terms);
}

ConvAxis conv_axis(const graph::Window& window, std::size_t d) {
  return {1, 1, narrow(window.kernel[d]), narrow(window.stride[d]), narrow(window.dilation[d]), narrow(window.pads[d])};
}

Implementation build_direct(const Problem& problem) {
  const auto& op = std::get<graph::Conv>(problem.node.op);
  const Shape& w = problem.input_shape(1);
  ConvLayer layer;
  layer.rows = conv_axis(op.window, 0);
  layer.columns = conv_axis(op.window, 1);
  layer.group_channels = static_cast<std::uint32_t>(w[1]);
  layer.by_group_filters = Divisor(w[0] / op.group);
  layer.activation = device_activation(op.activation);
  complete(problem, layer);
  return implement(problem, "cuda:direct", layer, upload_weights(problem, "cuda:direct", [&] {
                     return arrange(problem.constant(1)->data<float>(), 1, w[0], w[1], w[2] * w[3]);
                   }));
}

// ---- WinogradConv ----------------------------------------------------------------------------------

std::optional<std::string> refuse_winograd(const Problem& problem) {
  return refuse_convolution(problem, std::get<graph::WinogradConv>(problem.node.op).m);
}

double predict_winograd(const Problem& problem) {
  const Shape& u = problem.input_shape(1);
  const auto terms = static_cast<double>(u[0] * u[2]);
  return predict_traffic(problem) + predict_loops(output_elements(problem) * terms, terms);
}

Implementation build_winograd(const Problem& problem) {
  const auto& op = std::get<graph::WinogradConv>(problem.node.op);
  const winograd::Algorithm& algorithm = winograd::algorithm(op.m, op.r, op.stride);
  ConvLayer layer;
  layer.rows = {1, 1, algorithm.p(), algorithm.step(), 1, narrow(op.pads[0])};
  layer.columns = {1, 1, algorithm.p(), algorithm.step(), 1, narrow(op.pads[1])};
  layer.block = op.m;
  layer.group_channels = static_cast<std::uint32_t>(problem.input_shape(1)[2]);
  layer.by_group_filters = Divisor(problem.input_shape(1)[1]);
  layer.activation = device_activation(op.activation);
  complete(problem, layer);
  return implement(problem, "cuda:direct_winograd", layer,
                   upload_weights(problem, "cuda:direct_winograd", [&] {
                     const Shape& u = problem.input_shape(1);
                     return arrange(equivalent_filters(problem).data<float>(), algorithm.m * algorithm.m, u[1], u[2], algorithm.positions());
                   }));
}

// ---- ConvTranspose ---------------------------------------------------------------------------------

struct DeconvLayer {
  std::uint32_t elements = 0;
  Divisor by_channels, by_width, by_height, by_group_filters, by_row_stride, by_column_stride;
  ConvAxis rows, columns;
  std::uint32_t filters = 1;         ///< K
  std::uint32_t group_channels = 1;  ///< C / groups
  std::uint32_t from_pitch = 0, to_pitch = 0;
};

/// The input index whose tap reaches output `o`; -1 when there is none.
__device__ inline int source_index(const ConvAxis& axis, const Divisor& by_stride, int o, int tap) {
  const int reach = o + axis.pad - tap * axis.dilation;
  if (reach < 0) return -1;
  auto rest = static_cast<std::uint32_t>(reach);
  const auto index = static_cast<int>(by_stride.divide(rest));
  return rest == 0 && index < axis.in ? index : -1;
}

/// `weights`: [tap][C / groups][K].
template <class T>
__global__ void __launch_bounds__(kThreads)
deconvolve(const __grid_constant__ DeconvLayer layer, const T* from, const float* weights, const float* bias, T* to) {
  for (std::uint32_t i = first_index(); i < layer.elements; i += index_stride()) {
    std::uint32_t k = i;
    const std::uint32_t pixel = layer.by_channels.divide(k);
    std::uint32_t ox = pixel;
    std::uint32_t oy = layer.by_width.divide(ox);
    const std::uint32_t n = layer.by_height.divide(oy);
    float sum = 0;
    if (k < layer.filters) {
      std::uint32_t rest = k;
      const T* image = from + static_cast<std::size_t>(n) * layer.rows.in * layer.columns.in * layer.from_pitch +
                       layer.by_group_filters.divide(rest) * layer.group_channels;
      for (int ky = 0; ky < layer.rows.kernel; ++ky) {
        const int y = source_index(layer.rows, layer.by_row_stride, static_cast<int>(oy), ky);
        if (y < 0) continue;
        for (int kx = 0; kx < layer.columns.kernel; ++kx) {
          const int x = source_index(layer.columns, layer.by_column_stride, static_cast<int>(ox), kx);
          if (x < 0) continue;
          const T* at = image + (static_cast<std::size_t>(y) * layer.columns.in + x) * layer.from_pitch;
          const float* w = weights + static_cast<std::size_t>(ky * layer.columns.kernel + kx) * layer.group_channels * layer.filters + k;
          for (std::uint32_t c = 0; c < layer.group_channels; ++c, w += layer.filters) sum += *w * to_float(at[c]);
        }
      }
      if (bias != nullptr) sum += bias[k];
    }
    to[static_cast<std::size_t>(pixel) * layer.to_pitch + k] = from_float<T>(sum);
  }
}

/// Weights [C][K / groups][taps] as [tap][C / groups][K].
std::vector<float> arrange_transposed(const Tensor& weights, std::int64_t groups) {
  const std::int64_t channels = weights.dim(0), group_filters = weights.dim(1), taps = weights.dim(2) * weights.dim(3);
  const std::int64_t group_channels = channels / groups, filters = group_filters * groups;
  const std::span<const float> values = weights.data<float>();
  std::vector<float> result(values.size());
  std::size_t from = 0;
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t i = 0; i < group_filters; ++i) {
      const std::int64_t k = c / group_channels * group_filters + i;
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        result[static_cast<std::size_t>((tap * group_channels + c % group_channels) * filters + k)] = values[from++];
      }
    }
  }
  return result;
}

std::optional<std::string> refuse_deconvolution(const Problem& problem) { return refuse_convolution(problem, 1); }

double predict_deconvolution(const Problem& problem) {
  const Shape &w = problem.input_shape(1), &x = problem.input_shape(0);
  return predict_traffic(problem) + predict_loops(static_cast<double>(element_count(x) * w[1] * w[2] * w[3]), static_cast<double>(w[0]));
}

DeconvLayer deconv_layer(const Problem& problem) {
  const auto& op = std::get<graph::ConvTranspose>(problem.node.op);
  const Layout &x = problem.inputs[0], &y = problem.outputs[0];
  const Shape& w = problem.input_shape(1);
  const std::int64_t unit = problem.env.unit(), channels = (y.shape[1] + unit - 1) / unit * unit;
  DeconvLayer layer;
  layer.elements = static_cast<std::uint32_t>(y.shape[0] * y.shape[2] * y.shape[3] * channels);
  layer.by_channels = Divisor(channels);
  layer.by_width = Divisor(y.shape[3]);
  layer.by_height = Divisor(y.shape[2]);
  layer.by_group_filters = Divisor(w[1]);
  layer.rows = conv_axis(op.window, 0);
  layer.columns = conv_axis(op.window, 1);
  layer.rows.in = narrow(x.shape[2]);
  layer.columns.in = narrow(x.shape[3]);
  layer.by_row_stride = Divisor(layer.rows.stride);
  layer.by_column_stride = Divisor(layer.columns.stride);
  layer.filters = static_cast<std::uint32_t>(y.shape[1]);
  layer.group_channels = static_cast<std::uint32_t>(w[0] / op.group);
  layer.from_pitch = static_cast<std::uint32_t>(x.pitch);
  layer.to_pitch = static_cast<std::uint32_t>(y.pitch);
  return layer;
}

Implementation build_deconvolution(const Problem& problem) {
  const auto& op = std::get<graph::ConvTranspose>(problem.node.op);
  const DeconvLayer layer = deconv_layer(problem);
  const auto bias = upload_bias(problem, "cuda:deconvolution");
  const auto weights = upload_weights(problem, "cuda:deconvolution", [&] { return arrange_transposed(*problem.constant(1), op.group); });
  Implementation result;
  result.name = "cuda:deconvolution";
  result.reads = reads_first(problem, 1);
  result.weights = {weights, bias};
  result.step = with_storage(problem.env.operand, [&](auto type) -> Step {
    using T = typename decltype(type)::type;
    return [layer, weights, bias](const Arguments& arguments) {
      deconvolve<T><<<blocks_for(layer.elements), kThreads, 0, arguments.stream>>>(
          layer, static_cast<const T*>(arguments.inputs[0]), static_cast<const float*>(weights->data()),
          bias ? static_cast<const float*>(bias->data()) : nullptr, static_cast<T*>(arguments.outputs[0]));
      check(cudaPeekAtLastError(), "a transposed convolution");
    };
  });
  return result;
}

}  // namespace

Kernel direct_convolution_kernel() { return {"cuda:direct", &refuse_direct, &predict_direct, &build_direct}; }
Kernel direct_winograd_kernel() { return {"cuda:direct_winograd", &refuse_winograd, &predict_winograd, &build_winograd}; }
Kernel deconvolution_kernel() { return {"cuda:deconvolution", &refuse_deconvolution, &predict_deconvolution, &build_deconvolution}; }

}  // namespace wins::runtime::cuda

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <memory>

#include "copy.hpp"
#include "launch_chain.cuh"
#include "wins/runtime/cuda/divisor.hpp"
#include "wins/base/exception.hpp"

namespace wins::runtime::cuda {
namespace {

constexpr int kMaxAxes = 8;
constexpr int kThreads = 256;

/// Innermost axis first.
struct CopyAxes {
  int count = 0;
  Divisor extent[kMaxAxes];
  const std::int32_t* source[kMaxAxes];
  const std::int32_t* target[kMaxAxes];
};

template <class T>
__device__ float to_float(T x) {
  return static_cast<float>(x);
}
template <class T>
__device__ T from_float(float x) {
  return static_cast<T>(x);
}

template <class From, class To>
__global__ void __launch_bounds__(kThreads) copy_kernel(const __grid_constant__ CopyAxes axes, const From* from, To* to, int elements, float fill) {
  wait_for_predecessor();
  for (int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x); i < elements; i += static_cast<int>(gridDim.x) * kThreads) {
    int rest = i;
    std::int64_t source = 0, target = 0;
    bool filled = false, zero = false;
    for (int a = 0; a < axes.count; ++a) {
      int index = rest;
      rest = axes.extent[a].divide(index);
      const int entry = axes.source[a][index];
      filled |= entry == kFill;
      zero |= entry == kZero;
      source += entry;
      target += axes.target[a][index];
    }
    to[target] = from_float<To>(zero ? 0.0F : filled ? fill : to_float(from[source]));
  }
}

/// The tables of a copy on the device.
struct Tables {
  CopyAxes axes;
  DeviceBuffer memory;
  std::int64_t elements = 1;
};

/// The stride of a table at its start; tables of one entry go outside.
std::int64_t stride_of(const std::vector<std::int64_t>& table) { return table.size() > 1 ? table[1] - table[0] : INT64_MAX; }

std::shared_ptr<const Tables> make_tables(Copy& copy) {
  if (copy.axes.size() > kMaxAxes) throw Error("cuda: a copy over too many axes");
  std::stable_sort(copy.axes.begin(), copy.axes.end(),
                   [](const CopyAxis& a, const CopyAxis& b) { return stride_of(a.target) < stride_of(b.target); });
  auto tables = std::make_shared<Tables>();
  std::vector<std::int32_t> words;
  for (const CopyAxis& axis : copy.axes) {
    for (const auto* table : {&axis.source, &axis.target}) {
      for (const std::int64_t entry : *table) words.push_back(static_cast<std::int32_t>(entry));
    }
    tables->elements *= static_cast<std::int64_t>(axis.source.size());
  }
  if (tables->elements > INT32_MAX) throw Error("cuda: a copy of 2^31 elements or more");
  tables->memory = DeviceBuffer(words.data(), words.size() * sizeof(words[0]));
  const auto* at = static_cast<const std::int32_t*>(tables->memory.data());
  for (const CopyAxis& axis : copy.axes) {
    const int a = tables->axes.count++;
    tables->axes.extent[a] = Divisor(static_cast<std::int32_t>(axis.source.size()));
    tables->axes.source[a] = at;
    tables->axes.target[a] = at + axis.source.size();
    at += 2 * axis.source.size();
  }
  return tables;
}

template <class From, class To>
Step step_of(const Copy& copy, std::shared_ptr<const Tables> tables) {
  return [tables, fill = copy.fill, input = copy.input, output = copy.output](const Arguments& arguments) {
    const auto elements = static_cast<int>(tables->elements);
    if (elements == 0) return;
    const int blocks = std::min((elements + kThreads - 1) / kThreads, 16 * device().processors);
    launch_early(&copy_kernel<From, To>, dim3(static_cast<unsigned>(blocks)), kThreads, 0, arguments.stream, tables->axes,
                 static_cast<const From*>(arguments.inputs[input]), static_cast<To*>(arguments.outputs[output]), elements, fill);
    check(cudaPeekAtLastError(), "copy");
  };
}

template <class From>
Step step_from(const Copy& copy, std::shared_ptr<const Tables> tables) {
  switch (copy.to) {
    case Number::f32: return step_of<From, float>(copy, std::move(tables));
    case Number::f16: return step_of<From, __half>(copy, std::move(tables));
    case Number::bf16: return step_of<From, __nv_bfloat16>(copy, std::move(tables));
  }
  return {};
}

}  // namespace

Number number_of(Operand operand) {
  return operand == Operand::f16 ? Number::f16 : operand == Operand::bf16 ? Number::bf16 : Number::f32;
}

std::vector<std::int64_t> steps_of(std::int64_t extent, std::int64_t stride) {
  std::vector<std::int64_t> table(static_cast<std::size_t>(extent));
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<std::int64_t>(i) * stride;
  return table;
}

void fill_unit(std::vector<CopyAxis>& axes, std::size_t channel_axis, std::int64_t unit) {
  CopyAxis& channels = axes.at(channel_axis);
  while (channels.target.size() % static_cast<std::size_t>(unit) != 0) {
    channels.target.push_back(channels.target.back() + 1);
    channels.source.push_back(kZero);
  }
}

std::vector<CopyAxis> whole(const Layout& from, const Layout& to, std::int64_t unit) {
  std::vector<CopyAxis> axes;
  for (std::size_t d = 0; d < to.shape.size(); ++d) {
    axes.push_back({steps_of(to.shape[d], from.strides[d]), steps_of(to.shape[d], to.strides[d])});
  }
  if (to.pitch > 0 && to.shape[1] > 0) fill_unit(axes, 1, unit);
  return axes;
}

Step copy_step(Copy copy) {
  const auto tables = make_tables(copy);
  switch (copy.from) {
    case Number::f32: return step_from<float>(copy, tables);
    case Number::f16: return step_from<__half>(copy, tables);
    case Number::bf16: return step_from<__nv_bfloat16>(copy, tables);
  }
  return {};
}

}  // namespace wins::runtime::cuda

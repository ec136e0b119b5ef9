// Reductions over any set of axes: some lanes for each output element, whose sums a block adds up.
#include <cmath>

#include "kernels.hpp"
#include "problem_facts.hpp"
#include "storage.cuh"
#include "strided.hpp"

namespace wins::runtime::cuda {
namespace {

using Kind = graph::Reduce::Kind;

struct ReduceLayer {
  StridedAxes<2> kept;     ///< output and input
  StridedAxes<1> reduced;  ///< input
  std::uint32_t lanes = 1;  ///< for an output element, a power of two
  bool lanes_first = false;  ///< neighbours in a block read along the reduced axes, not along the kept ones
  Kind kind = Kind::mean;
};

/// NaN wins.
__device__ inline float combine(Kind kind, float a, float b) {
  if (kind == Kind::max) return a > b || isnan(a) ? a : b;
  if (kind == Kind::min) return a < b || isnan(a) ? a : b;
  return a + b;
}

__device__ inline float start_value(Kind kind) { return kind == Kind::max ? -INFINITY : kind == Kind::min ? INFINITY : 0.0F; }

template <class T>
__global__ void __launch_bounds__(kThreads) reduce_elements(const __grid_constant__ ReduceLayer layer, const T* from, T* to) {
  __shared__ float shared[kThreads];
  const std::uint32_t each = kThreads / layer.lanes;  // output elements of a block
  const std::uint32_t lane = layer.lanes_first ? threadIdx.x % layer.lanes : threadIdx.x / each;
  const std::uint32_t element = blockIdx.x * each + (layer.lanes_first ? threadIdx.x / layer.lanes : threadIdx.x % each);
  const bool inside = element < layer.kept.elements;
  Place<2> place;
  if (inside) place = locate(layer.kept, element);
  float sum = start_value(layer.kind);
  if (inside && !place.fill) {
    for (std::uint32_t r = lane; r < layer.reduced.elements; r += layer.lanes) {
      const float x = to_float(from[place.offsets[1] + locate(layer.reduced, r).offsets[0]]);
      sum = combine(layer.kind, sum, layer.kind == Kind::l2 ? x * x : x);
    }
  }
  shared[threadIdx.x] = sum;
  const std::uint32_t apart = layer.lanes_first ? 1 : each;  // threads from one lane to the next
  for (std::uint32_t step = layer.lanes / 2; step > 0; step /= 2) {
    __syncthreads();
    if (lane < step) {
      sum = combine(layer.kind, sum, shared[threadIdx.x + step * apart]);
      shared[threadIdx.x] = sum;
    }
  }
  if (!inside || lane != 0) return;
  if (layer.kind == Kind::mean) sum /= static_cast<float>(layer.reduced.elements);
  if (layer.kind == Kind::l2) sum = sqrtf(sum);
  to[place.offsets[0]] = from_float<T>(place.fill ? 0.0F : sum);
}

/// One flag for each axis of the input.
std::vector<bool> reduced_axes(const Problem& problem) {
  const auto& op = std::get<graph::Reduce>(problem.node.op);
  const std::size_t rank = problem.input_shape(0).size();
  if (!problem.has_input(1) || problem.constant(1)->size() == 0) return std::vector<bool>(rank, !op.noop_with_empty_axes);
  std::vector<bool> reduced(rank, false);
  for (const std::int64_t axis : integers(problem, 1)) reduced[normal_axis(axis, rank)] = true;
  return reduced;
}

std::optional<std::string> refuse(const Problem& problem) {
  if (auto reason = refuse_variable(problem, 1)) return reason;
  return refuse_values(problem, 1);
}

/// Lanes so that each adds up a few dozen elements, when there are not enough outputs to fill the device anyway.
std::uint32_t choose_lanes(std::uint32_t kept, std::uint32_t reduced) {
  std::uint32_t lanes = 1;
  const auto wanted = static_cast<std::uint32_t>(device().processors) * 1024;
  while (lanes < kThreads && lanes * 2 <= reduced && (reduced / lanes > 64 || static_cast<std::uint64_t>(kept) * lanes < wanted)) lanes *= 2;
  return lanes;
}

ReduceLayer make_layer(const Problem& problem) {
  const auto& op = std::get<graph::Reduce>(problem.node.op);
  const Layout &x = problem.inputs[0], &y = problem.outputs[0];
  const std::int64_t unit = problem.env.unit();
  const std::vector<bool> flags = reduced_axes(problem);
  std::vector<StridedAxis<2>> kept;
  std::vector<StridedAxis<1>> reduced;
  std::int64_t shortest_kept = INT64_MAX, shortest_reduced = INT64_MAX;  // strides in the input
  for (std::size_t d = 0; d < x.shape.size(); ++d) {
    std::int64_t& shortest = flags[d] ? shortest_reduced : shortest_kept;
    if (x.shape[d] > 1) shortest = std::min(shortest, x.strides[d]);
    if (flags[d]) reduced.push_back({x.shape[d], {x.strides[d]}});
    if (flags[d] && !op.keep_dims) continue;
    const std::size_t out = kept.size();
    kept.push_back({y.shape[out], {y.strides[out], flags[d] ? 0 : x.strides[d]}, has_fill(y, out, unit)});
  }
  ReduceLayer layer;
  layer.kept = make_strided(std::move(kept), unit);
  layer.reduced = make_strided(std::move(reduced), unit);
  layer.lanes = choose_lanes(layer.kept.elements, layer.reduced.elements);
  layer.lanes_first = shortest_reduced < shortest_kept;
  layer.kind = op.kind;
  return layer;
}

Implementation build(const Problem& problem) {
  const ReduceLayer layer = make_layer(problem);
  const std::uint32_t each = kThreads / layer.lanes, blocks = (layer.kept.elements + each - 1) / each;
  Implementation result;
  result.name = "cuda:reduce";
  result.reads = reads_first(problem, 1);
  result.step = with_storage(problem.env.operand, [&](auto type) -> Step {
    using T = typename decltype(type)::type;
    return [layer, blocks](const Arguments& arguments) {
      reduce_elements<T><<<blocks, kThreads, 0, arguments.stream>>>(layer, static_cast<const T*>(arguments.inputs[0]),
                                                                    static_cast<T*>(arguments.outputs[0]));
      check(cudaPeekAtLastError(), "a reduction");
    };
  });
  return result;
}

}  // namespace

Kernel reduce_kernel() { return {"cuda:reduce", &refuse, &predict_traffic, &build}; }

}  // namespace wins::runtime::cuda

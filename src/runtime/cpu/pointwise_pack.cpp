#include "pointwise_pack.hpp"

#include <algorithm>
#include <iterator>

#include "bfloat16.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::cpu {
namespace {

using Columns = std::vector<std::int32_t>;

/// A pair costs two multiplications for each column that either vector reads.
constexpr double kPairWaste = 1.05;
/// Input channels of a chunk: 28 pixels of as many take 28 KiB.
constexpr std::int64_t kChunk = 256;

struct Plan {
  std::int64_t first_vector;
  int vectors;
  Columns columns;
};

Columns columns_of(const Tensor& weights, std::int64_t vector, int lanes) {
  const std::int64_t K = weights.dim(0), C = weights.dim(1);
  const float* w = weights.data<float>().data();
  Columns columns;
  for (std::int64_t c = 0; c < C; ++c) {
    for (std::int64_t k = vector * lanes; k < std::min(K, (vector + 1) * lanes); ++k) {
      if (w[k * C + c] == 0.0F) continue;
      columns.push_back(static_cast<std::int32_t>(c));
      break;
    }
  }
  return columns;
}

std::vector<Plan> plan_groups(const Tensor& weights, int lanes) {
  // Padded channels are written too: a block may hold several vectors.
  const std::int64_t K = weights.dim(0), vectors = round_up(K, std::max(8, lanes)) / lanes;
  std::vector<Plan> plans;
  for (std::int64_t v = 0; v < vectors; ++v) {
    Columns first = columns_of(weights, v, lanes);
    if (v + 1 < vectors && (v + 1) * lanes <= K) {
      const Columns second = columns_of(weights, v + 1, lanes);
      Columns both;
      std::set_union(first.begin(), first.end(), second.begin(), second.end(), std::back_inserter(both));
      if (2.0 * static_cast<double>(both.size()) <= kPairWaste * static_cast<double>(first.size() + second.size())) {
        plans.push_back({v, 2, std::move(both)});
        ++v;
        continue;
      }
    }
    plans.push_back({v, 1, std::move(first)});
  }
  return plans;
}

PointwiseWork work_of(const std::vector<Plan>& plans, const Tensor& weights, int lanes, WeightStorage storage) {
  PointwiseWork work;
  work.weight_bytes = storage == WeightStorage::bf16 ? 2 : 4;
  double kept = 0, all = 0;
  for (const Plan& plan : plans) {
    work.weights += static_cast<std::int64_t>(plan.columns.size()) * plan.vectors * lanes;
    if (plan.first_vector * lanes >= weights.dim(0)) continue;  // padding
    kept += static_cast<double>(plan.columns.size()) * plan.vectors;
    all += static_cast<double>(weights.dim(1) * plan.vectors);
  }
  work.density = kept / std::max(1.0, all);
  return work;
}

}  // namespace

PackedPointwise pack_pointwise(const Tensor& weights, const PointwiseKernels& kernels, WeightStorage storage) {
  const std::int64_t K = weights.dim(0), C = weights.dim(1), N = kernels.lanes;
  const float* w = weights.data<float>().data();
  const std::vector<Plan> plans = plan_groups(weights, kernels.lanes);
  PackedPointwise packed;
  packed.chunks = C < 2 * kChunk ? 1 : divide_up(C, kChunk);
  std::vector<float> values;
  for (std::int64_t chunk = 0; chunk < packed.chunks; ++chunk) {
    const std::int64_t begin = C * chunk / packed.chunks, end = C * (chunk + 1) / packed.chunks;
    for (const Plan& plan : plans) {
      const auto first = std::lower_bound(plan.columns.begin(), plan.columns.end(), begin);
      const auto last = std::lower_bound(first, plan.columns.end(), end);
      packed.groups.push_back({plan.first_vector, plan.vectors, last - first,
                               static_cast<std::int64_t>(packed.columns.size()),
                               static_cast<std::int64_t>(values.size())});
      packed.columns.insert(packed.columns.end(), first, last);
      for (auto c = first; c != last; ++c) {
        for (std::int64_t k = plan.first_vector * N; k < (plan.first_vector + plan.vectors) * N; ++k) {
          values.push_back(k < K ? w[k * C + *c] : 0.0F);
        }
      }
    }
  }
  packed.work = work_of(plans, weights, kernels.lanes, storage);
  packed.halved = storage == WeightStorage::bf16;
  packed.weights = packed.halved ? pack_bfloat16(values) : pack_floats(values);
  return packed;
}

PointwiseWork pointwise_work(const Tensor& weights, const PointwiseKernels& kernels, WeightStorage storage) {
  return work_of(plan_groups(weights, kernels.lanes), weights, kernels.lanes, storage);
}

}  // namespace wins::runtime::cpu

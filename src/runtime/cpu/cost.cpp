#include "cost.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <numeric>
#include <vector>

#include "aligned.hpp"

namespace wins::runtime::cpu {
namespace {

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

/// The row kernel itself on data in the first cache: its best rate is the peak that counts.
double measure_flops(const WinogradKernels& kernels) {
  constexpr std::int32_t kColumns = 64;
  AlignedFloats u(kColumns * kernels.max_rows), v(kColumns * 2 * kernels.lanes),
      m((kernels.max_rows + 1) * 2 * kernels.lanes);
  std::fill_n(u.data(), u.size(), 0.5F);
  std::fill_n(v.data(), v.size(), 0.5F);
  std::vector<RowGroup> groups(16);
  for (RowGroup& group : groups) group = {0, kernels.max_rows, kColumns, 1, 0};
  const MultiplyTask task{groups.data(), 16, u.data(), nullptr, nullptr, v.data(), kColumns, 2, m.data()};
  double best = 1e30;
  for (int i = 0; i < 40; ++i) {
    const auto start = Clock::now();
    kernels.multiply(task);
    best = std::min(best, microseconds_since(start));
  }
  return 16.0 * kernels.max_rows * kColumns * 2 * kernels.lanes * 2 / std::max(best, 0.1);
}

/// Reading 8 MB, best of several passes.
double measure_bytes() {
  std::vector<std::int64_t> data(std::size_t{1} << 20, 1);
  double best = 1e30;
  volatile std::int64_t sink = 0;
  for (int i = 0; i < 8; ++i) {
    const auto start = Clock::now();
    std::int64_t sums[8] = {};
    for (std::size_t j = 0; j < data.size(); j += 8) {
      for (std::size_t k = 0; k < 8; ++k) sums[k] += data[j + k];
    }
    sink = std::accumulate(sums, sums + 8, sink + 0);
    best = std::min(best, microseconds_since(start));
  }
  return static_cast<double>(data.size() * sizeof(std::int64_t)) / std::max(best, 1.0);
}

Machine measure(int lanes) {
  Machine result;
  result.lanes = lanes;
  result.flops_per_us = measure_flops(winograd_kernels());
  result.bytes_per_us = measure_bytes();
  const long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (l2 > 0) result.l2_bytes = static_cast<double>(l2);
  return result;
}

}  // namespace

std::string Machine::text() const {
  return fmt::format("{} lanes, {:.0f} GFLOP/s and {:.0f} GB/s a core, {:.0f} KiB second-level cache", lanes,
                     flops_per_us * 1e-3, bytes_per_us * 1e-3, l2_bytes / 1024);
}

std::string Cost::text() const {
  return fmt::format("{:.0f} us, {:.1f} MFLOP, {:.1f} MB", us, flops * 1e-6, bytes * 1e-6);
}

const Machine& machine(int lanes) {
  static std::mutex guard;
  static std::map<int, Machine> machines;
  const std::lock_guard lock(guard);
  const auto found = machines.find(lanes);
  return found != machines.end() ? found->second : machines.emplace(lanes, measure(lanes)).first->second;
}

Cost predict(const WinogradGeometry& geometry, const WinogradWork& work, const WinogradSchedule& schedule,
             const Machine& machine) {
  // Vector operations for one lane group: transforms per channel, then the row kernel's.
  const double p = geometry.p(), positions = p * p;
  const double channels = static_cast<double>(geometry.in_blocks() * geometry.block);
  const double outputs = static_cast<double>(geometry.out_blocks() * geometry.block);
  const double m = geometry.m, lanes = machine.lanes;
  const double input_ops = channels * (positions * (3 + p / 4) + 5 * work.live);
  const double output_ops = outputs * (positions * (1 + p / 6) + 7 * m * m);
  const double multiply_ops = static_cast<double>(work.weights) * (work.sparse ? 2.5 : 1.08);
  const double vector_us = 2 * lanes / machine.flops_per_us;

  const double share = schedule.split_rows ? schedule.threads : 1;
  const double parallel_blocks =
      schedule.split_rows ? 1 : std::min<double>(schedule.threads, static_cast<double>(schedule.blocks));
  const double rounds =
      static_cast<double>((schedule.blocks + static_cast<std::int64_t>(parallel_blocks) - 1) /
                          static_cast<std::int64_t>(parallel_blocks));
  const double vectors = static_cast<double>(schedule.groups) / static_cast<double>(schedule.blocks);
  const double chunk_share = std::min(share, static_cast<double>(work.chunks));
  const double compute =
      vectors * vector_us * (input_ops / share + (multiply_ops + output_ops) / chunk_share);

  // Weights stream past every block of tiles; V streams past every chunk once it leaves the cache.
  const double u_bytes = static_cast<double>(work.weights) * (work.sparse ? 8 : work.weight_bytes);
  const double v_bytes = work.live * channels * vectors * lanes * 4;
  const double spilled =
      std::max(0.0, v_bytes - machine.l2_bytes * 0.6) * (1 + static_cast<double>(work.chunks) / chunk_share);
  const double shared_v = schedule.split_rows ? v_bytes : 0;  // half of it comes from other cores
  const double stream = (u_bytes / chunk_share + spilled + shared_v) / machine.bytes_per_us;
  const double hidden = u_bytes / chunk_share < machine.l2_bytes * 0.4 && schedule.blocks > 1 ? 0.2 : 0.6;

  Cost cost;
  cost.us = rounds * (compute + hidden * stream) +
            machine.fork_us * (schedule.split_rows ? 2.0 * static_cast<double>(schedule.blocks) : 1);
  cost.flops = 2 * static_cast<double>(work.weights) * static_cast<double>(schedule.groups) * lanes;
  cost.bytes = u_bytes * static_cast<double>(schedule.blocks);
  return cost;
}

Cost predict_roofline(double flops, double bytes, double efficiency, int threads, const Machine& machine) {
  const double compute = flops / (machine.flops_per_us * efficiency * threads);
  const double stream = bytes / (machine.bytes_per_us * std::min(threads, 2));
  return {std::max(compute, stream) + machine.fork_us, flops, bytes};
}

}  // namespace wins::runtime::cpu

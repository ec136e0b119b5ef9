// A small, printable cost model: what a layer does, and how long that should take.
#pragma once

#include <cstdint>
#include <string>

#include "winograd_kernels.hpp"

namespace wins::runtime::cpu {

/// The machine as the model sees it; `machine()` measures it once per process.
struct Machine {
  int lanes = 8;                   ///< float lanes of the kernels
  double flops_per_us = 50e3;      ///< one core, multiply and add counted
  double bytes_per_us = 8e3;       ///< one core, from memory or the last cache
  double l2_bytes = 512 * 1024.0;  ///< of one core
  double fork_us = 3;              ///< starting and joining the team
  std::string text() const;
};

/// Constants of this machine for vectors of `lanes` floats, from a few milliseconds of measurement.
const Machine& machine(int lanes);

struct Cost {
  double us = 0;
  double flops = 0;  ///< done, padding included
  double bytes = 0;  ///< of weights and activations moved
  std::string text() const;
};

/// What the weights of a Winograd layer ask for.
struct WinogradWork {
  std::int64_t weights = 0;  ///< multiplications per tile
  std::int64_t rows = 0;     ///< rows of M
  int live = 0;              ///< positions with rows
  std::int64_t chunks = 1;
  bool sparse = false;
  int weight_bytes = 4;  ///< of one
};

/// How it is cut.
struct WinogradSchedule {
  std::int64_t groups = 1;  ///< of `lanes` tiles
  std::int64_t blocks = 1;
  bool split_rows = false;
  int threads = 1;
};

Cost predict(const WinogradGeometry& geometry, const WinogradWork& work, const WinogradSchedule& schedule,
             const Machine& machine);

/// A kernel bound by multiply-adds (at `efficiency` of the peak) or by its bytes.
Cost predict_roofline(double flops, double bytes, double efficiency, int threads, const Machine& machine);

}  // namespace wins::runtime::cpu

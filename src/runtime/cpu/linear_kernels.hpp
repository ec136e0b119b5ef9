// Fully connected layers whose weights are stored as bfloat16, per instruction set: a few rows of X
// at a time, since such layers are bound by the stream of their weights.
#pragma once

#include <cstdint>

#include "output_activation.hpp"

namespace wins::runtime::cpu {

/// Outputs [first, first + 4 N) of `rows` rows (N lanes): y = activation(W x + bias).
struct LinearTile {
  const float* x;                ///< [rows][x_pitch]
  const std::uint16_t* weights;  ///< bfloat16 bits, [inputs][4 N]
  const float* bias;             ///< [4 N]
  float* y;                      ///< [rows][y_pitch]
  std::int64_t inputs, x_pitch, y_pitch;
  int rows;
  int outputs;  ///< of the 4 N that exist
  OutputActivation activation;
};

struct LinearKernels {
  const char* target;
  int outputs;   ///< 4 N
  int max_rows;  ///< of a tile
  void (*multiply)(const LinearTile&);
};

/// For the best instruction set of this machine (or the one Highway is told to use).
const LinearKernels& linear_kernels();

}  // namespace wins::runtime::cpu

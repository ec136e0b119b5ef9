// The network's inputs from float32 NCHW to the layout and storage of a precision.
#pragma once

#include "kernel.hpp"

namespace wins::runtime::cuda {

/// Converts input 0 of a step, of `layout.shape`, row-major, to output 0 in `layout` (rank 4, fewer than 2^31 elements); channels
/// that fill the last unit become zeros.
Step input_conversion_step(const Layout& layout, Operand operand);

}  // namespace wins::runtime::cuda

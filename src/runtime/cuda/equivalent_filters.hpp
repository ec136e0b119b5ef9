// The filters of the ordinary convolution that a pruned Winograd layer equals.
#pragma once

#include "kernel.hpp"

namespace wins::runtime::cuda {

/// [K m m, C, p, p] of a WinogradConv, as winograd::equivalent_convolution orders them; what its mask prunes is left out.
Tensor equivalent_filters(const Problem& problem);

}  // namespace wins::runtime::cuda

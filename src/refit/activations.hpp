// Activations of a network on the CPU.
#pragma once

#include <vector>

#include "wins/base/tensor.hpp"

namespace wins::refit {

/// One tensor for each batch.
using Activations = std::vector<Tensor>;

}  // namespace wins::refit

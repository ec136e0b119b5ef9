// Inner activations that a pruned network should share with its teacher (FitNets, Romero et al., 2015).
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::training {

/// Names of activation outputs ([N, C, H, W], so where a layer ends for good: behind batch norm and residual
/// add) that both graphs compute. `teacher` may be fused: values inside a fused node are not there any more.
std::vector<std::string> hint_values(const graph::Graph& student, const graph::Graph& teacher);

/// Mean over the hints of squared distance / variance of the teacher's activation.
at::Tensor hint_distance(std::span<const at::Tensor> student, std::span<const at::Tensor> teacher);

}  // namespace wins::training

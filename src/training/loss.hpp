// What training minimises, and how it is scored.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "wins/training/training.hpp"

namespace wins::training {

struct Loss {
  at::Tensor value;    ///< scalar, differentiable
  at::Tensor correct;  ///< scalar count of right answers; undefined for networks that do not classify
};

/// Whether the outputs are one [N, classes] score matrix (or [N, classes, 1, 1]).
bool classifies(const std::vector<at::Tensor>& outputs);

/// For class scores: (1 - w) cross-entropy with label smoothing + w KL(teacher || student) at
/// temperature T, times T^2 (Hinton et al. 2015); KL alone without labels. For other outputs: mean
/// squared error to the teacher's outputs, in units of their mean square. An answer is right when
/// it equals the label, or the teacher's answer without labels. `labels` and `teacher` may be
/// undefined and empty.
Loss compute_loss(const TrainOptions& options, const std::vector<at::Tensor>& outputs,
                  const at::Tensor& labels, const std::vector<at::Tensor>& teacher);

}  // namespace wins::training

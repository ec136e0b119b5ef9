#include "loss.hpp"

#include <ATen/ATen.h>

#include "wins/base/error.hpp"

namespace wins::training {
namespace {

at::Tensor divergence(const at::Tensor& student, const at::Tensor& teacher, double temperature) {
  const at::Tensor wanted = at::log_softmax(teacher / temperature, 1);
  const at::Tensor got = at::log_softmax(student / temperature, 1);
  return (wanted.exp() * (wanted - got)).sum(1).mean() * (temperature * temperature);
}

at::Tensor squared_error(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& teacher) {
  require(outputs.size() == teacher.size(), "the network has {} outputs, the teacher {}", outputs.size(),
          teacher.size());
  at::Tensor sum;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    require(outputs[i].sizes() == teacher[i].sizes(), "output {}: network and teacher differ in shape", i);
    const at::Tensor wanted = teacher[i].to(at::kFloat);
    const at::Tensor error =
        (outputs[i].to(at::kFloat) - wanted).square().mean() / wanted.square().mean().clamp_min(1e-12);
    sum = sum.defined() ? sum + error : error;
  }
  return sum;
}

}  // namespace

bool classifies(const std::vector<at::Tensor>& outputs) {
  if (outputs.size() != 1 || outputs[0].dim() < 2 || !outputs[0].is_floating_point()) return false;
  return outputs[0].numel() == outputs[0].size(0) * outputs[0].size(1);
}

Loss compute_loss(const TrainOptions& options, const std::vector<at::Tensor>& outputs,
                  const at::Tensor& labels, const std::vector<at::Tensor>& teacher) {
  if (!classifies(outputs)) {
    require(!teacher.empty(),
            "a network that does not classify is trained against a teacher's outputs, without labels");
    return {squared_error(outputs, teacher), {}};
  }
  const at::Tensor scores = outputs[0].flatten(1).to(at::kFloat);
  at::Tensor loss, target = labels;
  if (labels.defined()) {
    loss = at::cross_entropy_loss(scores, labels, {}, at::Reduction::Mean, -100, options.label_smoothing);
  }
  if (!teacher.empty()) {
    const at::Tensor wanted = teacher[0].flatten(1).to(at::kFloat);
    require(wanted.sizes() == scores.sizes(), "network and teacher differ in their number of classes");
    const at::Tensor distance = divergence(scores, wanted, options.distill_temperature);
    const double weight = options.distill_weight;
    loss = loss.defined() ? loss * (1 - weight) + distance * weight : distance;
    if (!target.defined()) target = wanted.argmax(1);
  }
  return {loss, scores.argmax(1).eq(target).sum()};
}

}  // namespace wins::training

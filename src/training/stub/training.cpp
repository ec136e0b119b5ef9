// The training room of a build without libtorch.
#include "wins/training/training.hpp"

#include "wins/base/error.hpp"

namespace wins::training {
namespace {

[[noreturn]] void refuse() {
  throw Error("this build has no training: configure with -DWINS_TRAINING=ON");
}

}  // namespace

bool available() {
  return false;
}

TrainResult train(const graph::Graph&, const data::Dataset&, const data::Preprocess&, const TrainOptions&,
                  const graph::Graph*, const StepCallback&) {
  refuse();
}

graph::Graph recalibrate_batch_norm(const graph::Graph&, const data::Dataset&, const data::Preprocess&,
                                    const TrainOptions&) {
  refuse();
}

std::vector<Tensor> forward(const graph::Graph&, const std::vector<Tensor>&, const std::string&) {
  refuse();
}

Forward open_forward(const graph::Graph&, const std::string&) {
  refuse();
}

void check_device(const std::string&) {
  refuse();
}

refit::RefitResult refit(const graph::Graph&, const graph::Graph&, const std::vector<Tensor>&,
                         const refit::RefitOptions&, const std::string&) {
  refuse();
}

}  // namespace wins::training

#include <ATen/core/grad_mode.h>

#include "device.hpp"
#include "network.hpp"
#include "tensors.hpp"
#include "wins/base/error.hpp"
#include "wins/training/training.hpp"

namespace wins::training {

bool available() {
  return true;
}

std::vector<Tensor> forward(const graph::Graph& graph, const std::vector<Tensor>& inputs,
                            const std::string& device) {
  const at::Device place = open_device(device);
  const c10::InferenceMode guard;
  Network network(graph, place, false);
  require(inputs.size() == graph.inputs.size(), "graph '{}' has {} inputs, got {}", graph.name,
          graph.inputs.size(), inputs.size());
  std::vector<at::Tensor> tensors;
  for (const Tensor& input : inputs) tensors.push_back(to_torch(input, place));
  std::vector<Tensor> outputs;
  for (const at::Tensor& output : network.run(tensors, Run{})) outputs.push_back(from_torch(output));
  return outputs;
}

}  // namespace wins::training

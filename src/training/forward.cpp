#include <ATen/core/grad_mode.h>

#include <memory>

#include "device.hpp"
#include "network.hpp"
#include "tensors.hpp"
#include "wins/base/error.hpp"
#include "wins/training/training.hpp"

namespace wins::training {

bool available() {
  return true;
}

Forward open_forward(const graph::Graph& graph, const std::string& device) {
  const at::Device place = open_device(device);
  const c10::InferenceMode guard;
  const auto network = std::make_shared<Network>(graph, place, false);
  return [network, place, name = graph.name, count = graph.inputs.size()](const std::vector<Tensor>& inputs) {
    const c10::InferenceMode inference;
    require(inputs.size() == count, "graph '{}' has {} inputs, got {}", name, count, inputs.size());
    std::vector<at::Tensor> tensors;
    for (const Tensor& input : inputs) tensors.push_back(to_torch(input, place));
    std::vector<Tensor> outputs;
    for (const at::Tensor& output : network->run(tensors, Run{})) outputs.push_back(from_torch(output));
    return outputs;
  };
}

std::vector<Tensor> forward(const graph::Graph& graph, const std::vector<Tensor>& inputs, const std::string& device) {
  return open_forward(graph, device)(inputs);
}

}  // namespace wins::training

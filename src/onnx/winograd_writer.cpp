// WinogradConv -> node of domain wins, with its weights as kept units and indices.
#include "node_writer.hpp"
#include "proto_build.hpp"
#include "winograd_function.hpp"
#include "winograd_weights.hpp"
#include "wins/base/error.hpp"

namespace wins::onnx {

void NodeWriter::add_winograd(const graph::WinogradConv& conv, const graph::Node& node, const std::string& to) {
  const Tensor* weights = graph_.constant_input(node, 1);
  require(weights != nullptr, "node '{}': its Winograd-domain weights are not constant", node.name);
  const CarriedWeights carried = carry(conv.mask, *weights);
  const std::string values = add_initialiser(node.name + "/values", carried.values);
  const std::string indices = add_initialiser(node.name + "/indices", carried.indices);
  const std::string bias = input(node, 2);
  pb::NodeProto& written = add(kWinogradConv, node.name, {input(node, 0), values, indices, bias}, {to});
  written.set_domain(kWinsDomain);
  written.set_overload(overload_of(conv, !bias.empty()));
  set_attribute(written, "m", std::int64_t{conv.m});
  set_attribute(written, "r", std::int64_t{conv.r});
  if (conv.stride != 1) set_attribute(written, "stride", std::int64_t{conv.stride});
  set_attribute(written, "pads", graph::Ints(conv.pads.begin(), conv.pads.end()));
  set_attribute(written, "axis", to_string(conv.mask.axis));
  set_attribute(written, "shape", graph::Ints(weights->shape()));
  if (functions_.insert(written.overload()).second) {
    *file_.model.add_functions() = winograd_function(conv, !bias.empty());
  }
}

}  // namespace wins::onnx

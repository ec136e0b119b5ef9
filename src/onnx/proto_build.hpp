// Small helpers that build ONNX nodes.
#pragma once

#include <string>
#include <vector>

#include "proto.hpp"
#include "wins/graph/ops.hpp"

namespace wins::onnx {

inline void set_attribute(pb::NodeProto& node, const std::string& name, std::int64_t value) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(pb::AttributeProto::INT);
  attribute.set_i(value);
}

inline void set_attribute(pb::NodeProto& node, const std::string& name, float value) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(pb::AttributeProto::FLOAT);
  attribute.set_f(value);
}

inline void set_attribute(pb::NodeProto& node, const std::string& name, const std::string& value) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(pb::AttributeProto::STRING);
  attribute.set_s(value);
}

inline void set_attribute(pb::NodeProto& node, const std::string& name, const graph::Ints& values) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(pb::AttributeProto::INTS);
  for (const std::int64_t value : values) attribute.add_ints(value);
}

inline void set_attribute(pb::NodeProto& node, const std::string& name, const pb::TensorProto& value) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(pb::AttributeProto::TENSOR);
  *attribute.mutable_t() = value;
}

/// Absent inputs are empty strings; trailing ones are left out.
inline void set_edges(pb::NodeProto& node, std::vector<std::string> inputs, const std::vector<std::string>& outputs) {
  while (!inputs.empty() && inputs.back().empty()) inputs.pop_back();
  for (const auto& input : inputs) node.add_input(input);
  for (const auto& output : outputs) node.add_output(output);
}

}  // namespace wins::onnx

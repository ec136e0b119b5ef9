#include <onnx/checker.h>

#include <limits>

#include "node_writer.hpp"
#include "proto.hpp"
#include "tensor_io.hpp"
#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/graph/passes.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/onnx/onnx.hpp"

namespace wins::onnx {
namespace {

void add_opset(pb::ModelProto& model, const std::string& domain, int version) {
  auto& import = *model.add_opset_import();
  import.set_domain(domain);
  import.set_version(version);
}

/// Type and extents of an input or output; unknown extents get names (the first: "N").
void describe(const graph::Value& value, pb::ValueInfoProto& info) {
  info.set_name(value.name);
  auto& type = *info.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx_dtype(value.dtype));
  require(value.shape.has_value(), "value '{}': its rank is unknown, ONNX wants one", value.name);
  auto& shape = *type.mutable_shape();
  for (std::size_t axis = 0; axis < value.shape->size(); ++axis) {
    const std::int64_t extent = (*value.shape)[axis];
    auto& dim = *shape.add_dim();
    if (extent >= 0) {
      dim.set_dim_value(extent);
    } else {
      dim.set_dim_param(axis == 0 ? "N" : fmt::format("{}_{}", value.name, axis));
    }
  }
}

pb::ModelProto write_model(const graph::Graph& graph) {
  pb::ModelProto model;
  model.set_ir_version(kExportIr);
  model.set_producer_name("wins");
  add_opset(model, "", kExportOpset);
  auto& proto = *model.mutable_graph();
  proto.set_name(graph.name.empty() ? "network" : graph.name);
  for (const graph::ValueId id : graph.inputs) describe(graph.value(id), *proto.add_input());
  for (const graph::ValueId id : graph.outputs) describe(graph.value(id), *proto.add_output());
  NodeWriter writer(graph, model);
  for (const graph::Node& node : graph.nodes) writer.write(node);
  for (std::size_t i = 0; i < graph.values.size(); ++i) {
    if (writer.used_constants().count(static_cast<graph::ValueId>(i)) == 0) continue;
    *proto.add_initializer() = write_tensor(graph.values[i].name, *graph.values[i].constant);
  }
  if (model.functions_size() > 0) add_opset(model, kWinsDomain, kWinsVersion);
  for (const auto& [key, value] : graph.metadata) {
    auto& entry = *model.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  return model;
}

void require_size(const graph::Graph& graph) {
  std::size_t bytes = 0;
  for (const auto& value : graph.values) bytes += value.constant ? value.constant->byte_size() : 0;
  require(bytes < std::numeric_limits<std::int32_t>::max(),
          "weights of {} bytes are more than the 2 GB that one ONNX file holds", bytes);
}

/// What `save` promises; a failure here names the first node that is wrong.
void require_valid(const pb::ModelProto& model) {
  try {
    pb::checker::check_model(model);
  } catch (const std::exception& error) {
    std::string text = error.what();
    for (char& c : text) c = c == '\n' ? ' ' : c;
    fail("this graph cannot be written as ONNX: {}", text);
  }
}

}  // namespace

std::string save_bytes(const graph::Graph& graph, const ExportOptions& options) {
  graph::Graph copy = graph;
  if (options.portable) graph::to_portable(copy);
  graph::infer_shapes(copy);
  require_size(copy);
  const pb::ModelProto model = write_model(copy);
  require_valid(model);
  require(model.ByteSizeLong() < std::numeric_limits<std::int32_t>::max(),
          "the model is larger than the 2 GB that one ONNX file holds");
  std::string bytes;
  require(model.SerializeToString(&bytes), "the model cannot be written as ONNX");
  return bytes;
}

void save(const graph::Graph& graph, const std::filesystem::path& path, const ExportOptions& options) {
  std::string bytes;
  try {
    bytes = save_bytes(graph, options);
  } catch (const Error& error) {
    fail("{}: {}", path.string(), error.what());
  }
  write_file_atomically(path, bytes);
}

}  // namespace wins::onnx

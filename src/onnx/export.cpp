#include <onnx/checker.h>

#include <algorithm>

#include "model_file.hpp"
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

ModelFile write_model(const graph::Graph& graph) {
  ModelFile file;
  pb::ModelProto& model = file.model;
  model.set_ir_version(kExportIr);
  model.set_producer_name("wins");
  add_opset(model, "", kExportOpset);
  auto& proto = *model.mutable_graph();
  proto.set_name(graph.name.empty() ? "network" : graph.name);
  for (const graph::ValueId id : graph.inputs) describe(graph.value(id), *proto.add_input());
  for (const graph::ValueId id : graph.outputs) describe(graph.value(id), *proto.add_output());
  NodeWriter writer(graph, file);
  for (const graph::Node& node : graph.nodes) writer.write(node);
  for (std::size_t i = 0; i < graph.values.size(); ++i) {
    if (writer.used_constants().count(static_cast<graph::ValueId>(i)) == 0) continue;
    file.add_initialiser(graph.values[i].name, *graph.values[i].constant);
  }
  if (model.functions_size() > 0) add_opset(model, kWinsDomain, kWinsVersion);
  for (const auto& [key, value] : graph.metadata) {
    auto& entry = *model.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  return file;
}

/// What `save` promises; a failure here names the first node that is wrong. ONNX's checker wants the
/// data of each initialiser, which is not there: it sees empty ones of the same names and types.
void require_valid(pb::ModelProto model) {
  for (auto& initialiser : *model.mutable_graph()->mutable_initializer()) {
    initialiser.clear_dims();
    initialiser.add_dims(0);
    initialiser.set_raw_data("");
  }
  try {
    pb::checker::check_model(model);
  } catch (const std::exception& error) {
    std::string text = error.what();
    for (char& c : text) c = c == '\n' ? ' ' : c;
    fail("this graph cannot be written as ONNX: {}", text);
  }
}

/// A model that ONNX's checker accepts, not yet in bytes.
ModelFile checked_model(const graph::Graph& graph, const ExportOptions& options) {
  graph::Graph copy = graph;
  if (options.portable) graph::to_portable(copy);
  graph::infer_shapes(copy);
  ModelFile file = write_model(copy);
  require_valid(file.model);
  return file;
}

/// Both files are complete beside their places before the first one moves there.
void save_in_two(ModelFile& file, const std::filesystem::path& path) {
  const std::filesystem::path data_path = path.string() + ".data";
  AtomicFile data(data_path);
  file.move_weights_out(data_path.filename().string(), [&](std::string_view bytes) { data.write(bytes); });
  data.finish();
  AtomicFile model(path);
  file.serialize([&](std::string_view bytes) { model.write(bytes); });
  model.finish();
  data.commit();
  model.commit();
}

}  // namespace

std::string save_bytes(const graph::Graph& graph, const ExportOptions& options) {
  const ModelFile file = checked_model(graph, options);
  std::string bytes;
  bytes.reserve(std::min(file.size(), kMaxMessage));
  file.serialize([&](std::string_view piece) { bytes += piece; });
  return bytes;
}

void save(const graph::Graph& graph, const std::filesystem::path& path, const ExportOptions& options) {
  ModelFile file;
  std::uint64_t size = 0;
  try {
    file = checked_model(graph, options);
    size = file.size();
  } catch (const Error& error) {
    fail("{}: {}", path.string(), error.what());
  }
  if (size > std::min(options.max_file_bytes, kMaxMessage)) return save_in_two(file, path);
  AtomicFile model(path);
  file.serialize([&](std::string_view bytes) { model.write(bytes); });
  model.commit();
}

}  // namespace wins::onnx

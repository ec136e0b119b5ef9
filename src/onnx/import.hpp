// The steps of an import.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "proto.hpp"
#include "wins/graph/graph.hpp"
#include "wins/onnx/onnx.hpp"

namespace wins::onnx {

/// Parses, bounds and checks a file: opset within range, external weights moved in, local
/// functions (but for WinogradConv) inlined, accepted by ONNX's checker. `folder` is empty for a
/// model in memory. Throws `Error` or any std::exception; the caller adds the file's name.
pb::ModelProto read_model(std::string bytes, const std::filesystem::path& folder, const ImportOptions& options);

/// Turns a checked model into a graph. `model` gives up its weights on the way.
/// Throws `Error` that lists everything unsupported.
graph::Graph build_graph(pb::ModelProto& model);

}  // namespace wins::onnx

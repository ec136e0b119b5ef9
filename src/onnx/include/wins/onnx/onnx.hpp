// ONNX files in and out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::onnx {

struct ImportOptions {
  /// Largest model accepted, weights included.
  std::uintmax_t max_bytes = std::uintmax_t{1} << 34;
};

/// Reads an ONNX model (opset 9 to 23, any producer, external weights beside the file), checks
/// it with ONNX's checker and turns it into a Graph (of opset 23's semantics).
/// Throws `Error` with one line; everything unsupported is listed at once, by node and operator.
graph::Graph load(const std::filesystem::path& path, const ImportOptions& options = {});

/// Same from memory; `name` stands for the file in messages. External weights are refused.
graph::Graph load_bytes(std::string_view bytes, const std::string& name, const ImportOptions& options = {});

/// One line of the list of operators that `load` reads.
struct SupportedOperator {
  std::string name;
  std::string domain;  ///< "" for ONNX's own
  std::string notes;   ///< limits
};
std::vector<SupportedOperator> supported_operators();

struct ExportOptions {
  /// Standard operators only: WinogradConv becomes a strided convolution + DepthToSpace.
  bool portable = false;
  /// A larger model becomes two files: `save` puts the weights into PATH.data. 2 GB, which is all
  /// that one file can hold, is the most.
  std::uint64_t max_file_bytes = 0x7FFF'FFFF;
};

/// Writes atomically; the result passes ONNX's checker. WinogradConv becomes a node of domain
/// `wins` with a function body in standard operators (docs/onnx.md).
void save(const graph::Graph& graph, const std::filesystem::path& path, const ExportOptions& options = {});
/// The same bytes in memory; more than 2 GB are refused.
std::string save_bytes(const graph::Graph& graph, const ExportOptions& options = {});

}  // namespace wins::onnx

#include "import.hpp"

#include <algorithm>
#include <new>

#include "operators.hpp"
#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::onnx {
namespace {

constexpr std::size_t kMessageLength = 4000;

/// One printable line, whatever names the file put into the message.
std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  if (text.size() > kMessageLength) text = text.substr(0, kMessageLength) + " ...";
  return text;
}

graph::Graph import_model(std::string bytes, const std::string& name, const std::filesystem::path& folder,
                          const ImportOptions& options) {
  try {
    pb::ModelProto model = read_model(std::move(bytes), folder, options);
    graph::Graph graph = build_graph(model);
    graph::remove_unused(graph);
    graph::infer_shapes(graph);
    graph::validate(graph);
    return graph;
  } catch (const Error& error) {
    throw Error(one_line(fmt::format("{}: {}", name, error.what())));
  } catch (const std::bad_alloc&) {
    fail("{}: out of memory", name);
  } catch (const std::exception& error) {
    throw Error(one_line(fmt::format("{}: not a valid ONNX model: {}", name, error.what())));
  }
}

}  // namespace

graph::Graph load(const std::filesystem::path& path, const ImportOptions& options) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  return import_model(read_file(path, options.max_bytes), path.string(), folder, options);
}

graph::Graph load_bytes(std::string_view bytes, const std::string& name, const ImportOptions& options) {
  return import_model(std::string(bytes), name, {}, options);
}

std::vector<SupportedOperator> supported_operators() {
  std::vector<SupportedOperator> list;
  for (const Operator& op : all_operators()) list.push_back({op.name, op.domain, op.notes});
  return list;
}

}  // namespace wins::onnx

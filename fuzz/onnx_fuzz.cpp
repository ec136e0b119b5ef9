// Any bytes through the importer; what imports and is small also runs in the reference.
#include <cstdint>
#include <string_view>
#include <vector>

#include "wins/base/error.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/onnx/onnx.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace {

constexpr std::int64_t kMaxElements = 1 << 16;
constexpr std::int64_t kMaxWork = 1 << 22;

/// Sum over the nodes of (output elements x weights of the node): an upper bound of the loops.
bool small(const wins::graph::Graph& graph) {
  std::int64_t work = 0;
  for (const auto& node : graph.nodes) {
    std::int64_t inputs = 1;
    for (const auto id : node.inputs) {
      if (id != wins::graph::kNone) inputs += wins::element_count(*graph.value(id).shape);
    }
    for (const auto id : node.outputs) {
      const std::int64_t elements = wins::element_count(*graph.value(id).shape);
      if (elements > kMaxElements || inputs > kMaxElements) return false;
      work += elements * inputs;
    }
    if (work > kMaxWork) return false;
  }
  return true;
}

void load_and_run(std::string_view bytes) {
  const wins::graph::Graph graph = wins::onnx::load_bytes(bytes, "fuzz.onnx", {.max_bytes = 1 << 24});
  wins::onnx::load_bytes(wins::onnx::save_bytes(graph), "saved.onnx");
  const auto shapes = wins::graph::default_input_shapes(graph, 1, 8);
  const wins::graph::Graph concrete = wins::graph::specialize(graph, shapes, kMaxElements);
  if (!small(concrete)) return;
  std::vector<wins::Tensor> inputs;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    inputs.emplace_back(concrete.value(concrete.inputs[i]).dtype, shapes[i]);
  }
  wins::runtime::ref::run(concrete, inputs, wins::runtime::ref::Precision::float32);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    load_and_run({reinterpret_cast<const char*>(data), size});
  } catch (const wins::Error&) {
    // The one way in which bad input may end.
  }
  return 0;
}

#include "inputs.hpp"

#include "wins/base/error.hpp"

namespace wins::runtime {

void check_input_shapes(const graph::Graph& graph, const std::vector<Shape>& shapes) {
  require(shapes.size() == graph.inputs.size(), "the network takes {} inputs, {} were given", graph.inputs.size(),
          shapes.size());
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const graph::Value& value = graph.value(graph.inputs[i]);
    for (const std::int64_t extent : shapes[i]) {
      require(extent > 0, "input '{}': shape {} has an extent that is not positive", value.name,
              to_string(shapes[i]));
    }
    if (!value.shape) continue;
    const Shape& wanted = *value.shape;
    bool fits = wanted.size() == shapes[i].size();
    for (std::size_t d = 0; fits && d < wanted.size(); ++d) fits = wanted[d] < 0 || wanted[d] == shapes[i][d];
    require(fits, "input '{}': shape {} does not fit, the network takes {}", value.name, to_string(shapes[i]),
            to_string(wanted));
  }
}

std::vector<Shape> check_inputs(const graph::Graph& graph, const std::vector<Tensor>& inputs) {
  std::vector<Shape> shapes;
  for (const Tensor& tensor : inputs) shapes.push_back(tensor.shape());
  require(inputs.size() == graph.inputs.size(), "the network takes {} inputs, {} were given", graph.inputs.size(),
          inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const graph::Value& value = graph.value(graph.inputs[i]);
    require(inputs[i].defined(), "input '{}' has no data", value.name);
    require(inputs[i].dtype() == value.dtype, "input '{}': type {} does not fit, the network takes {}", value.name,
            name_of(inputs[i].dtype()), name_of(value.dtype));
  }
  check_input_shapes(graph, shapes);
  return shapes;
}

std::string shapes_text(const std::vector<Shape>& shapes) {
  std::string text;
  for (const Shape& shape : shapes) text += (text.empty() ? "" : ", ") + to_string(shape);
  return text;
}

}  // namespace wins::runtime

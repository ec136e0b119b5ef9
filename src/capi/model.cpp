#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "wins/base/error.hpp"
#include "wins/data/dataset.hpp"
#include "wins/data/loader.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/onnx/onnx.hpp"
#include "wins/wins.hpp"

namespace wins {

struct Model::State {
  std::filesystem::path path;
  data::Preprocess preprocess;
  runtime::Session session;
};

namespace {

/// The metadata's preprocessing; sizes that it does not give come from the first input.
data::Preprocess read_preprocess(const graph::Graph& graph) {
  data::Preprocess preprocess = data::Preprocess::from_metadata(graph.metadata);
  if (graph.inputs.empty()) return preprocess;
  const auto& shape = graph.value(graph.inputs[0]).shape;
  if (!shape || shape->size() != 4) return preprocess;
  if ((*shape)[1] > 0) preprocess.channels = (*shape)[1];
  if (preprocess.height == 0) preprocess.height = std::max<std::int64_t>(0, (*shape)[2]);
  if (preprocess.width == 0) preprocess.width = std::max<std::int64_t>(0, (*shape)[3]);
  return preprocess;
}

}  // namespace

Model::Model(std::unique_ptr<State> state) : state_(std::move(state)) {}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

Model Model::open(const std::filesystem::path& path, const runtime::SessionOptions& options) {
  graph::Graph graph = onnx::load(path);
  data::Preprocess preprocess = read_preprocess(graph);
  return Model(std::make_unique<State>(
      State{path, std::move(preprocess), runtime::Session::open(std::move(graph), options)}));
}

std::vector<Tensor> Model::run(const std::vector<Tensor>& inputs) { return state_->session.run(inputs); }

Tensor Model::run(const Tensor& input) {
  std::vector<Tensor> outputs = state_->session.run({input});
  require(!outputs.empty(), "{}: the network has no outputs", state_->path.string());
  return std::move(outputs.front());
}

Tensor Model::read_image(const std::filesystem::path& path) const {
  const data::Preprocess& preprocess = state_->preprocess;
  require(preprocess.height > 0 && preprocess.width > 0, "{}: the model does not say how large its pictures are",
          state_->path.string());
  const Tensor picture = preprocess.apply(data::read_image(path));
  Shape shape = picture.shape();
  shape.insert(shape.begin(), 1);
  return picture.reshaped(shape);
}

std::vector<Prediction> Model::top(const Tensor& scores, std::size_t count) const {
  const std::int64_t rows = scores.rank() < 2 ? 1 : scores.size() / std::max<std::int64_t>(1, scores.shape().back());
  require(scores.defined() && scores.size() > 0 && rows == 1, "top: one row of scores was expected, not {}",
          scores.defined() ? to_string(scores.shape()) : std::string("an empty tensor"));
  const auto values = scores.data<float>();
  const double largest = static_cast<double>(*std::max_element(values.begin(), values.end()));
  double sum = 0;
  for (const float value : values) sum += std::exp(static_cast<double>(value) - largest);
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  order.resize(std::min(count, order.size()));
  std::vector<Prediction> predictions;
  for (const std::size_t i : order) {
    std::string label = i < classes().size() ? classes()[i] : fmt::format("class {}", i);
    predictions.push_back({static_cast<std::int64_t>(i), std::move(label),
                           std::exp(static_cast<double>(values[i]) - largest) / sum});
  }
  return predictions;
}

std::vector<Prediction> Model::classify(const std::filesystem::path& image, std::size_t count) {
  return top(run(read_image(image)), count);
}

const std::vector<std::string>& Model::classes() const { return state_->preprocess.classes; }

Shape Model::input_shape(std::size_t index) const {
  const auto shapes = graph::default_input_shapes(state_->session.graph(), 1);
  require(index < shapes.size(), "{}: there is no input {}", state_->path.string(), index);
  return shapes[index];
}

runtime::Session& Model::session() { return state_->session; }

}  // namespace wins

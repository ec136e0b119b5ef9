// wins run: labels for pictures, or raw tensors through a network.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "npy.hpp"
#include "verbs.hpp"
#include "workflow.hpp"
#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/onnx/onnx.hpp"

namespace wins::cli {
namespace {

constexpr std::size_t kShown = 5;

struct Options {
  Common common;
  DataFlags data;
  std::string model;
  std::string backend = "cpu";
  std::vector<std::string> images;
  std::vector<std::string> inputs;   ///< [NAME=]FILE
  std::vector<std::string> outputs;  ///< [NAME=]FILE
};

/// Splits "[NAME=]FILE" and finds the value it means; without a name, the `index`-th.
std::pair<std::size_t, std::string> resolve_name(const std::string& text, const graph::Graph& graph,
                                                 const std::vector<graph::ValueId>& ids, std::size_t index,
                                                 const std::string& flag) {
  const auto equals = text.find('=');
  if (equals == std::string::npos) {
    require(index < ids.size(), "{} {}: the model has only {} of them", flag, text, ids.size());
    return {index, text};
  }
  const std::string name = text.substr(0, equals);
  std::string known;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (graph.value(ids[i]).name == name) return {i, text.substr(equals + 1)};
    known += (known.empty() ? "" : ", ") + graph.value(ids[i]).name;
  }
  fail("{} {}: no such name; the model has {}", flag, text, known);
}

void run_tensors(const Options& options, runtime::Session& session, Json& record) {
  const graph::Graph& graph = session.graph();
  std::vector<Tensor> inputs(graph.inputs.size());
  for (std::size_t i = 0; i < options.inputs.size(); ++i) {
    const auto [index, file] = resolve_name(options.inputs[i], graph, graph.inputs, i, "--input");
    inputs[index] = read_npy(file);
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    require(inputs[i].defined(), "input '{}' is missing: give --input {}=FILE.npy", graph.value(graph.inputs[i]).name,
            graph.value(graph.inputs[i]).name);
  }
  std::vector<std::pair<std::size_t, std::string>> targets;
  for (std::size_t i = 0; i < options.outputs.size(); ++i) {
    targets.push_back(resolve_name(options.outputs[i], graph, graph.outputs, i, "--output"));
    require_writable(targets.back().second);
  }
  const std::vector<Tensor> outputs = session.run(inputs);
  for (const auto& [index, file] : targets) write_npy(file, outputs[index]);
  record["outputs"] = Json::array();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::string& name = graph.value(graph.outputs[i]).name;
    fmt::print("{}: {} {}\n", name, name_of(outputs[i].dtype()), to_string(outputs[i].shape()));
    record["outputs"].push_back({{"name", name}, {"shape", outputs[i].shape()}});
  }
}

/// Softmax in double; networks that end in softmax already keep their order.
std::vector<double> probabilities(std::span<const float> scores) {
  const float top = *std::max_element(scores.begin(), scores.end());
  std::vector<double> result;
  for (const float score : scores) result.push_back(std::exp(static_cast<double>(score) - top));
  const double sum = std::accumulate(result.begin(), result.end(), 0.0);
  for (double& p : result) p /= sum;
  return result;
}

Json label_picture(const std::string& file, runtime::Session& session, const data::Preprocess& preprocess) {
  const Tensor picture = preprocess.apply(data::read_image(file));
  Shape shape = picture.shape();
  shape.insert(shape.begin(), 1);
  const std::vector<Tensor> outputs = session.run({picture.reshaped(shape)});
  require(!outputs.empty() && outputs[0].rank() == 2, "the network does not classify: use --input and --output");
  const std::vector<double> p = probabilities(outputs[0].data<float>());
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::size_t shown = std::min(kShown, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(shown), order.end(),
                    [&](std::size_t a, std::size_t b) { return p[a] > p[b]; });
  Json answer{{"picture", file}, {"top", Json::array()}};
  fmt::print("{}\n", file);
  for (std::size_t i = 0; i < shown; ++i) {
    const std::size_t c = order[i];
    const std::string label = c < preprocess.classes.size() ? preprocess.classes[c] : fmt::format("class {}", c);
    fmt::print("  {:5.1f} %  {}\n", p[c] * 100, label);
    answer["top"].push_back({{"label", label}, {"index", c}, {"probability", p[c]}});
  }
  return answer;
}

void run_run(const Options& options) {
  if (options.images.empty() == options.inputs.empty()) {
    throw UsageError("run: give pictures, or --input FILE.npy, one of the two");
  }
  graph::Graph model = onnx::load(options.model);
  data::Preprocess preprocess;
  if (!options.images.empty()) preprocess = preprocess_for(model, options.model, options.data);
  runtime::Session session =
      runtime::Session::open(std::move(model), session_options(options.common, options.backend));
  Json record = run_header(options.common);
  record["model"] = options.model;
  if (!options.inputs.empty()) run_tensors(options, session, record);
  std::string broken;
  for (const std::string& file : options.images) {
    try {
      record["pictures"].push_back(label_picture(file, session, preprocess));
    } catch (const Error& error) {
      // The other pictures are still labelled; the exit status says that one was not.
      if (options.images.size() == 1) throw;
      broken = error.what();
      fmt::print(stderr, "wins: warning: {}\n", broken);
    }
  }
  write_json(options.common, record);
  require(broken.empty(), "some pictures could not be labelled, last: {}", broken);
}

}  // namespace

void add_run(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("run", "labels for pictures, or raw tensors through a network");
  verb->add_option("MODEL", options->model, "ONNX file")->required();
  verb->add_option("IMAGE", options->images, "JPEG or PNG pictures");
  verb->add_option("--input", options->inputs, "[NAME=]FILE.npy (repeat)")->take_all();
  verb->add_option("--output", options->outputs, "[NAME=]FILE.npy (repeat)")->take_all();
  verb->add_option("--backend", options->backend, "cpu, ref or cuda")->capture_default_str();
  add_preprocess_flags(*verb, options->data);
  add_common(*verb, options->common);
  add_weight_storage(*verb, options->common);
  add_precision(*verb, options->common);
  add_tuning(*verb, options->common);
  verb->callback([options] { run_run(*options); });
}

}  // namespace wins::cli

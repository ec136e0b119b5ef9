// wins info: what a model holds, what it costs, which convolutions Winograd takes.
#include <fmt/core.h>

#include "verbs.hpp"
#include "workflow.hpp"
#include "wins/base/table.hpp"
#include "wins/graph/cost.hpp"
#include "wins/graph/passes.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/onnx/onnx.hpp"

namespace wins::cli {
namespace {

struct Options {
  Common common;
  std::string model;
  std::int64_t batch = 1;
  std::int64_t spatial = 224;
};

std::string winograd_remark(const graph::Graph& graph, const graph::Node& node,
                            const std::map<std::string, pruning::ColumnRow>& columns) {
  const auto pruned = columns.find(node.name);
  if (pruned != columns.end()) {
    const pruning::ColumnRow& row = pruned->second;
    return fmt::format("no: 1x1, {:.1f} % pruned, {} of {} columns in blocks of {}", row.ratio() * 100,
                       kept_columns_text(row), row.columns, row.block);
  }
  if (const auto* conv = node.as<graph::WinogradConv>()) {
    return fmt::format("F({},{}){}, {:.1f} % pruned", conv->m, conv->r, conv->stride == 1 ? "" : " stride 2",
                       conv->mask.pruning_ratio() * 100);
  }
  if (node.as<graph::Conv>() == nullptr) return "";
  const std::string refusal = graph::winograd_refusal(graph, node);
  if (refusal.empty()) return "yes";
  if (graph::winograd_refusal(graph, node, true).empty()) return "with prune --strided";
  return "no: " + refusal;
}

Json value_to_json(const graph::Value& value) {
  return {{"name", value.name}, {"dtype", name_of(value.dtype)}, {"shape", value.shape ? Json(*value.shape) : Json()}};
}

std::string describe(const graph::Graph& graph, const std::vector<graph::ValueId>& ids) {
  std::string text;
  for (const graph::ValueId id : ids) {
    const graph::Value& value = graph.value(id);
    text += fmt::format("{}{} {} {}", text.empty() ? "" : ", ", value.name, name_of(value.dtype),
                        value.shape ? to_string(*value.shape) : "?");
  }
  return text;
}

std::string summary(const graph::NetworkCost& cost, const graph::Graph& graph) {
  const double columns = pruning::column_ratio(graph);
  return fmt::format(
      "multiply-adds: {:.1f} M as direct convolution, {:.1f} M as stored\n"
      "parameters: {:.3f} M\npruning ratio {:.2f} %{}, pruned FLOPs {:.2f} %\n",
      static_cast<double>(cost.direct_macs()) * 1e-6, static_cast<double>(cost.macs()) * 1e-6,
      static_cast<double>(cost.parameters()) * 1e-6, cost.pruning_ratio(graph) * 100,
      columns > 0 ? fmt::format(", of the 1x1 convolutions {:.2f} %", columns * 100) : "", cost.pruned_flops() * 100);
}

void run_info(const Options& options) {
  const graph::Graph model = onnx::load(options.model);
  const auto shapes = graph::default_input_shapes(model, options.batch, options.spatial);
  const graph::Graph concrete = graph::specialize(model, shapes);
  const graph::NetworkCost cost = graph::count_cost(concrete);

  Json record = run_header(options.common);
  record["model"] = options.model;
  for (const graph::ValueId id : model.inputs) record["inputs"].push_back(value_to_json(model.value(id)));
  for (const graph::ValueId id : model.outputs) record["outputs"].push_back(value_to_json(model.value(id)));
  record["layers"] = Json::array();
  std::map<std::string, pruning::ColumnRow> columns;
  for (pruning::ColumnRow& row : pruning::column_table(concrete)) columns.emplace(row.layer, std::move(row));
  Table table({"layer", "operator", "output", "MMACs", "parameters", "Winograd"});
  for (std::size_t i = 0; i < concrete.nodes.size(); ++i) {
    const graph::Node& node = concrete.nodes[i];
    const graph::NodeCost& c = cost.nodes[i];
    const Shape output = concrete.value(node.outputs.front()).shape.value_or(Shape{});
    const std::string remark = winograd_remark(concrete, node, columns);
    table.add({node.name, graph::op_name(node.op), to_string(output),
               c.direct_macs == 0 ? "-" : fmt::format("{:.2f}", static_cast<double>(c.direct_macs) * 1e-6),
               c.parameters == 0 ? "-" : fmt::format("{}", c.parameters), remark});
    record["layers"].push_back({{"name", node.name}, {"op", graph::op_name(node.op)}, {"output", output},
                                {"direct_macs", c.direct_macs}, {"macs", c.macs}, {"parameters", c.parameters},
                                {"winograd", remark}});
  }
  record["direct_macs"] = cost.direct_macs();
  record["macs"] = cost.macs();
  record["parameters"] = cost.parameters();
  record["pruning_ratio"] = cost.pruning_ratio(concrete);
  record["pruned_flops"] = cost.pruned_flops();
  add_columns(concrete, record);
  fmt::print("{}: {}\ninputs:  {}\noutputs: {}\n\n{}\n{}", options.model, model.name, describe(concrete, concrete.inputs),
             describe(concrete, concrete.outputs), table.text(), summary(cost, concrete));
  write_json(options.common, record);
}

}  // namespace

void add_info(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("info", "layers, shapes, multiply-adds, which convolutions Winograd takes and why not");
  verb->add_option("MODEL", options->model, "ONNX file")->required();
  verb->add_option("--batch", options->batch, "batch for a dynamic batch extent")->check(CLI::PositiveNumber);
  verb->add_option("--size", options->spatial, "height and width where they are dynamic")->check(CLI::PositiveNumber);
  add_common(*verb, options->common);
  verb->callback([options] { run_info(*options); });
}

}  // namespace wins::cli

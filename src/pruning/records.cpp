// What was done, as JSON text in the graph's metadata: it travels with the model.
#include <nlohmann/json.hpp>

#include "layers.hpp"
#include "wins/pruning/statistics.hpp"

namespace wins::pruning {
namespace {

using Json = nlohmann::ordered_json;

const char* name_of(winograd::Axis axis) {
  switch (axis) {
    case winograd::Axis::row: return "row";
    case winograd::Axis::column: return "column";
    case winograd::Axis::element: return "element";
  }
  return "";
}

}  // namespace

void record_pruning(graph::Graph& graph, const PruneConfig& config, const std::vector<std::string>& layers) {
  Json record{{"method", to_string(config.method)}, {"criterion", to_string(config.criterion)},
              {"ratio", config.ratio},              {"ratio_reached", pruning_ratio(graph)},
              {"m", config.m},                      {"round_to", config.round_to},
              {"seed", config.seed}};
  if (config.strided) record["strided"] = true;
  record["layers"] = Json::array();
  for (const KeptRow& row : kept_table(graph)) {
    if (std::find(layers.begin(), layers.end(), row.layer) == layers.end()) continue;
    record["layers"].push_back({{"name", row.layer},
                                {"m", row.m},
                                {"axis", name_of(row.axis)},
                                {"ratio", ratio_of(config, row.layer)},
                                {"ratio_reached", row.ratio()}});
  }
  graph.metadata["wins.prune"] = record.dump();
}

void record_decisions(graph::Graph& graph, const std::vector<AbDecision>& decisions, double tradeoff) {
  Json list = Json::array();
  for (const AbDecision& d : decisions) {
    // NaN (not evaluated) becomes null.
    list.push_back({{"layer", d.layer},
                    {"time_wins_us", d.time_wins_us},
                    {"time_wins_b_us", d.time_wins_b_us},
                    {"noise_us", d.noise_us},
                    {"evaluated", d.evaluated},
                    {"outlook_before", d.outlook_before},
                    {"outlook_after", d.outlook_after},
                    {"gain", d.gain},
                    {"price", d.price},
                    {"tradeoff", tradeoff},
                    {"balanced", d.balanced},
                    {"reason", d.reason}});
  }
  graph.metadata["wins.ab"] = list.dump();
}

}  // namespace wins::pruning

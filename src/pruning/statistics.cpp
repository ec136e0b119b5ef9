#include "wins/pruning/statistics.hpp"

#include "wins/graph/column_mask.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::pruning {

double KeptRow::ratio() const {
  return weights == 0 ? 0.0 : static_cast<double>(pruned_weights) / static_cast<double>(weights);
}

std::vector<KeptRow> kept_table(const graph::Graph& graph) {
  std::vector<KeptRow> table;
  for (const graph::Node& node : graph.nodes) {
    const auto* conv = node.as<graph::WinogradConv>();
    if (conv == nullptr) continue;
    const winograd::Mask& mask = conv->mask;
    KeptRow row;
    row.layer = node.name;
    row.m = conv->m;
    row.p = winograd::algorithm(conv->m, conv->r, conv->stride).p();
    row.axis = mask.axis;
    row.units = mask.units();
    for (int xi = 0; xi < mask.positions; ++xi) {
      row.kept.push_back(mask.kept_in(xi));
      if (row.kept.back() == 0) ++row.dead_positions;
    }
    row.weights = mask.positions * mask.rows * mask.columns;
    row.pruned_weights = row.weights - mask.kept_total() * mask.unit_weights();
    table.push_back(std::move(row));
  }
  return table;
}

double ColumnRow::ratio() const {
  return weights == 0 ? 0.0 : static_cast<double>(pruned_weights) / static_cast<double>(weights);
}

std::vector<ColumnRow> column_table(const graph::Graph& graph) {
  std::vector<ColumnRow> table;
  for (const graph::Node& node : graph.nodes) {
    const auto mask = graph::column_mask(graph, node);
    if (!mask) continue;
    ColumnRow row{node.name, mask->rows, mask->columns, mask->block, {}, mask->rows * mask->columns, 0};
    for (std::int64_t b = 0; b < mask->blocks(); ++b) row.kept.push_back(mask->kept_in(b));
    row.pruned_weights = row.weights - mask->kept_weights();
    table.push_back(std::move(row));
  }
  return table;
}

double column_ratio(const graph::Graph& graph) {
  ColumnRow sum;
  for (const ColumnRow& row : column_table(graph)) {
    sum.weights += row.weights;
    sum.pruned_weights += row.pruned_weights;
  }
  return sum.ratio();
}

double pruning_ratio(const graph::Graph& graph) {
  KeptRow sum;
  for (const KeptRow& row : kept_table(graph)) {
    sum.weights += row.weights;
    sum.pruned_weights += row.pruned_weights;
  }
  return sum.ratio();
}

}  // namespace wins::pruning

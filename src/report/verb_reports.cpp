// Records of single verbs: bench, prune, finetune, train.
#include <fmt/core.h>

#include "chart.hpp"
#include "html.hpp"
#include "sections.hpp"

namespace wins::report {
namespace {

std::string contenders(const Json& batch) {
  HtmlTable table({"contender", "#median ms", "#min ms", "#p99 ms", "#ratio"});
  std::vector<BarGroup> groups;
  for (const Json& row : list(batch, "rows")) {
    const std::string name = text(row, "name");
    const auto median = number(row, "median_ms");
    table.add({escape(name), fixed(median, 3), fixed(number(row, "min_ms"), 3),
               fixed(number(row, "p99_ms"), 3), times(number(row, "ratio"))},
              groups.empty());
    groups.push_back({name,
                      {{median, groups.empty() ? "" : "dense", name + ": " + fixed(median, 3) + " ms"}},
                      times(number(row, "ratio"))});
  }
  return bar_chart("median time of each contender", groups, " ms") + table.str();
}

std::string megabytes(const Json& batch, const char* key) {
  return fixed(number(batch, key), 2, 1e-6) + " MB";
}

std::string batch_report(const Json& batch) {
  const PrunedRow ours{&batch, "", read_layers(list(batch, "layers"))};
  const std::string memory =
      fmt::format("Workspace {}, activations {}, packed weights {}.", megabytes(batch, "workspace_bytes"),
                  megabytes(batch, "arena_bytes"), megabytes(batch, "weight_bytes"));
  return section("Batch " + escape(text(batch, "batch")),
                 "All contenders took turns in one run; ratios are times of the first. " + memory,
                 contenders(batch)) +
         layer_time_section({}, {ours}, 0) + heat_map_section({ours}, 0);
}

std::string sensitivity_section(const Json& record) {
  HtmlTable table({"layer", "#ratio %", "#held-out top-1 %"});
  for (const Json& row : list(record, "sensitivity"))
    table.add({escape(text(row, "layer")), fixed(number(row, "ratio"), 0, 100),
               fixed(number(row, "accuracy"), 2, 100)});
  return section("Sensitivity", "Accuracy with one layer pruned and all others dense, without fine-tuning.",
                 table.str());
}

std::string columns_section(const Json& record) {
  HtmlTable table({"layer", "#input channels", "#output channels", "#columns kept, mean", "#ratio %"});
  const Json& columns = child(record, "bcbp");
  for (const Json& row : list(columns, "layers")) {
    double kept = 0, blocks = 0;
    for (const Json& count : list(row, "kept")) {
      kept += count.is_number() ? count.get<double>() : 0;
      ++blocks;
    }
    table.add({escape(text(row, "name")), fixed(number(row, "columns"), 0), fixed(number(row, "outputs"), 0),
               blocks > 0 ? fixed(kept / blocks, 1) : fixed({}, 0), fixed(number(row, "ratio"), 2, 100)});
  }
  const std::string ratio = fixed(number(columns, "ratio"), 2, 100), block = fixed(number(columns, "block"), 0);
  return section("1x1 convolutions", "Pruned by BCBP: " + ratio + " % of their weights, in blocks of " + block + " output channels.",
                 table.empty() ? "" : table.str());
}

}  // namespace

std::string bench_report(const Json& record) {
  std::string out;
  for (const Json& batch : list(record, "batches")) out += batch_report(batch);
  return out.empty() ? "<p class=\"note\">The record has no batches.</p>\n" : out;
}

std::string prune_report(const Json& record) {
  const std::vector<PrunedRow> rows{{&record, text(record, "method"), read_layers(list(record, "layers"))}};
  std::string figures;
  if (number(record, "ratio"))
    figures += tile("Pruning ratio", fixed(number(record, "ratio"), 2, 100) + " %",
                    "target " + fixed(number(record, "ratio_target"), 2, 100) + " %");
  if (number(record, "pruned_flops"))
    figures +=
        tile("Pruned FLOPs", fixed(number(record, "pruned_flops"), 2, 100) + " %", "of the dense network");
  if (number(record, "held_out_accuracy"))
    figures += tile("Held-out accuracy", fixed(number(record, "held_out_accuracy"), 2, 100) + " %",
                    "after training");
  if (!figures.empty()) figures = "<div class=\"tiles\">\n" + figures + "</div>\n";
  return figures + layer_time_section({}, rows, 0) + heat_map_section(rows, 0) + columns_section(record) +
         decisions_section(rows) + sensitivity_section(record) + training_section(rows);
}

}  // namespace wins::report

#include <fmt/core.h>

#include <algorithm>

#include "chart.hpp"
#include "html.hpp"
#include "sections.hpp"

namespace wins::report {
namespace {

std::vector<PrunedRow> read_rows(const Json& record) {
  std::vector<PrunedRow> rows;
  for (const Json& row : list(record, "rows"))
    if (row.is_object()) rows.push_back({&row, text(row, "method"), read_layers(list(row, "layers"))});
  return rows;
}

/// The row that the tiles and open charts are about: WINS-AB at its highest ratio, else the first.
std::size_t main_row(const std::vector<PrunedRow>& rows) {
  std::size_t best = 0;
  double best_ratio = -1;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double ratio = number(*rows[i].json, "ratio").value_or(0);
    if (rows[i].method != "wins-ab" || ratio <= best_ratio) continue;
    best = i;
    best_ratio = ratio;
  }
  return best;
}

std::string tiles(const Json& record, const PrunedRow& row) {
  const Json& baseline = child(record, "baseline");
  const std::string name =
      method_badge(row.method) + ", PR " + fixed(number(*row.json, "ratio"), 0, 100) + " %: ";
  std::string out;
  out += tile(name + "top-1", fixed(number(*row.json, "top1"), 2) + " %",
              fmt::format("dense {} %, {} points", fixed(number(baseline, "top1"), 2),
                          signed_fixed(number(*row.json, "gap"), 2)));
  out += tile("median time", fixed(number(*row.json, "median_ms"), 3) + " ms",
              fmt::format("dense Winograd {} ms", fixed(number(baseline, "median_ms"), 3)));
  out += tile("against dense Winograd", times(number(*row.json, "speedup_vs_dense_winograd")),
              "times as fast as the dense network");
  if (number(*row.json, "speedup_vs_onnxruntime"))
    out += tile("against ONNX Runtime", times(number(*row.json, "speedup_vs_onnxruntime")),
                "times as fast as the dense network");
  return "<div class=\"tiles\">\n" + out + "</div>\n";
}

std::string results_table(const Json& record, const std::vector<PrunedRow>& rows, std::size_t emphasised) {
  HtmlTable table({"method", "criterion", "#target PR&nbsp;%", "#PR&nbsp;%", "#pruned FLOPs&nbsp;%",
                   "#untrained top&#8209;1&nbsp;%", "#top&#8209;1&nbsp;%", "#gap", "#median ms", "#vs dense Winograd", "#vs ONNX Runtime",
                   "#workspace MB"});
  const Json& baseline = child(record, "baseline");
  if (!baseline.empty()) {
    table.add({method_badge("dense"), "", "0.0", "0.0", "0.0", "", fixed(number(baseline, "top1"), 2), "0.00",
               fixed(number(baseline, "median_ms"), 3), "1.00×",
               times(number(baseline, "speedup_vs_onnxruntime")),
               fixed(number(baseline, "workspace_mb"), 2)});
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Json& row = *rows[i].json;
    table.add(
        {method_badge(rows[i].method), "<span class=\"whole\">" + escape(text(row, "criterion")) + "</span>",
         fixed(number(row, "ratio_target"), 1, 100), fixed(number(row, "ratio"), 1, 100),
         fixed(number(row, "pruned_flops"), 1, 100), fixed(number(child(row, "no_training"), "top1"), 2),
         fixed(number(row, "top1"), 2),
         signed_fixed(number(row, "gap"), 2), fixed(number(row, "median_ms"), 3),
         times(number(row, "speedup_vs_dense_winograd")), times(number(row, "speedup_vs_onnxruntime")),
         fixed(number(row, "workspace_mb"), 2)},
        i == emphasised);
  }
  return section(
      "Results",
      "PR: pruned share of the Winograd layers&#39; weights. Pruned FLOPs: multiply-adds saved, of the "
      "dense network with direct convolution. Untrained: pruned and refitted in closed form, before fine-tuning. All times were taken in turn in one run.",
      table.str());
}

/// Top-1 over an x that `key` names; `factor` scales x.
Scatter accuracy_scatter(const Json& record, const std::vector<PrunedRow>& rows, const char* key,
                         double factor) {
  Scatter scatter;
  scatter.y_title = "top-1";
  scatter.y_suffix = " %";
  scatter.reference = number(child(record, "baseline"), "top1");
  for (const PrunedRow& row : rows) {
    const auto x = number(*row.json, key), top1 = number(*row.json, "top1");
    if (!x || !top1) continue;
    const std::string tip =
        fmt::format("{} ({}): PR {} %, top-1 {} %, {} against dense Winograd", style_of(row.method).label,
                    text(*row.json, "criterion"), fixed(number(*row.json, "ratio"), 1, 100), fixed(top1, 2),
                    times(number(*row.json, "speedup_vs_dense_winograd")));
    scatter.points.push_back({*x * factor, *top1, row.method, tip});
  }
  return scatter;
}

std::string legend(const std::vector<PrunedRow>& rows) {
  std::vector<std::string> seen;
  std::string out;
  for (const PrunedRow& row : rows) {
    if (std::find(seen.begin(), seen.end(), row.method) != seen.end()) continue;
    seen.push_back(row.method);
    out += "<li>" + method_badge(row.method) + "</li>";
  }
  return "<ul class=\"legend\">" + out + "</ul>\n";
}

std::string accuracy_section(const Json& record, const std::vector<PrunedRow>& rows) {
  Scatter by_ratio = accuracy_scatter(record, rows, "ratio", 100);
  by_ratio.title = "top-1 accuracy against pruning ratio, by method";
  by_ratio.x_title = "pruning ratio";
  by_ratio.x_suffix = " %";
  Scatter by_speed = accuracy_scatter(record, rows, "speedup_vs_dense_winograd", 1);
  by_speed.title = "top-1 accuracy against speed, by method";
  by_speed.x_title = "times as fast as our dense Winograd";
  by_speed.x_suffix = "×";
  const std::string charts = scatter_chart(by_ratio), speeds = scatter_chart(by_speed);
  if (charts.empty() && speeds.empty()) return {};
  return section(
      "Accuracy against pruning ratio, and against speed",
      "Each mark is one pruned and fine-tuned network; marks of one method are joined. Dashed: the dense "
      "network.",
      legend(rows) + "<div class=\"pair\"><div>" + charts + "</div><div>" + speeds + "</div></div>\n");
}

}  // namespace

std::string demo_report(const Json& record) {
  const std::vector<PrunedRow> rows = read_rows(record);
  if (rows.empty()) return results_table(record, rows, 0) + "<p class=\"note\">The record has no rows.</p>\n";
  const std::size_t best = main_row(rows);
  return tiles(record, rows[best]) + accuracy_section(record, rows) + results_table(record, rows, best) +
         layer_time_section(read_layers(list(record, "dense_layers")), rows, best) +
         heat_map_section(rows, best) + decisions_section(rows) + training_section(rows);
}

}  // namespace wins::report

#include "sections.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "chart.hpp"
#include "html.hpp"

namespace wins::report {
namespace {

constexpr std::size_t kMostLayers = 40;

std::string fact(const std::string& name, const std::string& value) {
  return value.empty() ? "" : fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
}

std::string joined(const Json& words) {
  std::string out;
  for (const Json& word : words)
    if (word.is_string()) out += (out.empty() ? "" : " ") + word.get<std::string>();
  return out;
}

/// "memory_gib" -> "memory GiB"
std::string spelled(std::string name) {
  static const std::map<std::string, std::string> kKnown{{"cpu", "CPU"},
                                                         {"isa", "ISA"},
                                                         {"os", "OS"},
                                                         {"memory_gib", "memory GiB"},
                                                         {"onnxruntime", "ONNX Runtime"}};
  if (const auto known = kKnown.find(name); known != kKnown.end()) return known->second;
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

/// Whatever the host object says, so that new fields need no change here.
std::string host_facts(const Json& host) {
  std::string out;
  for (const auto& [key, value] : host.items()) {
    std::string words = value.is_array() ? joined(value) : text(host, key.c_str());
    if (value.is_number_float()) words = fixed(number(host, key.c_str()), 1);
    out += fact(spelled(key), words);
  }
  return out;
}

double time_of(const Layer& layer) {
  return layer.median_us.value_or(0);
}

std::string microseconds(const std::optional<double>& us) {
  return us ? fixed(us, 1) + " µs" : "no time";
}

/// Bars of one pruned network beside the dense one: the layers that took longest, in the network's order.
std::string layer_bars(const std::vector<Layer>& dense, const PrunedRow& row) {
  std::map<std::string, const Layer*> dense_by_name;
  for (const Layer& layer : dense) dense_by_name.emplace(layer.name, &layer);
  const auto dense_of = [&](const Layer& layer) {
    const auto found = dense_by_name.find(layer.name);
    return found == dense_by_name.end() ? nullptr : found->second;
  };
  std::vector<const Layer*> shown;
  for (const Layer& layer : row.layers)
    if (time_of(layer) > 0 || (dense_of(layer) != nullptr && time_of(*dense_of(layer)) > 0))
      shown.push_back(&layer);
  const auto weight = [&](const Layer* layer) {
    return std::max(time_of(*layer), dense_of(*layer) != nullptr ? time_of(*dense_of(*layer)) : 0);
  };
  std::vector<double> weights;
  for (const Layer* layer : shown) weights.push_back(weight(layer));
  std::sort(weights.rbegin(), weights.rend());
  const double least = shown.size() > kMostLayers ? weights[kMostLayers - 1] : 0;

  std::vector<BarGroup> groups;
  double rest = 0, dense_rest = 0;
  std::size_t rest_count = 0;
  for (const Layer* layer : shown) {
    const Layer* before = dense_of(*layer);
    if (weight(layer) < least || groups.size() == kMostLayers) {
      ++rest_count;
      rest += time_of(*layer);
      dense_rest += before != nullptr ? time_of(*before) : 0;
      continue;
    }
    BarGroup group{layer->name, {}, ""};
    if (before != nullptr)
      group.bars.push_back(
          {before->median_us, "dense",
           fmt::format("{}, dense: {}, {}", layer->name, microseconds(before->median_us), before->kernel)});
    group.bars.push_back(
        {layer->median_us, row.method,
         fmt::format("{}: {}, {}", layer->name, microseconds(layer->median_us), layer->kernel)});
    if (before != nullptr && time_of(*before) > 0 && time_of(*layer) > 0)
      group.remark = times(time_of(*before) / time_of(*layer));
    groups.push_back(std::move(group));
  }
  // Their sum would dwarf every bar: as text.
  std::string others;
  if (rest_count > 0) {
    others = fmt::format("<p class=\"note\">{} other layers, {} µs in all{}.</p>\n", rest_count,
                         fixed(rest, 0), dense.empty() ? "" : " (dense " + fixed(dense_rest, 0) + " µs)");
  }
  return bar_chart("time per layer", groups, " µs") + others;
}

std::string decision_table(const Json& decisions) {
  HtmlTable table({"layer", "#WINS µs", "#WINS-B µs", "#time gained %", "#outlook before %",
                   "#outlook after %", "#price, points", "choice", "why"});
  for (const Json& decision : decisions) {
    const bool balanced = text(decision, "balanced") == "true";
    table.add({escape(text(decision, "layer")), fixed(number(decision, "time_wins_us"), 1),
               fixed(number(decision, "time_wins_b_us"), 1), fixed(number(decision, "gain"), 2, 100),
               fixed(number(decision, "outlook_before"), 2, 100),
               fixed(number(decision, "outlook_after"), 2, 100), fixed(number(decision, "price"), 2, 100),
               method_badge(balanced ? "wins-b" : "wins"),
               "<span class=\"soft\">" + escape(text(decision, "reason")) + "</span>"});
  }
  return table.str();
}

std::string training_table(const Json& log) {
  HtmlTable table({"#epoch", "#loss", "#accuracy %", "#held-out accuracy %", "#learning rate", "#seconds"});
  for (const Json& epoch : log) {
    table.add({fixed(number(epoch, "epoch"), 2), fixed(number(epoch, "loss"), 4),
               fixed(number(epoch, "accuracy"), 2, 100), fixed(number(epoch, "held_out_accuracy"), 2, 100),
               fixed(number(epoch, "learning_rate"), 5), fixed(number(epoch, "seconds"), 1)});
  }
  return table.str();
}

/// One folded part per row; the row number `open` is shown at once. A single row without a method needs no
/// title.
template <class Content>
std::string per_row(const std::vector<PrunedRow>& rows, std::size_t open, const Content& content) {
  if (rows.size() == 1 && rows[0].method.empty()) return content(rows[0]);
  std::string out;
  for (std::size_t i = 0; i < rows.size(); ++i)
    out += folded(row_title(rows[i]), content(rows[i]), i == open);
  return out;
}

}  // namespace

std::string row_title(const PrunedRow& row) {
  std::string details;
  if (const auto ratio = number(*row.json, "ratio")) details += fmt::format(" PR {} %", fixed(ratio, 1, 100));
  if (const auto criterion = text(*row.json, "criterion"); !criterion.empty())
    details += (details.empty() ? " " : ", ") + escape(criterion);
  return (row.method.empty() ? "" : method_badge(row.method)) + "<small>" + details + "</small>";
}

std::string command_and_facts(const Json& record) {
  std::string out;
  const std::string command = text(record, "command");
  if (!command.empty()) out += "<pre><code>" + escape(command) + "</code></pre>\n";
  std::string facts;
  for (const char* key :
       {"version", "date", "model", "against", "dataset", "data", "batch", "seed", "onnxruntime"}) {
    facts += fact(spelled(key), text(record, key));
  }
  facts += host_facts(child(record, "host"));
  return facts.empty() ? out : out + "<dl>" + facts + "</dl>\n";
}

std::string tile(const std::string& caption, const std::string& value, const std::string& detail) {
  return fmt::format("<div class=\"tile\"><p>{}</p><strong>{}</strong><p>{}</p></div>\n", caption, value,
                     detail);
}

std::string heat_map_section(const std::vector<PrunedRow>& rows, std::size_t open) {
  const std::string content = per_row(rows, open, [](const PrunedRow& row) { return heat_maps(row.layers); });
  return section(
      "Rows kept per position and layer",
      "One grid per Winograd layer, one cell per position (i, j) of the transformed tile. The number is how "
      "many rows of that position&#39;s weight matrix stay; a grey cell is a position that died as a whole.",
      content);
}

std::string decisions_section(const std::vector<PrunedRow>& rows) {
  std::size_t first = 0;
  while (first < rows.size() && list(*rows[first].json, "ab").empty()) ++first;
  const std::string content =
      per_row(rows, first, [](const PrunedRow& row) { return decision_table(list(*row.json, "ab")); });
  return section(
      "What WINS-AB decided",
      "Per layer: measured times of both masks, the accuracy after a short adaptation with the layer as WINS "
      "(before) and as WINS-B (after), and the choice.",
      content);
}

std::string training_section(const std::vector<PrunedRow>& rows) {
  const std::string content = per_row(rows, rows.size() == 1 ? 0 : rows.size(), [](const PrunedRow& row) {
    return training_table(list(*row.json, "training_log"));
  });
  return section("Training", "", content);
}

std::string layer_time_section(const std::vector<Layer>& dense, const std::vector<PrunedRow>& rows,
                               std::size_t open) {
  const std::string content =
      per_row(rows, open, [&](const PrunedRow& row) { return layer_bars(dense, row); });
  const std::string note = dense.empty() ? "Median of each layer."
                                         : "Median of each layer: " + method_badge("dense") +
                                               " above, the pruned network below; at the end "
                                               "how many times faster the layer became.";
  return section("Time per layer", note, content);
}

}  // namespace wins::report

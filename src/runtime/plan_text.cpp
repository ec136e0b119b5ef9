// A plan as a table for people.
#include <sstream>

#include "wins/base/error.hpp"
#include "wins/base/table.hpp"
#include "wins/runtime/session.hpp"

namespace wins::runtime {
namespace {

std::string time_text(double us) { return us > 0 ? fmt::format("{:.1f}", us) : std::string("-"); }

std::string kib_text(std::size_t bytes) {
  return bytes > 0 ? fmt::format("{:.1f}", static_cast<double>(bytes) / 1024) : std::string("-");
}

}  // namespace

std::string Plan::text() const {
  Table table({"node", "problem", "kernel", "predicted us", "measured us", "workspace KiB", "weights KiB"});
  double predicted = 0;
  double measured = 0;
  for (const LayerPlan& layer : layers) {
    table.add({layer.node, layer.problem, layer.kernel, time_text(layer.predicted_us), time_text(layer.measured_us),
               kib_text(layer.workspace_bytes), kib_text(layer.weight_bytes)});
    predicted += layer.predicted_us;
    measured += layer.measured_us;
  }
  table.add({"total", fmt::format("{} layers", layers.size()), "", time_text(predicted), time_text(measured),
             kib_text(workspace_bytes), kib_text(weight_bytes)});

  // The table's last lines are its rows, in order; a layer's refusals follow its row.
  std::vector<std::string> lines;
  std::istringstream stream(table.text());
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  const std::size_t first_row = lines.size() - table.rows();
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    text += lines[i] + "\n";
    if (i < first_row || i - first_row >= layers.size()) continue;
    const LayerPlan& layer = layers[i - first_row];
    if (layer.tuned_us > 0) text += fmt::format("    tuned {}: measured {:.0f} us\n", layer.choice, layer.tuned_us);
    for (const auto& [kernel, reason] : layer.refused) {
      text += fmt::format("    not {}: {}\n", kernel, reason);
    }
  }
  return text + fmt::format("activations {} KiB\n", kib_text(arena_bytes));
}

}  // namespace wins::runtime

// A plan as a table for people.
#include <algorithm>
#include <array>

#include "wins/base/error.hpp"
#include "wins/runtime/session.hpp"

namespace wins::runtime {
namespace {

/// node, problem, kernel, predicted, measured, workspace, weights.
using Row = std::array<std::string, 7>;
constexpr std::size_t kFirstNumber = 3;

std::string time_text(double us) { return us > 0 ? fmt::format("{:.1f}", us) : std::string("-"); }

std::string bytes_text(std::size_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes == 0) return "-";
  if (bytes < 1024) return fmt::format("{} B", bytes);
  if (bytes < (std::size_t{1} << 20)) return fmt::format("{:.1f} KiB", value / 1024);
  return fmt::format("{:.1f} MiB", value / (1024.0 * 1024.0));
}

Row row_of(const LayerPlan& layer) {
  return {layer.node, layer.problem, layer.kernel, time_text(layer.predicted_us), time_text(layer.measured_us),
          bytes_text(layer.workspace_bytes), bytes_text(layer.weight_bytes)};
}

std::string line_of(const Row& row, const std::array<std::size_t, std::tuple_size_v<Row>>& widths) {
  std::string line;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (i > 0) line += "  ";
    line += i < kFirstNumber ? fmt::format("{:<{}}", row[i], widths[i]) : fmt::format("{:>{}}", row[i], widths[i]);
  }
  return line + "\n";
}

}  // namespace

std::string Plan::text() const {
  const Row head{"node", "problem", "kernel", "predicted us", "measured us", "workspace", "weights"};
  std::vector<Row> rows;
  std::array<std::size_t, std::tuple_size_v<Row>> widths{};
  const auto widen = [&widths](const Row& row) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  };
  widen(head);
  double predicted = 0;
  double measured = 0;
  for (const LayerPlan& layer : layers) {
    rows.push_back(row_of(layer));
    widen(rows.back());
    predicted += layer.predicted_us;
    measured += layer.measured_us;
  }
  const Row total{"total", fmt::format("{} layers", layers.size()), "", time_text(predicted), time_text(measured),
                  bytes_text(workspace_bytes), bytes_text(weight_bytes)};
  widen(total);

  std::string text = line_of(head, widths);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    text += line_of(rows[i], widths);
    for (const auto& [kernel, reason] : layers[i].refused) text += fmt::format("    not {}: {}\n", kernel, reason);
  }
  return text + line_of(total, widths) + fmt::format("activations: {}\n", bytes_text(arena_bytes));
}

}  // namespace wins::runtime

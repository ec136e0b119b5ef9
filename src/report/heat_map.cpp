#include <algorithm>
#include <cmath>
#include <numeric>

#include "chart.hpp"
#include "svg.hpp"

namespace wins::report {
namespace {

constexpr double kSide = 168;

std::string cell(double x, double y, double side, double share, const std::string& tip,
                 const std::string& count) {
  const bool dead = share <= 0;
  // Never quite empty, so that one kept row can be told from none.
  std::string out = fmt::format(
      "<g><title>{}</title><rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
      "rx=\"3\" "
      "fill-opacity=\"{:.2f}\"/>",
      escape(tip), dead ? "dead" : "heat", x, y, side, side, dead ? 1 : 0.12 + 0.88 * share);
  if (text_width(count.size()) + 4 <= side)
    out += fmt::format("<text class=\"count{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>",
                       dead           ? " none"
                       : share > 0.62 ? " on"
                                      : "",
                       x + side / 2, y + side / 2 + 4, escape(count));
  return out + "</g>";
}

std::string grid(const Layer& layer, int p) {
  const double pitch = kSide / p;
  Svg svg(kSide, kSide, "grid-map", "units kept per position in " + layer.name);
  for (int i = 0; i < p; ++i) {
    for (int j = 0; j < p; ++j) {
      const double kept = layer.kept[static_cast<std::size_t>(i * p + j)];
      const double share = std::clamp(kept / layer.units, 0.0, 1.0);
      const std::string count = fmt::format("{:.0f}", kept);
      svg.raw(cell(j * pitch + 1, i * pitch + 1, pitch - 2, share,
                   fmt::format("position ({}, {}): {} of {:.0f} kept", i, j, count, layer.units), count));
    }
  }
  return svg.str();
}

}  // namespace

std::string heat_maps(const std::vector<Layer>& layers) {
  std::string cards;
  for (const Layer& layer : layers) {
    const auto p = static_cast<int>(std::lround(std::sqrt(static_cast<double>(layer.kept.size()))));
    if (layer.kept.empty() || static_cast<std::size_t>(p) * static_cast<std::size_t>(p) != layer.kept.size())
      continue;
    const double kept = std::accumulate(layer.kept.begin(), layer.kept.end(), 0.0);
    const double all = layer.units * static_cast<double>(layer.kept.size());
    const auto dead = std::count_if(layer.kept.begin(), layer.kept.end(), [](double k) { return k <= 0; });
    const std::string dead_note =
        dead == 0 ? "" : fmt::format("<br>{} of {} positions empty", dead, layer.kept.size());
    cards += fmt::format(
        "<figure><figcaption><b title=\"{}\">{}</b><span>{:.0f} of {:.0f} kept ({} %){}</span>"
        "</figcaption>{}</figure>\n",
        escape(layer.name), escape(shorten(layer.name, 28)), kept, all, fixed(kept / all, 1, 100), dead_note,
        grid(layer, p));
  }
  return cards.empty() ? cards : "<div class=\"maps\">\n" + cards + "</div>\n";
}

}  // namespace wins::report

#include <algorithm>
#include <cmath>
#include <map>

#include "chart.hpp"
#include "svg.hpp"

namespace wins::report {
namespace {

struct Axis {
  std::vector<double> ticks;
  double from = 0, to = 1;  ///< pixels
  double at(double value) const {
    return from + (value - ticks.front()) / (ticks.back() - ticks.front()) * (to - from);
  }
};

/// Enough decimals to tell neighbouring ticks apart.
int decimals_of(const std::vector<double>& ticks) {
  const double step = ticks[1] - ticks[0];
  return std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 9);
}

void draw_axes(Svg& svg, const Scatter& scatter, const Axis& x, const Axis& y) {
  for (const double tick : y.ticks) {
    svg.line(x.from, y.at(tick), x.to, y.at(tick), "grid");
    svg.text(x.from - 8, y.at(tick) + 4, "tick", "end", fixed(tick, decimals_of(y.ticks)) + scatter.y_suffix);
  }
  for (const double tick : x.ticks) {
    svg.line(x.at(tick), y.from, x.at(tick), y.from + 5, "axis");
    svg.text(x.at(tick), y.from + 20, "tick", "middle", fixed(tick, decimals_of(x.ticks)) + scatter.x_suffix);
  }
  svg.line(x.from, y.from, x.to, y.from, "axis");
  svg.text((x.from + x.to) / 2, y.from + 42, "label", "middle", scatter.x_title);
  svg.text(4, 16, "label", "start", scatter.y_title);
}

/// "dense" beside its line, on the side of the line and of the chart where fewest marks are.
void draw_reference(Svg& svg, const Scatter& scatter, const Axis& x, const Axis& y) {
  if (!scatter.reference) return;
  const double level = y.at(*scatter.reference);
  svg.line(x.from, level, x.to, level, "reference");
  const std::string label = "dense " + fixed(scatter.reference, 2) + scatter.y_suffix;
  const double width = text_width(label.size());
  const auto crowd = [&](double left, double baseline) {
    return std::count_if(scatter.points.begin(), scatter.points.end(), [&](const ScatterPoint& point) {
      const double px = x.at(point.x), py = y.at(point.y);
      return px > left - 8 && px < left + width + 8 && py > baseline - 20 && py < baseline + 10;
    });
  };
  double best_left = x.from + 6, best_baseline = level - 7;
  for (const double left : {x.from + 6, x.to - width - 4}) {
    for (const double baseline : {level - 7, level + 17}) {
      if (baseline < y.from - 4 && crowd(left, baseline) < crowd(best_left, best_baseline)) {
        best_left = left;
        best_baseline = baseline;
      }
    }
  }
  svg.text(best_left, best_baseline, "remark", "start", label);
}

void draw_points(Svg& svg, const Scatter& scatter, const Axis& x, const Axis& y) {
  std::map<std::string, std::vector<const ScatterPoint*>> by_method;
  for (const ScatterPoint& point : scatter.points) by_method[point.method].push_back(&point);
  std::string marks;
  for (auto& [method, points] : by_method) {
    const MethodStyle style = style_of(method);
    std::stable_sort(points.begin(), points.end(), [](const auto* a, const auto* b) { return a->x < b->x; });
    std::string path;
    for (const ScatterPoint* point : points) {
      const double px = x.at(point->x), py = y.at(point->y);
      path += fmt::format("{}{:.1f},{:.1f} ", path.empty() ? "M" : "L", px, py);
      marks += fmt::format("<g class=\"{}\"><title>{}</title>{}</g>", style.css_class, escape(point->tip),
                           marker(style.shape, px, py, 6));
    }
    if (points.size() > 1) svg.raw(fmt::format("<path class=\"join {}\" d=\"{}\"/>", style.css_class, path));
  }
  svg.raw(marks);
}

std::string draw(const Scatter& scatter, double width, double height, const char* css_class) {
  double x_high = scatter.x_low, y_low = scatter.points.front().y, y_high = y_low;
  for (const ScatterPoint& point : scatter.points) {
    x_high = std::max(x_high, point.x);
    y_low = std::min(y_low, point.y);
    y_high = std::max(y_high, point.y);
  }
  if (scatter.reference) {
    y_low = std::min(y_low, *scatter.reference);
    y_high = std::max(y_high, *scatter.reference);
  }
  Axis x{round_ticks(scatter.x_low, x_high, width < 400 ? 4 : 6), 58, width - 18};
  Axis y{round_ticks(y_low, y_high, 5), height - 54, 34};
  Svg svg(width, height, css_class, scatter.title);
  draw_axes(svg, scatter, x, y);
  draw_reference(svg, scatter, x, y);
  draw_points(svg, scatter, x, y);
  return svg.str();
}

}  // namespace

std::vector<double> round_ticks(double low, double high, int wanted) {
  // Values so large or so close that the ticks would not differ in double get a unit range.
  const double size = std::max({std::abs(low), std::abs(high), 1e-6});
  if (!(high - low > size * 1e-9)) {
    low -= size * 0.05;
    high += size * 0.05;
  }
  const double raw = high / wanted - low / wanted;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  double step = power * 10;
  for (const double factor : {5.0, 2.5, 2.0, 1.0})
    if (power * factor >= raw * 0.999) step = power * factor;
  const double first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
  std::vector<double> ticks;
  for (double i = first; i <= last && ticks.size() < 50; ++i) ticks.push_back(i * step);
  if (ticks.size() < 2) ticks = {low, high};
  return ticks;
}

std::string scatter_chart(const Scatter& all) {
  Scatter scatter = all;
  std::erase_if(scatter.points,
                [](const ScatterPoint& p) { return std::abs(p.x) > 1e12 || std::abs(p.y) > 1e12; });
  if (scatter.reference && std::abs(*scatter.reference) > 1e12) scatter.reference.reset();
  if (scatter.points.empty()) return {};
  return draw(scatter, 560, 380, "wide") + draw(scatter, 350, 330, "narrow");
}

}  // namespace wins::report

#include <algorithm>
#include <cmath>

#include "chart.hpp"
#include "svg.hpp"

namespace wins::report {
namespace {

constexpr double kBarHeight = 13;
constexpr double kBarGap = 2;
constexpr double kGroupGap = 12;

struct Layout {
  double width;
  double name_width;  ///< 0: the name stands above its bars
  double remark_width;
  const char* css_class;
};

bool names_above(const Layout& layout) {
  return layout.name_width == 0;
}

double group_height(const BarGroup& group, const Layout& layout) {
  return static_cast<double>(group.bars.size()) * (kBarHeight + kBarGap) + kGroupGap +
         (names_above(layout) ? 17 : 0);
}

double largest(const std::vector<BarGroup>& groups) {
  double most = 0;
  for (const BarGroup& group : groups)
    for (const Bar& bar : group.bars) most = std::max(most, bar.value.value_or(0));
  return most;
}

int decimals_for(double most) {
  return most >= 100 ? 0 : most >= 10 ? 1 : 2;
}

void draw_bar(Svg& svg, const Bar& bar, double x, double y, double pixels, const std::string& value) {
  const double width = std::max(pixels, 1.0);
  svg.raw(fmt::format(
      "<g class=\"{}\"><title>{}</title><rect class=\"bar\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
      "height=\"{:.0f}\" rx=\"2\"/></g>",
      style_of(bar.method).css_class, escape(bar.tip), x, y, width, kBarHeight));
  svg.text(x + width + 6, y + kBarHeight - 2.5, "value", "start", value);
}

std::string draw(const std::string& title, const std::vector<BarGroup>& groups, const std::string& unit,
                 const Layout& layout) {
  const double most = largest(groups);
  const int decimals = decimals_for(most);
  double height = 8;
  for (const BarGroup& group : groups) height += group_height(group, layout);
  Svg svg(layout.width, height, layout.css_class, title);
  const double left = layout.name_width;
  const double room = layout.width - left - layout.remark_width - 70;
  const auto name_limit =
      static_cast<std::size_t>((names_above(layout) ? layout.width - 60 : left - 12) / 7.0);
  double y = 4;
  for (const BarGroup& group : groups) {
    const double bars = static_cast<double>(group.bars.size()) * (kBarHeight + kBarGap);
    const std::string name = shorten(group.name, name_limit);
    svg.raw("<g><title>" + escape(group.name) + "</title>");
    if (names_above(layout)) {
      svg.text(0, y + 11, "name", "start", name);
      svg.text(layout.width, y + 11, "remark", "end", group.remark);
      y += 17;
    } else {
      svg.text(left - 10, y + bars / 2 + 3, "name", "end", name);
      svg.text(layout.width, y + bars / 2 + 3, "remark", "end", group.remark);
    }
    svg.raw("</g>");
    for (const Bar& bar : group.bars) {
      if (bar.value)
        draw_bar(svg, bar, left, y, most > 0 ? *bar.value / most * room : 0,
                 fixed(bar.value, decimals) + unit);
      y += kBarHeight + kBarGap;
    }
    y += kGroupGap;
  }
  return svg.str();
}

}  // namespace

std::string shorten(const std::string& name, std::size_t limit) {
  if (name.size() <= limit || limit < 8) return name;
  const auto boundary = [&](std::size_t at) {
    while (at < name.size() && (static_cast<unsigned char>(name[at]) & 0xc0) == 0x80) ++at;
    return at;
  };
  const std::size_t head = boundary(limit / 2 - 1);
  return name.substr(0, head) + "…" + name.substr(boundary(name.size() - (limit - limit / 2)));
}

std::string bar_chart(const std::string& title, const std::vector<BarGroup>& groups,
                      const std::string& unit) {
  if (groups.empty()) return {};
  std::size_t longest = 0;
  bool remarks = false;
  for (const BarGroup& group : groups) {
    longest = std::max(longest, group.name.size());
    remarks = remarks || !group.remark.empty();
  }
  const double names = std::clamp(text_width(longest) + 16, 90.0, 330.0);
  return draw(title, groups, unit, {1080, names, remarks ? 70.0 : 0.0, "wide"}) +
         draw(title, groups, unit, {350, 0, 0, "narrow"});
}

}  // namespace wins::report

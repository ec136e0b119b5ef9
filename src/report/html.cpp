#include "html.hpp"

#include <fmt/core.h>

#include <array>
#include <cmath>

namespace wins::report {

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
  }
  return out;
}

std::string fixed(std::optional<double> value, int decimals, double factor) {
  if (!value) return "–";
  const double scaled = *value * factor;
  if (!std::isfinite(scaled)) return "–";
  if (std::abs(scaled) >= 1e9) return fmt::format("{:.3g}", scaled);
  std::string digits = fmt::format("{:.{}f}", scaled, decimals);
  if (digits.find_first_not_of("-0.") == std::string::npos && digits[0] == '-') digits.erase(0, 1);
  if (digits[0] == '-') digits.replace(0, 1, "−");
  return digits;
}

std::string signed_fixed(std::optional<double> value, int decimals, double factor) {
  const std::string digits = fixed(value, decimals, factor);
  const bool positive = value && *value > 0 && digits.find_first_not_of("0.") != std::string::npos;
  return positive ? "+" + digits : digits;
}

std::string times(std::optional<double> value) {
  return value ? fixed(value, 2) + "×" : "–";
}

void HtmlTable::add(const std::vector<std::string>& cells, bool emphasis) {
  body_ += emphasis ? "<tr class=\"main\">" : "<tr>";
  for (std::size_t i = 0; i < cells.size() && i < titles_.size(); ++i)
    body_ += (titles_[i][0] == '#' ? "<td class=\"n\">" : "<td>") + cells[i] + "</td>";
  body_ += "</tr>\n";
}

std::string HtmlTable::str() const {
  if (empty()) return {};
  std::string head;
  for (const std::string& title : titles_) {
    const bool numeric = title[0] == '#';
    head += fmt::format("<th scope=\"col\"{}>{}</th>", numeric ? " class=\"n\"" : "",
                        title.substr(numeric ? 1 : 0));
  }
  return "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>" + head + "</tr></thead><tbody>\n" + body_ +
         "</tbody></table></div>\n";
}

MethodStyle style_of(const std::string& method) {
  // "wins-ab+bcbp": drawn as the method that the 1x1 convolutions are pruned beside.
  constexpr std::string_view kColumns = "+bcbp";
  if (method.size() > kColumns.size() && method.ends_with(kColumns)) {
    MethodStyle style = style_of(method.substr(0, method.size() - kColumns.size()));
    style.label += " + BCBP";
    return style;
  }
  struct Known {
    const char* name;
    const char* label;
    const char* css_class;
  };
  static constexpr std::array<Known, 6> kKnown{{{"dense", "dense", "s-dense"},
                                                {"wins", "WINS", "s-wins"},
                                                {"wins-b", "WINS-B", "s-winsb"},
                                                {"wins-ab", "WINS-AB", "s-winsab"},
                                                {"fp", "FP", "s-fp"},
                                                {"wwp", "WWP", "s-wwp"}}};
  for (std::size_t i = 0; i < kKnown.size(); ++i)
    if (method == kKnown[i].name) return {kKnown[i].label, kKnown[i].css_class, static_cast<int>(i)};
  if (method.empty()) return {"", "s-run", 6};
  return {method, "s-other", 6};
}

std::string marker(int shape, double x, double y, double radius) {
  const auto polygon = [&](std::initializer_list<std::pair<double, double>> corners) {
    std::string points;
    for (const auto& [dx, dy] : corners)
      points += fmt::format("{:.1f},{:.1f} ", x + dx * radius, y + dy * radius);
    return fmt::format("<polygon class=\"mark\" points=\"{}\"/>", points);
  };
  switch (shape) {
    case 1:
      return fmt::format("<circle class=\"mark\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"/>", x, y, radius);
    case 2:
      return polygon({{-.9, -.9}, {.9, -.9}, {.9, .9}, {-.9, .9}});
    case 3:
      return polygon({{0, -1.3}, {1.3, 0}, {0, 1.3}, {-1.3, 0}});
    case 4:
      return polygon({{0, -1.15}, {1.15, .95}, {-1.15, .95}});
    case 5:
      return polygon({{0, 1.15}, {1.15, -.95}, {-1.15, -.95}});
    case 0:
      return polygon({{-1.2, -.35}, {1.2, -.35}, {1.2, .35}, {-1.2, .35}});
    default:
      return polygon({{-.5, -1.1}, {.5, -1.1}, {1.1, 0}, {.5, 1.1}, {-.5, 1.1}, {-1.1, 0}});
  }
}

std::string method_badge(const std::string& method) {
  const MethodStyle style = style_of(method);
  return fmt::format(
      "<span class=\"badge {}\"><svg viewBox=\"0 0 16 16\" aria-hidden=\"true\">{}</svg>{}</span>",
      style.css_class, marker(style.shape, 8, 8, 5), escape(style.label));
}

std::string section(const std::string& title, const std::string& explanation, const std::string& content) {
  if (content.empty()) return {};
  const std::string note = explanation.empty() ? "" : "<p class=\"note\">" + explanation + "</p>\n";
  return "<section>\n<h3>" + title + "</h3>\n" + note + content + "</section>\n";
}

std::string folded(const std::string& summary_html, const std::string& content, bool open) {
  if (content.empty()) return {};
  return fmt::format("<details{}><summary>{}</summary>\n{}</details>\n", open ? " open" : "", summary_html,
                     content);
}

}  // namespace wins::report

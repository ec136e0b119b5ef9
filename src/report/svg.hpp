// A drawing area of fixed size, and helpers shared by the charts.
#pragma once

#include <fmt/core.h>

#include <string>

#include "html.hpp"

namespace wins::report {

class Svg {
 public:
  Svg(double width, double height, std::string css_class, std::string title)
      : width_(width), height_(height), css_class_(std::move(css_class)), title_(std::move(title)) {}

  void raw(const std::string& markup) { body_ += markup; }
  void line(double x1, double y1, double x2, double y2, const char* css_class) {
    body_ += fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
                         css_class, x1, y1, x2, y2);
  }
  /// `content` is plain text; `anchor` is start, middle or end.
  void text(double x, double y, const char* css_class, const char* anchor, const std::string& content) {
    body_ += fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>",
                         css_class, x, y, anchor, escape(content));
  }
  std::string str() const {
    return fmt::format(
        "<svg class=\"chart {}\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">{}</svg>\n",
        css_class_, width_, height_, escape(title_), body_);
  }

 private:
  double width_, height_;
  std::string css_class_, title_, body_;
};

/// About the width of 12.5 px text; used only to keep labels apart.
inline double text_width(std::size_t characters) {
  return 7.0 * static_cast<double>(characters);
}

/// At most `limit` characters: the middle of a longer name gives way to an ellipsis. Cuts between
/// UTF-8 characters.
std::string shorten(const std::string& name, std::size_t limit);

}  // namespace wins::report

// Building blocks of the page. Whatever comes from a record passes through `escape`.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wins::report {

/// Text that HTML shows as it is, in element content and in quoted attributes.
std::string escape(std::string_view text);

/// Fixed decimals; an en dash for nothing. `factor` scales first (100 for shares shown in per cent).
std::string fixed(std::optional<double> value, int decimals, double factor = 1);
/// The same with a sign, a real minus, and a plain zero.
std::string signed_fixed(std::optional<double> value, int decimals, double factor = 1);
/// "2.41×"
std::string times(std::optional<double> value);

/// A table that scrolls sideways when the screen is narrow.
class HtmlTable {
 public:
  /// A title that begins with '#' makes a column of numbers (without the '#').
  explicit HtmlTable(std::vector<std::string> titles) : titles_(std::move(titles)) {}
  /// Cells are HTML: escape what is text. `emphasis` marks the row.
  void add(const std::vector<std::string>& cells, bool emphasis = false);
  bool empty() const { return body_.empty(); }
  std::string str() const;

 private:
  std::vector<std::string> titles_;
  std::string body_;
};

/// How a pruning method is called and drawn everywhere on the page.
struct MethodStyle {
  std::string label;      ///< plain text
  std::string css_class;  ///< sets the colour
  int shape = 0;          ///< marker, see `marker`
};
MethodStyle style_of(const std::string& method);

/// SVG marker centred at (x, y) in the current colour: circle, square, diamond, triangle, ...
std::string marker(int shape, double x, double y, double radius);
/// A small marker and the method's name, for legends and tables.
std::string method_badge(const std::string& method);

/// `<section>` with a heading and an explanation (HTML); nothing when `content` is empty.
std::string section(const std::string& title, const std::string& explanation, const std::string& content);
std::string folded(const std::string& summary_html, const std::string& content, bool open);

}  // namespace wins::report

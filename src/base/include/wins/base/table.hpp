// Aligned tables for terminals and Markdown.
#pragma once

#include <string>
#include <vector>

namespace wins {

/// Rows of text cells under a header. A column whose cells all look like numbers is right-aligned.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  /// Short rows are filled with empty cells; long ones throw `Error`.
  void add(std::vector<std::string> row);
  std::size_t rows() const { return rows_.size(); }

  /// Columns padded with spaces, two between columns; ends with a newline.
  std::string text() const;
  /// GitHub Markdown.
  std::string markdown() const;

 private:
  std::vector<bool> numeric_columns() const;
  std::vector<std::size_t> widths() const;

  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace wins

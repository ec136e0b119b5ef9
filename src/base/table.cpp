#include "wins/base/table.hpp"

#include <algorithm>
#include <cctype>

#include "wins/base/error.hpp"

namespace wins {
namespace {

/// "3.2", "-0.5 %", "1.8x", "-": what a column of figures holds.
bool looks_numeric(const std::string& cell) {
  if (cell.empty() || cell == "-") return true;
  const auto first = static_cast<unsigned char>(cell[0]);
  return std::isdigit(first) != 0 || ((first == '-' || first == '+') && cell.size() > 1 &&
                                      std::isdigit(static_cast<unsigned char>(cell[1])) != 0);
}

/// Code points, so that accented names align.
std::size_t display_width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string padded(const std::string& cell, std::size_t width, bool right) {
  const std::string fill(width - std::min(width, display_width(cell)), ' ');
  return right ? fill + cell : cell + fill;
}

}  // namespace

void Table::add(std::vector<std::string> row) {
  require(row.size() <= header_.size(), "internal: table row has {} cells, header {}", row.size(), header_.size());
  row.resize(header_.size());
  rows_.push_back(std::move(row));
}

std::vector<bool> Table::numeric_columns() const {
  std::vector<bool> numeric(header_.size(), true);
  for (std::size_t c = 0; c < header_.size(); ++c) {
    numeric[c] = std::all_of(rows_.begin(), rows_.end(), [&](const auto& row) { return looks_numeric(row[c]); });
  }
  return numeric;
}

std::vector<std::size_t> Table::widths() const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < header_.size(); ++c) {
    std::size_t width = display_width(header_[c]);
    for (const auto& row : rows_) width = std::max(width, display_width(row[c]));
    widths.push_back(width);
  }
  return widths;
}

std::string Table::text() const {
  const auto numeric = numeric_columns();
  const auto width = widths();
  std::string text;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string row;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      row += (c == 0 ? "" : "  ") + padded(cells[c], width[c], numeric[c]);
    }
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + "\n";
  };
  line(header_);
  std::vector<std::string> rule;
  for (const std::size_t w : width) rule.emplace_back(w, '-');
  line(rule);
  for (const auto& row : rows_) line(row);
  return text;
}

std::string Table::markdown() const {
  const auto numeric = numeric_columns();
  std::string text = "|";
  for (const auto& cell : header_) text += " " + cell + " |";
  text += "\n|";
  for (std::size_t c = 0; c < header_.size(); ++c) text += numeric[c] ? "---:|" : "---|";
  text += "\n";
  for (const auto& row : rows_) {
    text += "|";
    for (const auto& cell : row) text += " " + cell + " |";
    text += "\n";
  }
  return text;
}

}  // namespace wins

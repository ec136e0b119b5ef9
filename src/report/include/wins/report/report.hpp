// Run records (JSON) to one self-contained HTML page. Tables for terminals: wins/base/table.hpp.
#pragma once

#include <string>
#include <vector>

namespace wins::report {

/// One run record: the JSON that `wins demo`, `bench` or `prune` wrote.
struct Run {
  std::string name;  ///< file name, for messages and headings
  std::string json;
};

/// One HTML page without external parts (inline styles and SVG). Formats: docs/report.md.
/// Throws `Error` naming the run whose JSON does not parse or is of no known kind.
std::string html_report(const std::vector<Run>& runs);

}  // namespace wins::report

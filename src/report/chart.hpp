// Charts as inline SVG. Each is drawn twice, for wide screens and for phones; CSS shows one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "record.hpp"

namespace wins::report {

/// Evenly spaced round numbers that cover [low, high]: at least two, at most about `wanted` + 2.
std::vector<double> round_ticks(double low, double high, int wanted);

struct ScatterPoint {
  double x = 0, y = 0;
  std::string method;
  std::string tip;  ///< plain text
};
struct Scatter {
  std::string title;  ///< for screen readers
  std::string x_title, y_title;
  const char* x_suffix = "";
  const char* y_suffix = "";
  std::vector<ScatterPoint> points;  ///< points of one method are joined from left to right
  std::optional<double> reference;   ///< dashed horizontal line, "dense"
  double x_low = 0;                  ///< the axis begins here
};
/// Nothing without points.
std::string scatter_chart(const Scatter& scatter);

struct Bar {
  std::optional<double> value;
  std::string method;  ///< colours it
  std::string tip;     ///< plain text
};
struct BarGroup {
  std::string name;
  std::vector<Bar> bars;
  std::string remark;  ///< plain text at the right end, for example the ratio
};
/// Horizontal bars, grouped; `unit` stands behind each value.
std::string bar_chart(const std::string& title, const std::vector<BarGroup>& groups, const std::string& unit);

/// Small multiples: for each Winograd layer a p x p grid of the share of units kept.
std::string heat_maps(const std::vector<Layer>& layers);

}  // namespace wins::report

#include "wins/refit/allocation.hpp"

#include <algorithm>
#include <cmath>

#include "wins/base/error.hpp"

namespace wins::refit {
namespace {

/// Relative difference below which two slopes count as equal.
constexpr double kSameSlope = 1e-9;

/// A stretch of one layer's hull.
struct Segment {
  std::size_t layer;
  double length;  ///< in ratio
  double saved;   ///< cost
  double slope;   ///< damage for each unit of cost
};

double floor_of(const LayerCurve& curve, const RatioBounds& bounds) {
  return std::max(bounds.floor, curve.points.front().ratio);
}
double ceiling_of(const LayerCurve& curve, const RatioBounds& bounds) {
  return std::max(floor_of(curve, bounds), std::min(bounds.ceiling, curve.points.back().ratio));
}

double cost_of(const std::map<std::string, double>& cost, const std::string& layer) {
  const auto found = cost.find(layer);
  require(found != cost.end(), "allocation: no cost is known for layer {}", layer);
  require(std::isfinite(found->second), "allocation: the cost of layer {} is {}", layer, found->second);
  return std::max(0.0, found->second);
}

void check(const LayerCurve& curve) {
  require(!curve.points.empty(), "allocation: layer {} has an empty curve", curve.layer);
  for (const CurvePoint& point : curve.points) {
    require(std::isfinite(point.damage), "allocation: the damage of layer {} at ratio {} is {}", curve.layer,
            point.ratio, point.damage);
  }
}

/// Lower convex hull of the curve between its bounds (Andrew's monotone chain).
std::vector<CurvePoint> lower_hull(const LayerCurve& curve, const RatioBounds& bounds) {
  const double low = floor_of(curve, bounds), high = ceiling_of(curve, bounds);
  std::vector<CurvePoint> points{curve.at(low)};
  for (const CurvePoint& point : curve.points) {
    if (point.ratio > low && point.ratio < high) points.push_back(point);
  }
  if (high > low) points.push_back(curve.at(high));
  std::vector<CurvePoint> hull;
  for (const CurvePoint& next : points) {
    const auto above = [&](const CurvePoint& a, const CurvePoint& b) {
      return (b.damage - a.damage) * (next.ratio - a.ratio) >= (next.damage - a.damage) * (b.ratio - a.ratio);
    };
    while (hull.size() > 1 && above(hull[hull.size() - 2], hull.back())) hull.pop_back();
    hull.push_back(next);
  }
  return hull;
}

/// All stretches that save cost, cheapest first; equal ones in the order of the layers.
std::vector<Segment> segments_of(const std::vector<LayerCurve>& curves,
                                 const std::map<std::string, double>& cost, const RatioBounds& bounds) {
  std::vector<Segment> segments;
  for (std::size_t l = 0; l < curves.size(); ++l) {
    const double unit = cost_of(cost, curves[l].layer);
    const std::vector<CurvePoint> hull = lower_hull(curves[l], bounds);
    for (std::size_t i = 1; i < hull.size() && unit > 0; ++i) {
      const double length = hull[i].ratio - hull[i - 1].ratio;
      const double slope = (hull[i].damage - hull[i - 1].damage) / (unit * length);
      segments.push_back({l, length, unit * length, slope});
    }
  }
  std::stable_sort(segments.begin(), segments.end(),
                   [](const Segment& a, const Segment& b) { return a.slope < b.slope; });
  return segments;
}

/// Takes segments, cheapest first, until `need` cost is saved; the last ones, equally cheap, in part.
double take(const std::vector<Segment>& segments, double need, std::vector<LayerShare>& shares) {
  for (std::size_t first = 0, last = 0; first < segments.size() && need > 0; first = last) {
    const double slope = segments[first].slope;
    double saved = 0;
    for (last = first; last < segments.size(); ++last) {
      const double other = segments[last].slope;
      if (other - slope > kSameSlope * std::max(std::abs(slope), std::abs(other))) break;
      saved += segments[last].saved;
    }
    const double part = std::min(1.0, need / saved);
    for (std::size_t i = first; i < last; ++i) shares[segments[i].layer].ratio += part * segments[i].length;
    need -= part * saved;
  }
  return need;
}

std::vector<LayerCurve> with_curve(const std::vector<LayerCurve>& curves) {
  std::vector<LayerCurve> result;
  for (const LayerCurve& curve : curves) {
    if (!curve.reason.empty()) continue;
    check(curve);
    result.push_back(curve);
  }
  return result;
}

}  // namespace

CurvePoint LayerCurve::at(double ratio) const {
  if (points.empty()) return {ratio, 0, 0};
  const auto above = std::find_if(points.begin(), points.end(),
                                  [ratio](const CurvePoint& point) { return point.ratio >= ratio; });
  if (above == points.begin() || above == points.end()) {
    const CurvePoint& end = above == points.begin() ? points.front() : points.back();
    return {ratio, end.squared_error, end.damage};
  }
  const CurvePoint& below = *(above - 1);
  const double part = (ratio - below.ratio) / (above->ratio - below.ratio);
  return {ratio, std::lerp(below.squared_error, above->squared_error, part),
          std::lerp(below.damage, above->damage, part)};
}

std::vector<LayerShare> allocate(const std::vector<LayerCurve>& all,
                                 const std::map<std::string, double>& cost, double ratio,
                                 const RatioBounds& bounds) {
  require(ratio >= 0 && ratio < 1, "allocation: ratio {} is outside [0, 1)", ratio);
  require(bounds.floor >= 0 && bounds.floor <= bounds.ceiling && bounds.ceiling < 1,
          "allocation: a floor of {} and a ceiling of {} are no bounds in [0, 1)", bounds.floor,
          bounds.ceiling);
  const std::vector<LayerCurve> curves = with_curve(all);
  std::vector<LayerShare> shares;
  double total = 0, need = 0;
  for (const LayerCurve& curve : curves) {
    const double unit = cost_of(cost, curve.layer), low = floor_of(curve, bounds);
    shares.push_back({curve.layer, low, {}, unit});
    total += unit;
    need += unit * (ratio - low);
  }
  require(total > 0, "allocation: no layer has both an error curve and a cost to save");
  const double missing = take(segments_of(curves, cost, bounds), need, shares);
  // Rounding errors of the sum aside.
  if (missing > 1e-9 * total) {
    fail("allocation: ratio {} cannot be met: the largest ratios of the layers allow {:.4f}", ratio,
         largest_ratio(all, cost, bounds));
  }
  for (std::size_t l = 0; l < curves.size(); ++l) {
    shares[l].ratio = std::clamp(shares[l].ratio, 0.0, ceiling_of(curves[l], bounds));
    shares[l].point = curves[l].at(shares[l].ratio);
  }
  return shares;
}

double largest_ratio(const std::vector<LayerCurve>& all, const std::map<std::string, double>& cost,
                     const RatioBounds& bounds) {
  double total = 0, most = 0;
  for (const LayerCurve& curve : with_curve(all)) {
    const double unit = cost_of(cost, curve.layer);
    total += unit;
    most += unit * ceiling_of(curve, bounds);
  }
  return total > 0 ? most / total : 0;
}

}  // namespace wins::refit

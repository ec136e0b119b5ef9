#include "curves_file.hpp"

#include <algorithm>

#include "wins/base/error.hpp"
#include "wins/base/files.hpp"

namespace wins::cli {
namespace {

refit::LayerCurve curve_from(const Json& row) {
  refit::LayerCurve curve;
  curve.layer = row.at("layer").get<std::string>();
  curve.reason = row.value("reason", "");
  if (!curve.reason.empty()) return curve;
  for (const Json& point : row.at("curve")) {
    curve.points.push_back({point.at("ratio").get<double>(), point.at("squared_error").get<double>(),
                            point.at("damage").get<double>()});
  }
  return curve;
}

/// Rising ratios in [0, 1), nothing negative.
bool sound(const refit::LayerCurve& curve) {
  double last = -1;
  for (const refit::CurvePoint& point : curve.points) {
    if (!(point.ratio > last && point.ratio >= 0 && point.ratio < 1 && point.squared_error >= 0 && point.damage >= 0)) {
      return false;
    }
    last = point.ratio;
  }
  return !curve.reason.empty() || !curve.points.empty();
}

/// WINS-AB's ratios are chosen for its WINS masks.
pruning::Method shaping(pruning::Method method) {
  return method == pruning::Method::wins_ab ? pruning::Method::wins : method;
}

}  // namespace

Json to_json(const std::vector<refit::LayerCurve>& curves) {
  Json rows = Json::array();
  for (const refit::LayerCurve& curve : curves) {
    Json row{{"layer", curve.layer}};
    if (!curve.reason.empty()) {
      row["reason"] = curve.reason;
    } else {
      row["curve"] = Json::array();
      for (const refit::CurvePoint& p : curve.points) {
        row["curve"].push_back({{"ratio", p.ratio}, {"squared_error", p.squared_error}, {"damage", p.damage}});
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<refit::LayerCurve> read_curves(const std::string& path, const CurvesKey& key,
                                           const std::vector<std::string>& layers) {
  const std::string text = read_file(path);
  std::vector<refit::LayerCurve> all, result;
  try {
    const Json record = Json::parse(text);
    require(record.is_object() && record.contains("allocation"), "--curves {}: no record of prune --allocate", path);
    // BCBP beside the method prunes other layers than those with curves.
    const std::string name = record.at("method").get<std::string>();
    const auto method = pruning::parse_method(name.substr(0, name.find('+')));
    const auto criterion = pruning::parse_criterion(record.at("criterion").get<std::string>());
    require(shaping(method) == shaping(key.method) && criterion == key.criterion,
            "--curves {}: measured for {} by {}, not for {} by {}", path, pruning::to_string(method),
            pruning::to_string(criterion), pruning::to_string(key.method), pruning::to_string(key.criterion));
    for (const Json& row : record.at("allocation").at("curves")) all.push_back(curve_from(row));
  } catch (const Json::exception& bad) {
    fail("--curves {}: {}", path, bad.what());
  }
  for (const std::string& layer : layers) {
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& curve) { return curve.layer == layer; });
    require(found != all.end(), "--curves {}: no curve of layer {}", path, layer);
    require(sound(*found), "--curves {}: the curve of layer {} does not rise", path, layer);
    result.push_back(*found);
  }
  return result;
}

}  // namespace wins::cli

#include "record.hpp"

#include <cmath>

namespace wins::report {
namespace {

const Json kNothing;
const Json kNoItems = Json::array();
const Json kNoFields = Json::object();

/// Thirty years: beyond, a time is nonsense, and sums of times could overflow.
constexpr double kMostMicroseconds = 1e15;

const Json& field(const Json& object, const char* key) {
  if (!object.is_object()) return kNothing;
  const auto found = object.find(key);
  return found == object.end() ? kNothing : *found;
}

}  // namespace

std::optional<double> number(const Json& object, const char* key) {
  const Json& value = field(object, key);
  if (!value.is_number()) return std::nullopt;
  const double result = value.get<double>();
  return std::isfinite(result) ? std::optional(result) : std::nullopt;
}

std::string text(const Json& object, const char* key) {
  const Json& value = field(object, key);
  if (value.is_string()) return value.get<std::string>();
  return value.is_number() || value.is_boolean() ? value.dump() : std::string();
}

const Json& list(const Json& object, const char* key) {
  const Json& value = field(object, key);
  return value.is_array() ? value : kNoItems;
}

const Json& child(const Json& object, const char* key) {
  const Json& value = field(object, key);
  return value.is_object() ? value : kNoFields;
}

std::vector<Layer> read_layers(const Json& layers) {
  std::vector<Layer> result;
  for (const Json& entry : layers) {
    Layer layer{text(entry, "name"),
                text(entry, "kernel"),
                number(entry, "median_us"),
                {},
                number(entry, "rows").value_or(0)};
    if (layer.median_us && (*layer.median_us < 0 || *layer.median_us > kMostMicroseconds))
      layer.median_us.reset();
    for (const Json& kept : list(entry, "kept"))
      layer.kept.push_back(kept.is_number() && std::isfinite(kept.get<double>()) ? kept.get<double>() : 0);
    if (layer.units <= 0) layer.kept.clear();
    if (!layer.name.empty()) result.push_back(std::move(layer));
  }
  return result;
}

}  // namespace wins::report

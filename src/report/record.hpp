// Forgiving access to run records: what is absent, null or of another type is simply not there.
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace wins::report {

using Json = nlohmann::json;

/// A finite number, or nothing.
std::optional<double> number(const Json& object, const char* key);
/// A string, or a number or flag as text, or "".
std::string text(const Json& object, const char* key);
/// An array, or an empty one.
const Json& list(const Json& object, const char* key);
/// An object, or an empty one.
const Json& child(const Json& object, const char* key);

/// One layer of a plan; see docs/report.md.
struct Layer {
  std::string name, kernel;
  std::optional<double> median_us;
  std::vector<double> kept;  ///< kept units per position, p*p of them; empty when not a Winograd layer
  double units = 0;          ///< units per position: rows K, columns C or weights K * C
};
std::vector<Layer> read_layers(const Json& layers);

}  // namespace wins::report

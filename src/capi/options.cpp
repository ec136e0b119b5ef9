#include "options.hpp"

#include <charconv>
#include <set>
#include <string>

#include "wins/base/error.hpp"

namespace wins::capi {
namespace {

template <class T>
T number(std::string_view key, std::string_view text) {
  T value{};
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  require(status == std::errc() && end == text.data() + text.size(), "option '{}': '{}' is not a number in range",
          key, text);
  return value;
}

runtime::WeightStorage storage(std::string_view text) {
  if (text == "f32") return runtime::WeightStorage::f32;
  require(text == "bf16", "option 'weight_storage': '{}' is neither f32 nor bf16", text);
  return runtime::WeightStorage::bf16;
}

runtime::Precision precision(std::string_view text) {
  if (text == "fp32") return runtime::Precision::fp32;
  if (text == "tf32") return runtime::Precision::tf32;
  if (text == "fp16") return runtime::Precision::fp16;
  require(text == "bf16", "option 'precision': '{}' is none of fp32, tf32, fp16 and bf16", text);
  return runtime::Precision::bf16;
}

void set(runtime::SessionOptions& options, std::string_view key, std::string_view value) {
  if (key == "backend") options.backend = std::string(value);
  else if (key == "threads") options.threads = number<int>(key, value);
  else if (key == "winograd") options.winograd = number<int>(key, value) != 0;
  else if (key == "error_bound") options.error_bound = number<double>(key, value);
  else if (key == "memory_limit") options.memory_limit = number<std::size_t>(key, value);
  else if (key == "force_m") options.force_m = number<int>(key, value);
  else if (key == "force_kernel") options.force_kernel = std::string(value);
  else if (key == "weight_storage") options.weight_storage = storage(value);
  else if (key == "precision") options.precision = precision(value);
  else if (key == "tune") options.tune = number<int>(key, value) != 0;
  else if (key == "tune_cache") options.tune_cache = std::string(value);
  else fail("unknown option '{}' (known: backend, threads, winograd, error_bound, memory_limit, force_m, force_kernel, weight_storage, precision, tune, tune_cache)", key);
}

}  // namespace

runtime::SessionOptions parse_options(std::string_view text) {
  runtime::SessionOptions options;
  std::set<std::string_view> seen;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    require(equals != std::string_view::npos, "option '{}' is not key=value", pair);
    const std::string_view key = pair.substr(0, equals);
    require(seen.insert(key).second, "option '{}' stands twice", key);
    set(options, key, pair.substr(equals + 1));
  }
  return options;
}

}  // namespace wins::capi

#include "wins/pruning/methods.hpp"

#include <fmt/ranges.h>

#include <array>

#include "wins/base/error.hpp"

namespace wins::pruning {
namespace {

struct Name {
  Method method;
  const char* text;
};
constexpr std::array kNames{Name{Method::dense, "dense"},     Name{Method::wins, "wins"},
                            Name{Method::wins_b, "wins-b"},   Name{Method::wins_ab, "wins-ab"},
                            Name{Method::fp, "fp"},           Name{Method::wwp, "wwp"}};

}  // namespace

Method parse_method(const std::string& text) {
  std::vector<std::string> known;
  for (const Name& name : kNames) {
    if (text == name.text) return name.method;
    known.emplace_back(name.text);
  }
  throw UsageError(fmt::format("unknown method '{}' (one of {})", text, fmt::join(known, ", ")));
}

std::string to_string(Method method) {
  for (const Name& name : kNames) {
    if (method == name.method) return name.text;
  }
  fail("unknown method {}", static_cast<int>(method));
}

}  // namespace wins::pruning

#include "wins/runtime/decisions.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace wins::runtime {

std::pair<std::string, std::string> split_choice(const std::string& choice) {
  const std::size_t slash = choice.find('/');
  return {choice.substr(0, slash), slash == std::string::npos ? std::string() : choice.substr(slash + 1)};
}

std::string join_choice(std::string_view kernel, const std::string& variant) {
  return variant.empty() ? std::string(kernel) : std::string(kernel) + "/" + variant;
}

void tell_times(const Decision& decision, LayerPlan& line) {
  std::erase_if(line.refused, [&](const auto& entry) {
    return std::any_of(decision.measured.begin(), decision.measured.end(),
                       [&](const auto& time) { return split_choice(time.first).first == entry.first; });
  });
  for (const auto& [choice, us] : decision.measured) {
    if (choice == line.choice) line.tuned_us = us;
    else line.refused.emplace_back(choice, fmt::format("measured {:.0f} us", us));
  }
}

}  // namespace wins::runtime

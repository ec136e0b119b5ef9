#include "wins/runtime/decisions.hpp"

namespace wins::runtime {

std::pair<std::string, std::string> split_choice(const std::string& choice) {
  const std::size_t slash = choice.find('/');
  return {choice.substr(0, slash), slash == std::string::npos ? std::string() : choice.substr(slash + 1)};
}

std::string join_choice(std::string_view kernel, const std::string& variant) {
  return variant.empty() ? std::string(kernel) : std::string(kernel) + "/" + variant;
}

}  // namespace wins::runtime

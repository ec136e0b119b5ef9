#include "backends.hpp"

#include <fmt/ranges.h>

#include <utility>

#include "wins/base/error.hpp"

namespace wins::runtime {
namespace {

using Maker = std::unique_ptr<Backend> (*)();
constexpr std::pair<const char*, Maker> kMakers[] = {
    {"cpu", make_cpu_backend}, {"ref", make_ref_backend}, {"cuda", make_cuda_backend}};

}  // namespace

std::vector<std::string> backends() {
  std::vector<std::string> names;
  for (const auto& [name, make] : kMakers) {
    if (make() != nullptr) names.push_back(name);
  }
  return names;
}

std::shared_ptr<const Backend> find_backend(const std::string& name) {
  for (const auto& [known, make] : kMakers) {
    if (known != name) continue;
    std::shared_ptr<const Backend> backend = make();
    require(backend != nullptr, "backend '{}' is not in this build (it has: {})", name, fmt::join(backends(), ", "));
    const std::string reason = backend->unavailable();
    require(reason.empty(), "backend '{}' cannot be used: {}", name, reason);
    return backend;
  }
  fail("unknown backend '{}' (known: {})", name, fmt::join(backends(), ", "));
}

}  // namespace wins::runtime

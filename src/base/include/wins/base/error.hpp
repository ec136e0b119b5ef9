// Helpers that build one-line messages and throw. Not installed: needs fmt (see exception.hpp).
#pragma once

#include <fmt/core.h>

#include <utility>

#include "wins/base/exception.hpp"

namespace wins {

/// Throws `Error` with a message formatted by fmt: `fail("{}: no such file", path)`.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws `Error` unless `condition` holds. The arguments are evaluated either way: keep them cheap.
template <class... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) fail(format, std::forward<Args>(args)...);
}

}  // namespace wins

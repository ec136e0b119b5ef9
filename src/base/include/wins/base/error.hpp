// The one error type of the project, and helpers that build one-line messages.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace wins {

/// A failure the user can act on. `what()` is one line that names the file, node or option at
/// fault; the command line prints it and exits with status 1.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

/// Contradictory or unknown command-line options; the command line exits with status 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

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

// The one error type of the project.
#pragma once

#include <stdexcept>
#include <string>

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

}  // namespace wins

// The backends of this build.
#pragma once

#include <memory>
#include <string>

#include "wins/runtime/backend.hpp"

namespace wins::runtime {

/// The backend of this name, usable on this machine. Throws `Error` naming the option otherwise:
/// unknown name (listing the known ones), not built in, or the reason why it cannot be used here.
std::shared_ptr<const Backend> find_backend(const std::string& name);

}  // namespace wins::runtime

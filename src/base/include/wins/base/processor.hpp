// Which processor this is.
#pragma once

#include <string>

namespace wins {

/// Model name as the operating system gives it, "unknown" where it does not.
std::string processor_name();

}  // namespace wins

// The option string of wins_open.
#pragma once

#include <string_view>

#include "wins/runtime/session.hpp"

namespace wins::capi {

/// "backend=cpu,threads=2,..." (see wins.h). Throws `Error` naming the key that is unknown,
/// repeated or does not parse; an empty text gives the defaults.
runtime::SessionOptions parse_options(std::string_view text);

}  // namespace wins::capi

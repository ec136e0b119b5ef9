// How the elements of one layout go to another of as many elements in the same row-major order.
#pragma once

#include <optional>
#include <vector>

#include "copy.hpp"

namespace wins::runtime::cuda {

/// Axes of a copy, without zeros for channels that fill the target's last unit; nothing when there would be too many
/// axes or too long tables.
std::optional<std::vector<CopyAxis>> reshape_axes(const Layout& from, const Layout& to);

}  // namespace wins::runtime::cuda

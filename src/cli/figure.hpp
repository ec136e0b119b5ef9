// wins bench --figure: curves of the paper that need no model.
#pragma once

#include <optional>
#include <string>

#include "common.hpp"

namespace wins::cli {

/// Figure "3c": time of a layer's products when single weights or rows are removed; prints it, and writes the record.
/// Throws `Error` where it cannot be measured.
void run_figure(const std::string& figure, const Common& common, std::optional<std::int64_t> batch, int rounds);

}  // namespace wins::cli

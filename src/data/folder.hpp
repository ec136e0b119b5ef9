#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "wins/data/dataset.hpp"

namespace wins::data {

/// Pictures below `path`, read from disk one by one when loaded; see `open_dataset`.
std::unique_ptr<Dataset> open_folder(const std::filesystem::path& path, const std::string& split);

}  // namespace wins::data

#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "wins/data/dataset.hpp"

namespace wins::data {

/// Whether the name ends in .tar, .tar.gz, .tgz, .tar.xz or .txz.
bool has_archive_extension(const std::filesystem::path& path);

/// Pictures of a tar archive; see `open_dataset`. The encoded pictures stay in memory: at most
/// 64 MiB + 16 times the archive's size, more is an error (pictures hardly compress further).
std::unique_ptr<Dataset> open_archive(const std::filesystem::path& path, const std::string& split);
/// Same from memory; `name` stands for the file in messages.
std::unique_ptr<Dataset> open_archive_bytes(const std::string& bytes, const std::string& split,
                                            const std::string& name);

}  // namespace wins::data

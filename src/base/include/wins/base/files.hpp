// Whole-file reading and all-or-nothing writing.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace wins {

/// Whole file as bytes. Throws `Error` naming the path when it is missing, is a folder, cannot be
/// read, or holds more than `limit` bytes.
std::string read_file(const std::filesystem::path& path, std::uintmax_t limit = std::uintmax_t{1} << 34);

/// Writes beside the target, syncs, then renames: readers see the old file or the new one, never
/// half of it. Throws `Error` naming the path on a full disk or an unwritable folder.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

/// Throws `Error` naming the path when a later `write_file_atomically(path)` cannot succeed
/// (missing or unwritable folder, path is a folder): call it before long work.
void require_writable(const std::filesystem::path& path);

}  // namespace wins

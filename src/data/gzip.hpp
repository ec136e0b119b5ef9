#pragma once

#include <string>

namespace wins::data {

bool looks_like_gzip(const std::string& bytes);

/// Inflates all members of a gzip file. Throws `Error` naming `name` on damage, or when the
/// content is larger than 64 MiB + 200 times the file, or than 2 GiB (no IDX file compresses so well).
std::string inflate_gzip(const std::string& bytes, const std::string& name);

}  // namespace wins::data

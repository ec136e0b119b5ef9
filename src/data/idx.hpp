// IDX files (LeCun's MNIST format): big-endian magic, extents, raw bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "wins/data/dataset.hpp"

namespace wins::data {

/// An IDX array of unsigned bytes.
struct IdxArray {
  std::vector<std::int64_t> extents;  ///< 1 (labels) or 3 (pictures)
  std::vector<std::uint8_t> values;   ///< row-major
};

/// Parses a plain or gzip-compressed IDX file held in `bytes`. Throws `Error` naming `name` when
/// the type is not unsigned byte, the rank is not `rank`, or the size does not match the extents.
IdxArray parse_idx(std::string bytes, std::size_t rank, const std::string& name);

/// Pairs pictures with labels. `classes` may be empty: then they are called "0", "1", ... up to
/// the largest label. Throws `Error` naming `name` when counts or labels do not fit.
std::unique_ptr<Dataset> make_idx_dataset(IdxArray pictures, IdxArray labels,
                                          std::vector<std::string> classes, const std::string& name);

/// Whether `folder` holds IDX files of any split.
bool holds_idx(const std::filesystem::path& folder);
std::unique_ptr<Dataset> open_idx(const std::filesystem::path& folder, const std::string& split);

}  // namespace wins::data

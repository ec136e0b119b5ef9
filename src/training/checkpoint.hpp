// The file that lets a killed training run continue.
//
// Layout, little-endian: "WINSCKPT", u32 version, u32 CRC-32 of the payload, u64 payload bytes, payload.
// Payload: options (u32 count; name, value), numbers (u32 count; name, f64), tensors (u32 count; name, u8
// type, u8 rank, i64 extents, elements). A name or value is u32 bytes and the bytes.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "wins/base/tensor.hpp"

namespace wins::training {

struct Checkpoint {
  /// What must be the same when the run continues, as text: option name -> value.
  std::map<std::string, std::string> options;
  /// Counters and sums; counters stay exact up to 2^53.
  std::map<std::string, double> numbers;
  /// Weights, statistics, momentum.
  std::map<std::string, Tensor> tensors;
};

std::string encode_checkpoint(const Checkpoint& checkpoint);

/// Throws `Error` naming `name` for anything that `encode_checkpoint` did not write; never uses
/// more memory than a few times the size of `bytes`.
Checkpoint decode_checkpoint(std::string_view bytes, const std::string& name);

/// Atomic. Throws `Error` naming the path.
void save_checkpoint(const Checkpoint& checkpoint, const std::filesystem::path& path);
Checkpoint load_checkpoint(const std::filesystem::path& path);

/// Throws `Error` naming the first option that differs.
void require_same_options(const Checkpoint& checkpoint, const std::map<std::string, std::string>& options,
                          const std::filesystem::path& path);

}  // namespace wins::training

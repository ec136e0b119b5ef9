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

/// A file that grows piece by piece beside its target; nothing shows under the target's name before
/// `commit`, and without it nothing stays. Every method throws `Error` naming the path.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view bytes);
  /// Syncs and closes: afterwards only the renaming can fail. Several files that belong together
  /// are all finished before the first is committed.
  void finish();
  /// Finishes, and renames over the target.
  void commit();

 private:
  [[noreturn]] void give_up(int error);

  std::filesystem::path path_;
  std::string beside_;  ///< empty: committed, or given up
  int fd_ = -1;
};

/// Throws `Error` naming the path when a later `write_file_atomically(path)` cannot succeed
/// (missing or unwritable folder, path is a folder): call it before long work.
void require_writable(const std::filesystem::path& path);

}  // namespace wins

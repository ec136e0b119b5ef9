#include "wins/base/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "wins/base/error.hpp"

namespace wins {
namespace {

namespace fs = std::filesystem;

std::string reason(int error) { return std::generic_category().message(error); }

/// Owns a descriptor; `close` reports what the destructor would swallow.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int close() {
    const int status = ::close(fd_);
    fd_ = -1;
    return status;
  }

 private:
  int fd_;
};

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

std::string read_file(const fs::path& path, std::uintmax_t limit) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  require(file.get() >= 0, "{}: {}", path.string(), reason(errno));
  std::error_code error;
  require(!fs::is_directory(path, error), "{}: is a folder, expected a file", path.string());
  std::string bytes;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    require(got >= 0, "{}: {}", path.string(), reason(errno));
    if (got == 0) return bytes;
    bytes.append(buffer, static_cast<std::size_t>(got));
    require(bytes.size() <= limit, "{}: larger than {} bytes", path.string(), limit);
  }
}

void write_file_atomically(const fs::path& path, std::string_view bytes) {
  std::string beside = path.string() + ".XXXXXX";
  Descriptor file(::mkostemp(beside.data(), O_CLOEXEC));
  require(file.get() >= 0, "{}: cannot write: {}", path.string(), reason(errno));
  const bool written = write_all(file.get(), bytes) && ::fsync(file.get()) == 0;
  const int write_error = errno;
  ::fchmod(file.get(), 0644);
  const bool closed = file.close() == 0;
  if (!written || !closed || ::rename(beside.c_str(), path.c_str()) != 0) {
    const int error = written ? errno : write_error;
    ::unlink(beside.c_str());
    fail("{}: cannot write: {}", path.string(), reason(error));
  }
}

void require_writable(const fs::path& path) {
  std::error_code error;
  require(!fs::is_directory(path, error), "{}: is a folder, expected a file name", path.string());
  const fs::path folder = folder_of(path);
  require(fs::is_directory(folder, error), "{}: cannot write: folder {} does not exist", path.string(),
          folder.string());
  require(::access(folder.c_str(), W_OK) == 0, "{}: cannot write: {}", path.string(), reason(errno));
}

}  // namespace wins

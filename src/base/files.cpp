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

/// Owns a descriptor for reading.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

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
  // Room for all of it at once: a string that grows copies itself, and takes up to twice its size.
  struct stat status {};
  std::string bytes;
  if (::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode)) {
    const auto size = static_cast<std::uintmax_t>(status.st_size);
    require(size <= limit, "{}: larger than {} bytes", path.string(), limit);
    bytes.reserve(size);
  }
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
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

AtomicFile::AtomicFile(const fs::path& path) : path_(path), beside_(path.string() + ".XXXXXX") {
  fd_ = ::mkostemp(beside_.data(), O_CLOEXEC);
  if (fd_ < 0) {
    const int error = errno;
    beside_.clear();
    give_up(error);
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!beside_.empty()) ::unlink(beside_.c_str());
}

void AtomicFile::give_up(int error) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  if (!beside_.empty()) ::unlink(beside_.c_str());
  beside_.clear();
  fail("{}: cannot write: {}", path_.string(), reason(error));
}

void AtomicFile::write(std::string_view bytes) {
  if (!write_all(fd_, bytes)) give_up(errno);
}

void AtomicFile::finish() {
  if (fd_ < 0) return;
  if (::fsync(fd_) != 0) give_up(errno);
  ::fchmod(fd_, 0644);
  const int status = ::close(fd_);
  fd_ = -1;
  if (status != 0) give_up(errno);
}

void AtomicFile::commit() {
  finish();
  if (::rename(beside_.c_str(), path_.c_str()) != 0) give_up(errno);
  beside_.clear();
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

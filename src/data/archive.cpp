#include "archive.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "class_names.hpp"
#include "codecs.hpp"
#include "tree.hpp"
#include "wins/base/error.hpp"

namespace wins::data {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kAlwaysAllowed = std::int64_t{64} << 20;
constexpr std::int64_t kMaxExpansion = 16;
constexpr std::size_t kReadBlock = std::size_t{1} << 16;
constexpr std::size_t kMaxTableBytes = std::size_t{4} << 20;
constexpr std::size_t kMaxEntries = 50'000'000;

struct CloseArchive {
  void operator()(archive* handle) const { archive_read_free(handle); }
};
using Handle = std::unique_ptr<archive, CloseArchive>;

/// What is kept of an archive: encoded pictures one after another, and where each begins.
struct Contents {
  std::vector<std::string> paths;
  std::vector<std::size_t> begins;  ///< paths.size() + 1 entries
  std::vector<std::uint8_t> bytes;
  std::map<std::string, std::string> tables;  ///< classes.tsv files by their folder ("" or "a/b/")
};

class ArchiveDataset : public Dataset {
 public:
  ArchiveDataset(std::string name, Contents contents, Tree tree)
      : name_(std::move(name)), contents_(std::move(contents)), tree_(std::move(tree)) {}
  std::size_t size() const override { return tree_.pictures.size(); }
  std::int64_t label(std::size_t index) const override { return tree_.labels.at(index); }
  std::string name(std::size_t index) const override {
    return name_ + ":" + contents_.paths[tree_.pictures.at(index)];
  }
  Image load(std::size_t index) const override {
    const std::size_t i = tree_.pictures.at(index);
    const auto first = contents_.bytes.begin();
    return decode_image({first + static_cast<std::ptrdiff_t>(contents_.begins[i]),
                         first + static_cast<std::ptrdiff_t>(contents_.begins[i + 1])},
                        name(index));
  }
  const std::vector<std::string>& classes() const override { return tree_.classes; }

 private:
  std::string name_;
  Contents contents_;
  Tree tree_;
};

Handle new_reader(const std::string& name) {
  Handle reader(archive_read_new());
  require(reader != nullptr, "{}: the archive reader does not start", name);
  archive_read_support_format_tar(reader.get());
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_xz(reader.get());
  return reader;
}

void check_status(archive* reader, std::int64_t status, const std::string& name) {
  if (status >= ARCHIVE_WARN) return;
  const char* message = archive_error_string(reader);
  fail("{}: broken archive: {}", name, message != nullptr ? message : "damaged data");
}

/// "./a//b.jpg" -> "a/b.jpg"; empty for paths that climb out with "..".
std::string clean_path(const char* raw) {
  const fs::path path = fs::path(raw == nullptr ? "" : raw).relative_path().lexically_normal();
  return !path.empty() && *path.begin() == ".." ? std::string() : path.generic_string();
}

class Indexer {
 public:
  Indexer(archive* reader, std::string name, std::int64_t limit)
      : reader_(reader), name_(std::move(name)), limit_(limit) {}

  Contents run() {
    archive_entry* entry = nullptr;
    for (;;) {
      const int status = archive_read_next_header(reader_, &entry);
      if (status == ARCHIVE_EOF) break;
      check(status);
      take(entry);
      require(++entries_ <= kMaxEntries, "{}: more than {} entries", name_, kMaxEntries);
    }
    contents_.begins.push_back(contents_.bytes.size());
    return std::move(contents_);
  }

 private:
  void check(std::int64_t status) const { check_status(reader_, status, name_); }

  void take(archive_entry* entry) {
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) return;
    const std::string path = clean_path(archive_entry_pathname(entry));
    const std::size_t slash = path.rfind('/');
    const std::string file_name = slash == std::string::npos ? path : path.substr(slash + 1);
    if (file_name.empty() || file_name[0] == '.') return;
    if (file_name == "classes.tsv") {
      contents_.tables[path.substr(0, path.size() - file_name.size())] = read_table();
    } else if (has_picture_extension(file_name)) {
      contents_.paths.push_back(path);
      contents_.begins.push_back(contents_.bytes.size());
      read_picture();
    }
  }

  /// Appends the entry's bytes. Of an entry that does not begin like a picture only the beginning is kept:
  /// enough to name it as broken when it is loaded, too little to fill the memory.
  void read_picture() {
    const std::size_t begin = contents_.bytes.size();
    std::uint8_t block[kReadBlock];
    for (;;) {
      const la_ssize_t got = archive_read_data(reader_, block, sizeof block);
      if (got == 0) return;
      check(got);
      contents_.bytes.insert(contents_.bytes.end(), block, block + std::max<la_ssize_t>(got, 0));
      const Bytes picture(contents_.bytes.data() + begin, contents_.bytes.size() - begin);
      if (!looks_like_jpeg(picture) && !looks_like_png(picture)) {
        contents_.bytes.resize(begin + std::min<std::size_t>(picture.size(), 8));
        return;
      }
      require(picture.size() <= kMaxPictureBytes, "{}: {} is larger than {} MiB", name_,
              contents_.paths.back(), kMaxPictureBytes >> 20);
      require(static_cast<std::int64_t>(contents_.bytes.size()) <= limit_,
              "{}: pictures of more than {} MiB in an archive of this size; unpack it", name_, limit_ >> 20);
    }
  }

  std::string read_table() {
    std::string text;
    char block[4096];
    for (;;) {
      const la_ssize_t got = archive_read_data(reader_, block, sizeof block);
      if (got == 0) return text;
      check(got);
      text.append(block, static_cast<std::size_t>(std::max<la_ssize_t>(got, 0)));
      require(text.size() <= kMaxTableBytes, "{}: classes.tsv is larger than {} MiB", name_,
              kMaxTableBytes >> 20);
    }
  }

  archive* reader_;
  std::string name_;
  std::int64_t limit_;
  std::size_t entries_ = 0;
  Contents contents_;
};

std::unique_ptr<Dataset> build(archive* reader, std::uintmax_t archive_bytes, const std::string& split,
                               const std::string& name) {
  check_split(split, name);
  const std::int64_t limit = kAlwaysAllowed + kMaxExpansion * static_cast<std::int64_t>(archive_bytes);
  Contents contents = Indexer(reader, name, limit).run();
  Tree tree = arrange_tree(contents.paths, split, name);
  if (const auto table = contents.tables.find(tree.root); table != contents.tables.end())
    rename_classes(tree, parse_class_table(table->second, name + ":classes.tsv"));
  contents.bytes.shrink_to_fit();
  return std::make_unique<ArchiveDataset>(name, std::move(contents), std::move(tree));
}

}  // namespace

bool has_archive_extension(const fs::path& path) {
  std::string file_name = path.filename().string();
  std::transform(file_name.begin(), file_name.end(), file_name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* extension : {".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz"})
    if (file_name.ends_with(extension)) return true;
  return false;
}

std::unique_ptr<Dataset> open_archive(const fs::path& path, const std::string& split) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  require(!error, "{}: {}", path.string(), error.message());
  const Handle reader = new_reader(path.string());
  check_status(reader.get(), archive_read_open_filename(reader.get(), path.c_str(), kReadBlock),
               path.string());
  return build(reader.get(), size, split, path.string());
}

std::unique_ptr<Dataset> open_archive_bytes(const std::string& bytes, const std::string& split,
                                            const std::string& name) {
  const Handle reader = new_reader(name);
  check_status(reader.get(), archive_read_open_memory(reader.get(), bytes.data(), bytes.size()), name);
  return build(reader.get(), bytes.size(), split, name);
}

}  // namespace wins::data

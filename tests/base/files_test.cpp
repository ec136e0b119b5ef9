#include "wins/base/files.hpp"

#include <gtest/gtest.h>

#include "wins/base/error.hpp"
#include "wins/base/progress.hpp"

namespace wins {
namespace {

namespace fs = std::filesystem;

TEST(Files, RoundTripLeavesNothingBeside) {
  const fs::path folder = fs::path(testing::TempDir()) / "wins_files_test";
  fs::create_directories(folder);
  const fs::path path = folder / "x.bin";
  write_file_atomically(path, std::string_view("a\0b", 3));
  write_file_atomically(path, "second");
  EXPECT_EQ(read_file(path), "second");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
  EXPECT_THROW(read_file(path, 3), Error);
  EXPECT_THROW(read_file(folder), Error);
  EXPECT_THROW(read_file(folder / "missing"), Error);
  EXPECT_THROW(require_writable(folder), Error);
  EXPECT_THROW(require_writable(folder / "no" / "x"), Error);
  EXPECT_THROW(write_file_atomically(folder / "no" / "x", "y"), Error);
  fs::remove_all(folder);
}

TEST(Files, PiecesShowOnlyWhenCommitted) {
  const fs::path folder = fs::path(testing::TempDir()) / "wins_pieces_test";
  fs::create_directories(folder);
  const fs::path path = folder / "x.bin";
  {
    AtomicFile file(path);
    file.write("never");
  }
  EXPECT_TRUE(fs::is_empty(folder));
  AtomicFile file(path);
  file.write("one ");
  file.write("two");
  file.finish();
  EXPECT_FALSE(fs::exists(path));
  file.commit();
  EXPECT_EQ(read_file(path), "one two");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
  fs::remove_all(folder);
}

TEST(Files, APlaceThatTakesNoFilesIsAnErrorThatNamesThePath) {
  try {
    write_file_atomically("/proc/wins-test", "y");
    FAIL() << "nothing can be written there";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/proc/wins-test"), std::string::npos) << error.what();
  }
}

TEST(Progress, Durations) {
  EXPECT_EQ(format_duration(83), "1:23");
  EXPECT_EQ(format_duration(3723), "1:02:03");
}

}  // namespace
}  // namespace wins

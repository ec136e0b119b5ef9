#include "archive.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixtures.hpp"

namespace wins::data {
namespace {

namespace fs = std::filesystem;
using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ByteVector bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

std::vector<TarEntry> small_set() {
  return {{"./set/classes.tsv", bytes_of("n1\tgoldfish\n")},
          {"./set/train/n2/b.PNG", png_of(noise(3, 4, 3, 2))},
          {"./set/train/n1/a.png", png_of(noise(3, 4, 3, 1))},
          {"./set/train/n1/readme.txt", bytes_of("no picture")},
          {"./set/val/n3/c.jpg", jpeg_of(ramp(8, 8, 3))}};
}

void expect_small_set(const Dataset& train) {
  ASSERT_EQ(train.size(), 2U);
  EXPECT_THAT(train.classes(), ElementsAre("goldfish", "n2", "n3"));
  EXPECT_EQ(train.label(0), 0);
  EXPECT_EQ(train.label(1), 1);
  EXPECT_EQ(train.load(0).pixels, noise(3, 4, 3, 1).pixels);
  EXPECT_EQ(train.load(1).pixels, noise(3, 4, 3, 2).pixels);
  EXPECT_THAT(train.name(1), HasSubstr(":set/train/n2/b.PNG"));
}

TEST(Archive, PlainGzipAndXz) {
  const TempFolder folder;
  expect_small_set(*open_dataset(folder.write("a.tar", tar_of(small_set())), "train"));
  expect_small_set(
      *open_dataset(folder.write("a.tar.gz", tar_of(small_set(), archive_write_add_filter_gzip)), "train"));
  expect_small_set(
      *open_dataset(folder.write("a.TAR.XZ", tar_of(small_set(), archive_write_add_filter_xz)), "train"));
  EXPECT_EQ(open_dataset(folder.path() / "a.tar", "test")->size(), 1U);
}

TEST(Archive, BrokenPicturesAreNamedWhenLoaded) {
  const std::string tar = tar_of(
      {{"c/empty.jpg", {}}, {"c/good.png", png_of(noise(3, 3, 1))}, {"c/text.jpg", bytes_of("hello")}});
  const auto dataset = open_archive_bytes(tar, "train", "t.tar");
  ASSERT_EQ(dataset->size(), 3U);
  EXPECT_THAT(error_of([&] { dataset->load(0); }), HasSubstr("t.tar:c/empty.jpg: empty"));
  EXPECT_EQ(dataset->load(1).channels, 1);
  EXPECT_THAT(error_of([&] { dataset->load(2); }), HasSubstr("t.tar:c/text.jpg: neither"));
}

TEST(Archive, TruncatedAndForeignFilesAreNamed) {
  const TempFolder folder;
  const std::string tar = tar_of({{"c/a.png", png_of(noise(64, 64, 3))}});
  EXPECT_THAT(error_of([&] { open_archive_bytes(tar.substr(0, 3000), "train", "cut.tar"); }),
              HasSubstr("cut.tar: broken archive"));
  const std::string xz = tar_of({{"c/a.png", png_of(noise(64, 64, 3))}}, archive_write_add_filter_xz);
  EXPECT_THAT(error_of([&] { open_archive_bytes(xz.substr(0, xz.size() / 2), "train", "cut.tar.xz"); }),
              HasSubstr("cut.tar.xz: broken archive"));
  const fs::path text = folder.write("text.tar", std::string(2000, 'x'));
  EXPECT_THAT(error_of([&] { open_dataset(text, "train"); }), HasSubstr("text.tar: "));
  const fs::path empty = folder.write("empty.tar", std::string());
  EXPECT_THAT(error_of([&] { open_dataset(empty, "train"); }), HasSubstr("empty.tar: "));
  EXPECT_THAT(error_of([&] {
                open_archive_bytes(tar_of({{"a.txt", bytes_of("x")}}), "train", "n.tar");
              }),
              HasSubstr("n.tar: no pictures"));
}

TEST(Archive, PathsThatClimbOutAreLeftOut) {
  const std::string tar =
      tar_of({{"../../etc/a.png", png_of(noise(3, 3, 1))}, {"/c/b.png", png_of(noise(3, 3, 1))}});
  const auto dataset = open_archive_bytes(tar, "train", "t.tar");
  ASSERT_EQ(dataset->size(), 1U);
  EXPECT_EQ(dataset->name(0), "t.tar:c/b.png");
}

TEST(Archive, ExpansionIsBounded) {
  // Zeros called .jpg cost nothing; zeros behind a picture's first bytes meet the limit.
  const std::string harmless =
      tar_of({{"c/zeros.jpg", ByteVector(std::size_t{96} << 20, 0)}}, archive_write_add_filter_gzip);
  EXPECT_EQ(open_archive_bytes(harmless, "train", "t.tar.gz")->size(), 1U);
  ByteVector zeros(std::size_t{96} << 20, 0);
  const ByteVector start = png_of(noise(3, 3, 1));
  std::copy(start.begin(), start.end(), zeros.begin());
  const std::string bomb = tar_of({{"c/zeros.png", zeros}}, archive_write_add_filter_gzip);
  EXPECT_THAT(error_of([&] { open_archive_bytes(bomb, "train", "bomb.tar.gz"); }),
              HasSubstr("bomb.tar.gz: pictures of more"));
}

}  // namespace
}  // namespace wins::data

#include "wins/data/dataset.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "fixtures.hpp"
#include "idx.hpp"

namespace wins::data {
namespace {

namespace fs = std::filesystem;
using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Two splits of 2 x 3 x 4 pictures.
void write_idx(const TempFolder& folder, bool compressed) {
  ByteVector values;
  for (int i = 0; i < 24; ++i) values.push_back(static_cast<std::uint8_t>(10 * i));
  const auto write = [&](const std::string& name, const ByteVector& bytes) {
    folder.write(name + (compressed ? ".gz" : ""), compressed ? gzip_of(bytes) : bytes);
  };
  write("train-images-idx3-ubyte", idx_of({2, 3, 4}, values));
  write("train-labels-idx1-ubyte", idx_of({2}, {0, 2}));
  write("t10k-images-idx3-ubyte", idx_of({1, 3, 4}, ByteVector(12, 7)));
  write("t10k-labels-idx1-ubyte", idx_of({1}, {1}));
}

TEST(Idx, PlainAndCompressed) {
  for (const bool compressed : {false, true}) {
    const TempFolder folder;
    write_idx(folder, compressed);
    const auto train = open_dataset(folder.path(), "train");
    ASSERT_EQ(train->size(), 2U);
    EXPECT_EQ(train->label(1), 2);
    const Image second = train->load(1);
    EXPECT_EQ(second.height, 3);
    EXPECT_EQ(second.width, 4);
    EXPECT_EQ(second.channels, 1);
    EXPECT_EQ(second.pixels[0], 120);
    EXPECT_THAT(train->name(1), HasSubstr("[1]"));
    EXPECT_THAT(train->classes(), ElementsAre("0", "1", "2"));
    // The number of classes agrees although the test split only uses label 1.
    EXPECT_THAT(open_dataset(folder.path(), "test")->classes(), ElementsAre("0", "1", "2"));
    EXPECT_EQ(open_dataset(folder.path(), "val")->size(), 1U);
    EXPECT_THROW(train->load(2), std::exception);
  }
}

TEST(Idx, NamesComeFromClassesTxt) {
  const TempFolder folder;
  write_idx(folder, true);
  folder.write("classes.txt", std::string("shirt\r\nshoe\nbag\n"));
  EXPECT_THAT(open_dataset(folder.path(), "train")->classes(), ElementsAre("shirt", "shoe", "bag"));
  folder.write("classes.txt", std::string("shirt\nshoe\n"));
  EXPECT_THAT(error_of([&] { open_dataset(folder.path(), "train"); }), HasSubstr("only 2 class names"));
  folder.write("classes.txt", std::string("shirt\n\nbag\n"));
  EXPECT_THAT(error_of([&] { open_dataset(folder.path(), "train"); }), HasSubstr("line 2 is empty"));
}

TEST(Idx, BrokenFilesAreNamed) {
  const auto parse = [](const ByteVector& bytes, std::size_t rank = 3) {
    return error_of([&] { parse_idx(std::string(bytes.begin(), bytes.end()), rank, "x-idx"); });
  };
  const ByteVector values(12, 1);
  EXPECT_THAT(parse({}), HasSubstr("x-idx: not an IDX file"));
  EXPECT_THAT(parse({1, 2, 3, 4, 5}), HasSubstr("not an IDX file"));
  EXPECT_THAT(parse({0, 0, 8, 3, 0}), HasSubstr("truncated IDX header"));
  EXPECT_THAT(parse({0, 0, 13, 3, 0}), HasSubstr("element type 0x0d"));
  EXPECT_THAT(parse(idx_of({3, 4}, values)), HasSubstr("2 dimensions, expected 3"));
  EXPECT_THAT(parse(idx_of({1, 3, 5}, values)), HasSubstr("say 15 bytes, the file holds 12"));
  EXPECT_THAT(parse(idx_of({1, 3, 3}, values)), HasSubstr("say 9 bytes, the file holds 12"));
  EXPECT_THAT(parse(idx_of({0, 3, 3}, {})), HasSubstr("dimension 0 is empty"));
  EXPECT_THAT(parse(idx_of({0xffffffff, 0xffffffff, 0xffffffff}, values)), HasSubstr("overflow"));
  ByteVector packed = gzip_of(idx_of({1, 3, 4}, values));
  packed.resize(packed.size() - 9);
  EXPECT_THAT(parse(packed), HasSubstr("truncated gzip"));
  packed[12] ^= 0xff;
  EXPECT_THAT(parse(packed), HasSubstr("gzip"));
}

TEST(Idx, GzipBombsAreRefused) {
  const ByteVector bomb = gzip_of(ByteVector(std::size_t{192} << 20, 0));
  ASSERT_LT(bomb.size(), std::size_t{1} << 20);
  EXPECT_THAT(error_of([&] { parse_idx(std::string(bomb.begin(), bomb.end()), 3, "bomb.gz"); }),
              HasSubstr("bomb.gz: gzip content larger than"));
}

TEST(Idx, CountsMustAgree) {
  const TempFolder folder;
  write_idx(folder, false);
  folder.write("train-labels-idx1-ubyte", idx_of({3}, {0, 1, 2}));
  EXPECT_THAT(error_of([&] { open_dataset(folder.path(), "train"); }), HasSubstr("2 pictures but 3 labels"));
  fs::remove(folder.path() / "train-labels-idx1-ubyte");
  EXPECT_THAT(error_of([&] { open_dataset(folder.path(), "train"); }),
              HasSubstr("no file train-labels-idx1-ubyte"));
}

TEST(Folder, SplitsAndClasses) {
  const TempFolder folder;
  folder.write("train/cat/1.JPEG", jpeg_of(ramp(4, 5, 3)));
  folder.write("train/ant/2.png", png_of(noise(3, 3, 1)));
  folder.write("train/ant/1.Jpg", jpeg_of(ramp(4, 4, 3)));
  folder.write("train/ant/notes.txt", std::string("x"));
  folder.write("train/ant/._1.jpg", std::string("x"));
  folder.write("val/cat/9.jpeg", jpeg_of(ramp(4, 4, 3)));
  folder.write("val/bee/8.png", png_of(noise(3, 3, 1)));
  const auto train = open_dataset(folder.path(), "train");
  ASSERT_EQ(train->size(), 3U);
  // Classes of all splits together: a class that one split lacks keeps its number.
  EXPECT_THAT(train->classes(), ElementsAre("ant", "bee", "cat"));
  EXPECT_THAT(train->name(0), HasSubstr("train/ant/1.Jpg"));
  EXPECT_EQ(train->label(0), 0);
  EXPECT_EQ(train->label(2), 2);
  EXPECT_EQ(train->load(1).pixels, noise(3, 3, 1).pixels);
  const auto test = open_dataset(folder.path(), "test");  // val stands in
  ASSERT_EQ(test->size(), 2U);
  EXPECT_EQ(test->label(0), 1);
  EXPECT_EQ(test->label(1), 2);
  EXPECT_THAT(error_of([&] { open_dataset(folder.path(), "dev"); }), HasSubstr("unknown split dev"));
  fs::remove_all(folder.path() / "train");
  EXPECT_THAT(error_of([&] { open_dataset(folder.path(), "train"); }),
              HasSubstr("no split train (found: val)"));
}

TEST(Folder, WithoutSplitsAndWithoutClasses) {
  const TempFolder classes;
  classes.write("one/a.png", png_of(noise(2, 2, 3)));
  classes.write("one/b.png", png_of(noise(2, 2, 3)));
  const auto one = open_dataset(classes.path(), "train");  // a single class stays a class
  EXPECT_THAT(one->classes(), ElementsAre("one"));
  EXPECT_EQ(one->label(1), 0);
  const TempFolder loose;
  loose.write("b.png", png_of(noise(2, 2, 3)));
  loose.write("a.png", png_of(noise(2, 2, 3)));
  const auto unlabelled = open_dataset(loose.path(), "train");
  EXPECT_EQ(unlabelled->size(), 2U);
  EXPECT_EQ(unlabelled->label(0), kNoLabel);
  EXPECT_TRUE(unlabelled->classes().empty());
  loose.write("c/a.png", png_of(noise(2, 2, 3)));
  EXPECT_THAT(error_of([&] { open_dataset(loose.path(), "train"); }),
              HasSubstr("2 of 3 pictures lie outside"));
}

TEST(Folder, ReadableNamesFromTheTable) {
  const TempFolder folder;
  folder.write("set/classes.tsv", std::string("n01\tgoldfish, Carassius\nn99\tunused\n"));
  folder.write("set/val/n01/a.png", png_of(noise(2, 2, 3)));
  folder.write("set/val/n02/a.png", png_of(noise(2, 2, 3)));
  for (const char* path : {"", "set", "set/val"})
    EXPECT_THAT(open_dataset(folder.path() / path, "val")->classes(),
                ElementsAre("goldfish, Carassius", "n02"))
        << path;
  folder.write("set/classes.tsv", std::string("n01\tx\nbroken\n"));
  EXPECT_THAT(error_of([&] { open_dataset(folder.path() / "set", "val"); }), HasSubstr("line 2 has no tab"));
}

TEST(Folder, LinksThatLeadUpwardsEnd) {
  const TempFolder folder;
  folder.write("a/x.png", png_of(noise(2, 2, 3)));
  fs::create_directory_symlink("..", folder.path() / "a" / "up");
  EXPECT_EQ(open_dataset(folder.path(), "train")->size(), 1U);
}

TEST(Dataset, BadPathsAreNamed) {
  const TempFolder folder;
  EXPECT_THAT(error_of([&] { open_dataset(folder.path() / "none", "train"); }),
              HasSubstr("none: no such file"));
  EXPECT_THAT(error_of([&] { open_dataset(folder.path(), "train"); }), HasSubstr("no pictures"));
  const fs::path text = folder.write("data.txt", std::string("x"));
  EXPECT_THAT(error_of([&] { open_dataset(text, "train"); }), HasSubstr("neither a folder nor a .tar"));
}

TEST(HoldOut, TakesItsShareOfEachClass) {
  ByteVector labels;
  for (int i = 0; i < 100; ++i) labels.push_back(static_cast<std::uint8_t>(i < 80 ? 0 : i < 99 ? 1 : 2));
  const auto dataset = make_idx_dataset({{100, 1, 1}, ByteVector(100, 0)}, {{100}, labels}, {}, "x");
  const Split split = hold_out(*dataset, 0.1, 5);
  EXPECT_EQ(split.held_out.size(), 8U + 2U);  // the class of one picture stays
  EXPECT_EQ(split.kept.size(), 90U);
  std::set<std::size_t> all(split.kept.begin(), split.kept.end());
  all.insert(split.held_out.begin(), split.held_out.end());
  EXPECT_EQ(all.size(), 100U);
  EXPECT_EQ(hold_out(*dataset, 0.1, 5).held_out, split.held_out);
  EXPECT_NE(hold_out(*dataset, 0.1, 6).held_out, split.held_out);
  EXPECT_TRUE(hold_out(*dataset, 0, 5).held_out.empty());
  EXPECT_THROW(hold_out(*dataset, 1, 5), Error);
  EXPECT_EQ(hold_out(*dataset, 0.001, 5).held_out.size(), 2U);  // at least one of each larger class
  const Subset subset(*dataset, split.held_out);
  EXPECT_EQ(subset.size(), 10U);
  EXPECT_EQ(subset.label(9), 1);
}

}  // namespace
}  // namespace wins::data

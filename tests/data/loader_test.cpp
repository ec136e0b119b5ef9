#include "wins/data/loader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>
#include <thread>

#include "fixtures.hpp"

namespace wins::data {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Picture i is noise of seed i, label i % 3; the ones in `broken` throw.
class FakeDataset : public Dataset {
 public:
  explicit FakeDataset(std::size_t size, std::set<std::size_t> broken = {}, std::string prefix = "fake")
      : size_(size), broken_(std::move(broken)), prefix_(std::move(prefix)) {}
  std::size_t size() const override { return size_; }
  std::int64_t label(std::size_t index) const override { return static_cast<std::int64_t>(index % 3); }
  std::string name(std::size_t index) const override { return prefix_ + std::to_string(index); }
  Image load(std::size_t index) const override {
    ++loads;
    require(broken_.count(index) == 0, "{}: broken on purpose", name(index));
    return noise(10, 12, 3, index);
  }
  const std::vector<std::string>& classes() const override { return classes_; }
  mutable std::atomic<int> loads = 0;

 private:
  std::size_t size_;
  std::set<std::size_t> broken_;
  std::string prefix_;
  std::vector<std::string> classes_{"a", "b", "c"};
};

Preprocess small() {
  Preprocess preprocess;
  preprocess.height = preprocess.width = 8;
  return preprocess;
}

std::vector<Batch> drain(Loader& loader) {
  std::vector<Batch> batches;
  Batch batch;
  while (loader.next(batch)) batches.push_back(batch);
  return batches;
}

LoaderOptions training_options(int threads) {
  LoaderOptions options;
  options.batch_size = 7;
  options.shuffle = true;
  options.seed = 3;
  options.threads = threads;
  options.augment.flip = true;
  options.augment.pad_crop = 2;
  options.augment.cutout = 3;
  return options;
}

bool same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].indices != b[i].indices || a[i].labels != b[i].labels) return false;
    if (max_abs_difference(a[i].images, b[i].images) != 0) return false;
  }
  return true;
}

TEST(Loader, EvaluationOrderAndContent) {
  const FakeDataset dataset(10);
  LoaderOptions options;
  options.batch_size = 4;
  Loader loader(dataset, small(), options);
  EXPECT_EQ(loader.batches(), 3);
  const auto batches = drain(loader);
  ASSERT_EQ(batches.size(), 3U);
  EXPECT_THAT(batches[1].indices, ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(batches[1].labels, ElementsAre(1, 2, 0, 1));
  EXPECT_EQ(batches[2].images.shape(), (Shape{2, 3, 8, 8}));
  const Tensor wanted = small().apply(dataset.load(9));
  const auto got = batches[2].images.data<float>();
  for (std::size_t i = 0; i < 192; ++i) EXPECT_EQ(got[192 + i], wanted.data<float>()[i]);
  options.drop_last = true;
  Loader dropping(dataset, small(), options);
  EXPECT_EQ(dropping.batches(), 2);
  EXPECT_EQ(drain(dropping).size(), 2U);
}

TEST(Loader, DoesNotDependOnTheThreads) {
  const FakeDataset dataset(50, {3, 17, 18});
  Loader one(dataset, small(), training_options(1));
  const auto wanted = drain(one);
  for (const int threads : {2, 5, 16}) {
    Loader many(dataset, small(), training_options(threads));
    EXPECT_TRUE(same(drain(many), wanted)) << threads;
    EXPECT_EQ(many.broken(), 3);
  }
  auto options = training_options(2);
  options.epoch = 1;
  Loader next_epoch(dataset, small(), options);
  EXPECT_FALSE(same(drain(next_epoch), wanted));
}

TEST(Loader, ShufflesEveryPictureOnce) {
  const FakeDataset dataset(50);
  Loader loader(dataset, small(), training_options(2));
  std::vector<std::size_t> seen;
  for (const Batch& batch : drain(loader))
    seen.insert(seen.end(), batch.indices.begin(), batch.indices.end());
  EXPECT_FALSE(std::is_sorted(seen.begin(), seen.end()));
  std::sort(seen.begin(), seen.end());
  std::vector<std::size_t> all(50);
  std::iota(all.begin(), all.end(), std::size_t{0});
  EXPECT_EQ(seen, all);
}

TEST(Loader, ResumesInTheMiddleOfAnEpoch) {
  const FakeDataset dataset(50);
  Loader whole(dataset, small(), training_options(2));
  auto batches = drain(whole);
  auto options = training_options(3);
  options.first_batch = 5;
  Loader rest(dataset, small(), options);
  batches.erase(batches.begin(), batches.begin() + 5);
  EXPECT_TRUE(same(drain(rest), batches));
  options.first_batch = 99;
  Loader beyond(dataset, small(), options);
  EXPECT_TRUE(drain(beyond).empty());
}

TEST(Loader, BrokenPicturesAreReplacedInTrainingAndLeftOutOtherwise) {
  const FakeDataset dataset(9, {1, 4, 5});
  LoaderOptions options;
  options.batch_size = 3;
  ::testing::internal::CaptureStderr();
  Loader evaluation(dataset, small(), options);
  const auto batches = drain(evaluation);
  const std::string warnings = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(warnings, HasSubstr("fake4: broken on purpose"));
  ASSERT_EQ(batches.size(), 3U);
  EXPECT_THAT(batches[0].indices, ElementsAre(0, 2));
  EXPECT_THAT(batches[1].indices, ElementsAre(3));
  EXPECT_EQ(batches[1].images.shape(), (Shape{1, 3, 8, 8}));
  EXPECT_EQ(max_abs_difference(batches[1].images, small().apply(dataset.load(3)).reshaped({1, 3, 8, 8})), 0);
  EXPECT_EQ(evaluation.broken(), 3);
  options.shuffle = true;
  Loader training(dataset, small(), options);
  std::size_t count = 0;
  for (const Batch& batch : drain(training)) {
    count += batch.indices.size();
    for (const std::size_t index : batch.indices)
      EXPECT_EQ(std::set<std::size_t>({1, 4, 5}).count(index), 0U);
  }
  EXPECT_EQ(count, 9U);
}

TEST(Loader, EveryPictureBrokenIsAnError) {
  const FakeDataset dataset(4, {0, 1, 2, 3}, "bad");
  for (const bool shuffle : {false, true}) {
    LoaderOptions options;
    options.shuffle = shuffle;
    Loader loader(dataset, small(), options);
    EXPECT_THAT(error_of([&] { drain(loader); }), HasSubstr("every picture is broken (4), the first: bad"));
  }
}

TEST(Loader, OtherExceptionsReachTheCaller) {
  class Failing : public FakeDataset {
   public:
    Failing() : FakeDataset(5) {}
    Image load(std::size_t) const override { throw std::bad_alloc(); }
  } const dataset;
  Loader loader(dataset, small(), {});
  Batch batch;
  EXPECT_THROW(loader.next(batch), std::bad_alloc);
}

TEST(Loader, QueueIsBoundedAndStopsEarly) {
  const FakeDataset dataset(1000);
  LoaderOptions options;
  options.batch_size = 10;
  options.threads = 2;
  {
    Loader loader(dataset, small(), options);
    Batch batch;
    ASSERT_TRUE(loader.next(batch));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_LE(dataset.loads, 40);  // the one delivered, two in the queue and one more
  }
  EXPECT_LE(dataset.loads, 40);
}

TEST(Loader, OptionsOutOfRangeAreErrors) {
  const FakeDataset dataset(4);
  LoaderOptions options;
  options.batch_size = 0;
  EXPECT_THROW(Loader(dataset, small(), options), Error);
  options.batch_size = std::int64_t{1} << 60;  // no more memory than the set needs
  EXPECT_EQ(Loader(dataset, small(), options).batches(), 1);
  options.augment.random_resized = 2;
  EXPECT_THROW(Loader(dataset, small(), options), Error);
  EXPECT_THROW(Loader(FakeDataset(0), small(), {}), Error);
  EXPECT_THROW(Loader(dataset, Preprocess(), {}), Error);
}

}  // namespace
}  // namespace wins::data

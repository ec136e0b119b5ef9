#include "checkpoint.hpp"

#include <gtest/gtest.h>

#include <random>

#include "wins/base/error.hpp"

namespace wins::training {
namespace {

Checkpoint sample() {
  Checkpoint checkpoint;
  checkpoint.options = {{"--lr", "0.1"}, {"--seed", "3"}};
  checkpoint.numbers = {{"step", 17}, {"loss sum", 0.1}};
  checkpoint.tensors["weight/a"] = random_normal({3, 0, 2}, 1);
  checkpoint.tensors["weight/b"] = random_normal({4, 5}, 2);
  checkpoint.tensors["flag"] = Tensor::scalar(true);
  return checkpoint;
}

TEST(Checkpoint, RoundTrips) {
  const Checkpoint read = decode_checkpoint(encode_checkpoint(sample()), "test");
  EXPECT_EQ(read.options, sample().options);
  EXPECT_EQ(read.numbers, sample().numbers);
  ASSERT_EQ(read.tensors.size(), 3U);
  for (const auto& [name, tensor] : sample().tensors) {
    EXPECT_EQ(read.tensors.at(name).shape(), tensor.shape());
    EXPECT_EQ(max_abs_difference(read.tensors.at(name).cast(DType::f32), tensor.cast(DType::f32)), 0);
  }
}

TEST(Checkpoint, EveryTruncationIsAnError) {
  const std::string bytes = encode_checkpoint(sample());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(decode_checkpoint(std::string_view(bytes).substr(0, size), "test"), Error) << size;
  }
}

TEST(Checkpoint, EveryFlippedByteIsAnError) {
  const std::string bytes = encode_checkpoint(sample());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string broken = bytes;
    broken[i] = static_cast<char>(broken[i] ^ 0x41);
    EXPECT_THROW(decode_checkpoint(broken, "test"), Error) << i;
  }
}

TEST(Checkpoint, ADifferentOptionIsNamed) {
  auto options = sample().options;
  EXPECT_NO_THROW(require_same_options(sample(), options, "file"));
  options["--lr"] = "0.2";
  try {
    require_same_options(sample(), options, "file");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "checkpoint 'file' cannot be resumed: --lr was 0.1, is 0.2 now");
  }
}

TEST(Checkpoint, MissingFilesAreNamed) {
  try {
    load_checkpoint("/nonexistent/x.ckpt");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/nonexistent/x.ckpt"), std::string::npos);
  }
}

}  // namespace
}  // namespace wins::training

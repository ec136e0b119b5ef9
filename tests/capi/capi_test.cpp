// The C interface from the outside: results, shapes, errors, NULL everywhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vector>

#include "runtime/networks.hpp"
#include "wins/capi/wins.h"
#include "wins/onnx/onnx.hpp"
#include "wins/runtime/session.hpp"

namespace wins {
namespace {

using testing::HasSubstr;

class CApi : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "wins_capi_" + std::to_string(::getpid());
    std::filesystem::create_directories(folder_);
    path_ = folder_ + "/small.onnx";
    onnx::save(runtime::small_network(), path_);
    ASSERT_EQ(wins_open(path_.c_str(), "backend=ref,threads=1", &model_), WINS_OK) << wins_last_error();
  }
  void TearDown() override {
    wins_free(model_);
    std::filesystem::remove_all(folder_);
  }

  static wins_tensor picture(const Tensor& tensor) {
    wins_tensor view{};
    view.data = const_cast<std::byte*>(tensor.bytes());
    view.bytes = tensor.byte_size();
    view.dtype = WINS_F32;
    view.rank = 4;
    std::copy(tensor.shape().begin(), tensor.shape().end(), view.shape);
    return view;
  }

  std::string folder_, path_;
  wins_model* model_ = nullptr;
};

TEST_F(CApi, Describes) {
  EXPECT_GE(wins_abi(), 1);
  EXPECT_GT(std::string(wins_version()).size(), 2U);
  ASSERT_EQ(wins_input_count(model_), 1U);
  ASSERT_EQ(wins_output_count(model_), 1U);
  EXPECT_STREQ(wins_input_name(model_, 0), "image");
  EXPECT_NE(wins_output_name(model_, 0), nullptr);
  EXPECT_EQ(wins_input_name(model_, 1), nullptr);
  wins_tensor info;
  ASSERT_EQ(wins_describe_input(model_, 0, &info), WINS_OK);
  EXPECT_EQ(info.dtype, WINS_F32);
  ASSERT_EQ(info.rank, 4);
  EXPECT_EQ(info.shape[0], -1);
  EXPECT_EQ(info.shape[1], 3);
  ASSERT_EQ(wins_describe_output(model_, 0, &info), WINS_OK);
  EXPECT_EQ(info.rank, 2);
  EXPECT_EQ(info.shape[1], 5);
}

TEST_F(CApi, RunsLikeTheSession) {
  const Tensor x = random_normal({2, 3, 6, 7}, 9);
  const wins_tensor input = picture(x);
  wins_tensor output{};
  ASSERT_EQ(wins_output_shapes(model_, &input, 1, &output, 1), WINS_OK) << wins_last_error();
  EXPECT_EQ(output.rank, 2);
  EXPECT_EQ(output.shape[0], 2);
  EXPECT_EQ(output.bytes, 2U * 5U * sizeof(float));
  std::vector<float> values(10);
  output.data = values.data();
  ASSERT_EQ(wins_run(model_, &input, 1, &output, 1), WINS_OK) << wins_last_error();
  runtime::SessionOptions options;
  options.backend = "ref";
  const Tensor wanted = runtime::Session::open(runtime::small_network(), options).run({x})[0];
  EXPECT_LE(relative_l2(Tensor::of({2, 5}, values), wanted), 1e-6);
  const char* plan = wins_plan_text(model_, &input, 1);
  ASSERT_NE(plan, nullptr);
  EXPECT_THAT(plan, HasSubstr("ref:conv"));
}

TEST_F(CApi, RunsOnTheCpuBackend) {
  wins_model* fast = nullptr;
  ASSERT_EQ(wins_open(path_.c_str(), nullptr, &fast), WINS_OK) << wins_last_error();
  const Tensor x = random_normal({1, 3, 8, 8}, 9);
  const wins_tensor input = picture(x);
  std::vector<float> a(5), b(5);
  wins_tensor output{};
  output.bytes = 20;
  output.data = a.data();
  EXPECT_EQ(wins_run(model_, &input, 1, &output, 1), WINS_OK);
  output.data = b.data();
  EXPECT_EQ(wins_run(fast, &input, 1, &output, 1), WINS_OK) << wins_last_error();
  EXPECT_LE(relative_l2(Tensor::of({5}, b), Tensor::of({5}, a)), 1e-5);
  wins_free(fast);
}

TEST_F(CApi, TakesMemoryAtAnyAddress) {
  wins_model* fast = nullptr;
  ASSERT_EQ(wins_open(path_.c_str(), nullptr, &fast), WINS_OK) << wins_last_error();
  const Tensor x = random_normal({1, 3, 9, 7}, 9);
  std::vector<std::byte> expected;
  for (const std::size_t offset : {0, 1, 4, 12, 20, 33, 60}) {
    std::vector<std::byte> from(x.byte_size() + 64), to(20 + 64);
    std::copy(x.bytes(), x.bytes() + x.byte_size(), from.begin() + static_cast<std::ptrdiff_t>(offset));
    wins_tensor input = picture(x), output{};
    input.data = from.data() + offset;
    output.data = to.data() + offset;
    output.bytes = 20;
    ASSERT_EQ(wins_run(fast, &input, 1, &output, 1), WINS_OK) << wins_last_error();
    const auto begin = to.begin() + static_cast<std::ptrdiff_t>(offset);
    const std::vector<std::byte> result(begin, begin + 20);
    if (expected.empty()) expected = result;
    EXPECT_EQ(result, expected) << offset;
  }
  wins_free(fast);
}

TEST_F(CApi, ErrorsNameTheCause) {
  wins_model* other = nullptr;
  EXPECT_EQ(wins_open((folder_ + "/none.onnx").c_str(), nullptr, &other), WINS_ERROR);
  EXPECT_EQ(other, nullptr);
  EXPECT_THAT(wins_last_error(), HasSubstr("none.onnx"));
  for (const auto& [options, part] : std::vector<std::pair<const char*, const char*>>{
           {"backend=tpu", "tpu"}, {"threads=two", "'two' is not a number"}, {"speed=9", "unknown option 'speed'"},
           {"threads", "not key=value"}, {"threads=1,threads=2", "stands twice"}, {"threads=-4", "threads"}}) {
    EXPECT_EQ(wins_open(path_.c_str(), options, &other), WINS_ERROR) << options;
    EXPECT_THAT(wins_last_error(), HasSubstr(part));
  }
}

TEST_F(CApi, TuningKeepsItsTimesInTheFile) {
  const std::string cache = folder_ + "/tuning.txt";
  wins_model* tuned = nullptr;
  ASSERT_EQ(wins_open(path_.c_str(), ("threads=1,tune=1,tune_cache=" + cache).c_str(), &tuned), WINS_OK) << wins_last_error();
  EXPECT_TRUE(std::filesystem::exists(cache));
  wins_free(tuned);
  EXPECT_EQ(wins_open(path_.c_str(), "tune=yes", &tuned), WINS_ERROR);
  EXPECT_THAT(wins_last_error(), HasSubstr("'tune'"));
}

TEST_F(CApi, NullIsAnError) {
  const Tensor x = random_normal({1, 3, 8, 8}, 9);
  wins_tensor input = picture(x);
  std::vector<float> values(5);
  wins_tensor output{};
  output.data = values.data();
  output.bytes = 20;
  wins_model* other = nullptr;
  EXPECT_EQ(wins_open(nullptr, nullptr, &other), WINS_ERROR);
  EXPECT_EQ(wins_open(path_.c_str(), nullptr, nullptr), WINS_ERROR);
  EXPECT_EQ(wins_run(nullptr, &input, 1, &output, 1), WINS_ERROR);
  EXPECT_STREQ(wins_last_error(), "model is NULL");
  EXPECT_EQ(wins_run(model_, nullptr, 1, &output, 1), WINS_ERROR);
  EXPECT_EQ(wins_run(model_, &input, 1, nullptr, 1), WINS_ERROR);
  EXPECT_EQ(wins_run(model_, nullptr, 0, &output, 1), WINS_ERROR);
  EXPECT_EQ(wins_output_shapes(nullptr, &input, 1, &output, 1), WINS_ERROR);
  EXPECT_EQ(wins_output_shapes(model_, nullptr, 1, &output, 1), WINS_ERROR);
  EXPECT_EQ(wins_describe_input(nullptr, 0, &output), WINS_ERROR);
  EXPECT_EQ(wins_describe_input(model_, 0, nullptr), WINS_ERROR);
  EXPECT_EQ(wins_describe_output(model_, 7, &output), WINS_ERROR);
  EXPECT_EQ(wins_plan_text(nullptr, &input, 1), nullptr);
  EXPECT_EQ(wins_input_count(nullptr), 0U);
  EXPECT_EQ(wins_input_name(nullptr, 0), nullptr);
  wins_free(nullptr);
}

TEST_F(CApi, WrongTensorsAreErrors) {
  const Tensor x = random_normal({1, 3, 8, 8}, 9);
  std::vector<float> values(5);
  const auto run = [&](auto change) {
    wins_tensor input = picture(x);
    wins_tensor output{};
    output.data = values.data();
    output.bytes = 20;
    change(input, output);
    return wins_run(model_, &input, 1, &output, 1) == WINS_OK ? std::string() : std::string(wins_last_error());
  };
  EXPECT_EQ(run([](wins_tensor&, wins_tensor&) {}), "");
  EXPECT_THAT(run([](wins_tensor& in, wins_tensor&) { in.data = nullptr; }), HasSubstr("data is NULL"));
  EXPECT_THAT(run([](wins_tensor& in, wins_tensor&) { in.bytes -= 1; }), HasSubstr("too few"));
  EXPECT_THAT(run([](wins_tensor& in, wins_tensor&) { in.rank = 9; }), HasSubstr("rank 9"));
  EXPECT_THAT(run([](wins_tensor& in, wins_tensor&) { in.rank = -1; }), HasSubstr("rank -1"));
  EXPECT_THAT(run([](wins_tensor& in, wins_tensor&) { in.dtype = 77; }), HasSubstr("unknown dtype 77"));
  EXPECT_NE(run([](wins_tensor& in, wins_tensor&) { in.shape[0] = -5; }), "");
  EXPECT_NE(run([](wins_tensor& in, wins_tensor&) { in.shape[0] = std::int64_t{1} << 60; }), "");
  EXPECT_THAT(run([](wins_tensor& in, wins_tensor&) { in.shape[1] = 1; }), HasSubstr("input 'image'"));
  EXPECT_THAT(run([](wins_tensor&, wins_tensor& out) { out.bytes = 19; }), HasSubstr("too few"));
  EXPECT_THAT(run([](wins_tensor&, wins_tensor& out) { out.data = nullptr; }), HasSubstr("output 0: data is NULL"));
}

TEST_F(CApi, LastErrorIsPerThread) {
  EXPECT_EQ(wins_open(nullptr, nullptr, nullptr), WINS_ERROR);
  std::string other = "unset";
  std::thread([&] { other = wins_last_error(); }).join();
  EXPECT_EQ(other, "");
  EXPECT_STRNE(wins_last_error(), "");
}

TEST(CApiHeader, IsPlainC) {
  const std::string header = std::string(WINS_SOURCE_DIR) + "/src/capi/include/wins/capi/wins.h";
  EXPECT_EQ(std::system(("cc -x c -std=c99 -Wall -Wextra -Wpedantic -Werror -fsyntax-only " + header).c_str()), 0);
}

}  // namespace
}  // namespace wins

// A run that is killed at random moments and resumed ends bit-equal to one that was not.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <random>
#include <thread>

#include "checkpoint.hpp"
#include "synthetic.hpp"
#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/training/training.hpp"

namespace wins::training {
namespace {

namespace fs = std::filesystem;

TrainOptions run_options(const fs::path& folder) {
  TrainOptions options;
  options.threads = 2;
  options.max_steps = 60;
  options.batch_size = 16;
  options.optimizer = "adamw";  // the one with more state to carry over
  options.learning_rate = 0.005;
  options.held_out = 0.2;
  options.patience = 100;
  options.recalibrate_batches = 2;
  options.distill_weight = 0.3;
  options.augment.flip = true;
  options.augment.pad_crop = 1;
  options.checkpoint = folder / "run.ckpt";
  options.checkpoint_steps = 1;
  options.resume = true;
  return options;
}

/// Every weight of the result, in one checkpoint file.
void run_to_end(const fs::path& folder, bool slowly) {
  const Squares dataset(160);
  const graph::Graph teacher = small_network();
  const StepCallback pause = [&](std::int64_t, std::int64_t, double) {
    if (slowly) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  const TrainResult result = train(pruned(teacher, winograd::Axis::row, 3), dataset, Squares::preprocess(),
                                   run_options(folder), &teacher, pause);
  Checkpoint weights;
  for (const graph::Value& value : result.graph.values) {
    if (value.constant) weights.tensors[value.name] = *value.constant;
  }
  for (std::size_t i = 0; i < result.epochs.size(); ++i) {
    weights.numbers["loss" + std::to_string(i)] = result.epochs[i].loss;
    weights.numbers["accuracy" + std::to_string(i)] = result.epochs[i].held_out_accuracy;
  }
  save_checkpoint(weights, folder / "weights");
}

// The other end of the tests below: a process of its own.
TEST(ResumeChild, Trains) {
  const char* folder = getenv("WINS_RESUME_FOLDER");
  if (folder == nullptr) GTEST_SKIP() << "runs as the child of Resume";
  run_to_end(folder, true);
}

pid_t start_child(const fs::path& folder) {
  const pid_t child = fork();
  if (child != 0) return child;
  setenv("WINS_RESUME_FOLDER", folder.c_str(), 1);
  const int nothing = open("/dev/null", O_WRONLY);
  dup2(nothing, 1);
  execl("/proc/self/exe", "test", "--gtest_filter=ResumeChild.Trains", static_cast<char*>(nullptr));
  _exit(127);
}

/// True when the child ended by itself.
bool wait_for(pid_t child, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  int status = 0;
  while (std::chrono::steady_clock::now() < end) {
    if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class Resume : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/wins-resume-XXXXXX";
    folder_ = mkdtemp(pattern);
    fs::create_directory(folder_ / "whole");
    fs::create_directory(folder_ / "killed");
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST_F(Resume, AfterKillsTheWeightsAreBitEqual) {
  ASSERT_TRUE(wait_for(start_child(folder_ / "whole"), std::chrono::minutes(5)));
  std::mt19937 random(std::random_device{}());
  int kills = 0;
  double last = -1;
  // Each child is left to pass at least one more checkpoint, then killed at any moment.
  for (; kills < 5 && !fs::exists(folder_ / "killed" / "weights"); ++kills) {
    const pid_t child = start_child(folder_ / "killed");
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    const fs::path file = folder_ / "killed" / "run.ckpt";
    while (std::chrono::steady_clock::now() < end) {
      if (fs::exists(file) && load_checkpoint(file).numbers.at("step") > last) break;
      if (fs::exists(folder_ / "killed" / "weights")) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    wait_for(child, std::chrono::milliseconds(random() % 120));
    ASSERT_TRUE(fs::exists(file));
    last = load_checkpoint(file).numbers.at("step");
  }
  EXPECT_GT(kills, 1);
  ASSERT_TRUE(wait_for(start_child(folder_ / "killed"), std::chrono::minutes(5)));
  EXPECT_EQ(read_file(folder_ / "whole" / "weights"), read_file(folder_ / "killed" / "weights"));
}

TEST_F(Resume, AFinishedRunIsReturnedAsItIs) {
  run_to_end(folder_ / "whole", false);
  const std::string first = read_file(folder_ / "whole" / "weights");
  run_to_end(folder_ / "whole", false);
  EXPECT_EQ(first, read_file(folder_ / "whole" / "weights"));
}

TEST_F(Resume, ContradictoryOptionsAreNamed) {
  run_to_end(folder_ / "whole", false);
  TrainOptions options = run_options(folder_ / "whole");
  options.learning_rate = 0.01;
  const graph::Graph teacher = small_network();
  try {
    train(pruned(teacher, winograd::Axis::row, 3), Squares(160), Squares::preprocess(), options, &teacher);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("--lr was 0.005, is 0.01 now"), std::string::npos)
        << error.what();
  }
  write_file_atomically(options.checkpoint, "rubbish");
  EXPECT_THROW(train(pruned(teacher, winograd::Axis::row, 3), Squares(160), Squares::preprocess(),
                     run_options(folder_ / "whole"), &teacher),
               Error);
}

}  // namespace
}  // namespace wins::training

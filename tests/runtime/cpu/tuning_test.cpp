// Tuning: what is measured, what is decided by it, and what happens to the file of times.
#include "tuner.hpp"

#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <thread>

#include "compile.hpp"
#include "harness.hpp"
#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/runtime/verify.hpp"

namespace wins::runtime::cpu {
namespace {

namespace fs = std::filesystem;

/// A folder of this test alone.
class Tuning : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / ("wins-tuning-" + std::to_string(getpid()) + "-" + test->name());
    fs::create_directories(folder_);
    file_ = folder_ / "tuning.txt";
  }
  void TearDown() override { fs::remove_all(folder_); }

  SessionOptions options(int threads = 2) const {
    SessionOptions options;
    options.threads = threads;
    options.tune = true;
    options.tune_cache = file_.string();
    return options;
  }

  /// Makes the file say that another kernel than that of `line` is by far the fastest; its name.
  std::string prefer_another(const LayerPlan& line) const {
    TuningTable table = read_tuning(file_);
    std::string machine = table.text().substr(table.text().find("machine\t") + 8);
    machine.resize(machine.find('\n'));
    const TuningTable::Times times = *table.find(machine, line.problem);
    std::string wanted;
    for (const auto& [choice, us] : times) {
      table.set(machine, line.problem, choice, 1e6);
      if (split_choice(choice).first != split_choice(line.choice).first) wanted = choice;
    }
    table.set(machine, line.problem, wanted, 1);
    write_file_atomically(file_, table.text());
    return wanted;
  }

  fs::path folder_, file_;
};

struct Layer {
  std::int64_t channels, outputs, height;
  std::int64_t kernel = 3;
};

/// Convolutions side by side, each with an input of its own.
graph::Graph convolutions(const std::vector<Layer>& layers) {
  graph::Graph graph;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto [channels, outputs, height, kernel] = layers[i];
    const std::string n = std::to_string(i);
    const auto x = graph.add_value("x" + n, DType::f32, Shape{1, channels, height, height});
    graph.inputs.push_back(x);
    graph::Conv conv;
    conv.window.kernel = {kernel, kernel};
    conv.window.pads.fill(kernel / 2);
    const auto w = graph.add_constant("w" + n, random_normal({outputs, channels, kernel, kernel}, i, 0.05F));
    graph.outputs.push_back(graph.add_node("conv" + n, conv, {x, w}));
  }
  return graph;
}

graph::Graph specialised(const graph::Graph& graph) {
  std::vector<Shape> shapes;
  for (const auto id : graph.inputs) shapes.push_back(graph.value(id).shape.value());
  return graph::specialize(graph, shapes);
}

/// What the compiler and the tuner work on, with a machine of our own.
struct Bench {
  explicit Bench(const graph::Graph& given, SessionOptions wanted, const Machine& model = machine(winograd_kernels().lanes))
      : graph(specialised(given)), options(std::move(wanted)), machine_model(model) {}

  Environment environment() {
    const WinogradKernels& kernels = winograd_kernels();
    return {graph, options, options.threads, std::max(8, kernels.lanes), kernels, machine_model, weights};
  }

  /// Measures with a clock that advances by so many seconds whenever it is read. A clock that stands
  /// lets everything be measured, however busy the machine is.
  void tune(double seconds_a_reading = 0) {
    const Environment env = environment();
    double now = 0;
    Tuner(env, weights.decisions(), [&] { return now += seconds_a_reading; }).tune(problems(env));
  }

  LayerPlan line(const std::string& node) {
    for (const LayerPlan& layer : compile_program(environment()).plan.layers) {
      if (layer.node == node) return layer;
    }
    throw std::runtime_error("no layer " + node);
  }

  std::vector<Problem> problems(const Environment& env) const {
    std::vector<Problem> result;
    const auto pitches = [&](const std::vector<graph::ValueId>& ids) {
      std::vector<std::int64_t> all;
      for (const graph::ValueId id : ids) all.push_back(id == graph::kNone ? 0 : image_count(*graph.value(id).shape, env.block));
      return all;
    };
    for (const graph::Node& node : graph.nodes) {
      result.push_back({env, node, std::vector<Layout>(node.inputs.size()), pitches(node.inputs), pitches(node.outputs), {}, nullptr, {}});
    }
    return result;
  }

  graph::Graph graph;
  SessionOptions options;
  Machine machine_model;
  WeightStore weights;
};

/// Nothing costs anything but starting threads: all kernels look alike, and the first listed is chosen.
Machine blind_machine() {
  Machine model = machine(winograd_kernels().lanes);
  model.flops_per_us = 1e300;
  model.bytes_per_us = 1e300;
  return model;
}

/// Of this thread: on a busy machine it waits in between for as long as others like, which neither a
/// budget nor a test can bound.
double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::size_t times_in(const fs::path& file) {
  const std::string text = fs::exists(file) ? read_file(file) : "";
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\t') / 2);
}

TEST_F(Tuning, CorrectsAWrongPrediction) {
  // Two by two pixels: one tile of F(6,3) in sixteen lanes, 64 positions of 256 x 256 weights.
  // F(2,3) and the direct kernel do a tenth of that, and one thread waits for no other.
  const graph::Graph graph = convolutions({{256, 256, 2}});
  Bench wrong(graph, options(1), blind_machine());
  wrong.options.tune = false;
  EXPECT_TRUE(wrong.line("conv0").kernel.starts_with("cpu:winograd_f6_rows"));
  Bench tuned(graph, options(1), blind_machine());
  tuned.tune();
  const LayerPlan line = tuned.line("conv0");
  EXPECT_TRUE(line.kernel.starts_with("cpu:direct") || line.kernel.starts_with("cpu:winograd_f2_rows")) << line.kernel;
  EXPECT_GT(line.tuned_us, 0);
  const auto other = std::find_if(line.refused.begin(), line.refused.end(), [](const auto& entry) {
    return entry.first.starts_with("cpu:winograd_f6_rows/");
  });
  ASSERT_NE(other, line.refused.end());
  EXPECT_TRUE(other->second.starts_with("measured ")) << other->second;
  const std::string text = compile_program(tuned.environment()).plan.text();
  EXPECT_NE(text.find("tuned " + line.choice + ": measured "), std::string::npos) << text;
}

TEST_F(Tuning, TakesTimesFromTheFile) {
  const graph::Graph graph = convolutions({{64, 64, 14}});
  Bench first(graph, options());
  first.tune();
  const LayerPlan measured = first.line("conv0");
  ASSERT_GT(times_in(file_), 1U);
  const std::string wanted = prefer_another(measured);
  Bench second(graph, options());
  second.tune();
  EXPECT_EQ(second.line("conv0").choice, wanted);
  EXPECT_EQ(second.line("conv0").tuned_us, 1);
  // What the first session decided it keeps, whatever the file says by now.
  EXPECT_EQ(first.line("conv0").choice, measured.choice);
}

TEST_F(Tuning, ASlowClockEndsIt) {
  Bench bench(convolutions({{64, 64, 14}, {32, 64, 14}, {64, 32, 14}}), options());
  bench.tune(0.2);
  // The deadline is set, the first candidate begins and is timed, and little more.
  EXPECT_LE(times_in(file_), 2U);
  ASSERT_EQ(bench.weights.decisions().by_problem.size(), 3U);
  std::size_t undecided = 0;
  for (const auto& [problem, decision] : bench.weights.decisions().by_problem) undecided += decision.choice.empty();
  EXPECT_GE(undecided, 2U);
}

TEST_F(Tuning, TheNextOpeningGoesOn) {
  std::vector<Layer> layers;
  for (std::int64_t i = 0; i < 10; ++i) layers.push_back({16 + i, 16, 14});
  const graph::Graph graph = convolutions(layers);
  std::size_t before = 0;
  for (int opening = 0; opening < 3; ++opening) {
    Bench bench(graph, options());
    bench.tune(0.02);
    EXPECT_GT(times_in(file_), before);
    before = times_in(file_);
  }
  Bench rest(graph, options());
  rest.tune();
  EXPECT_GT(times_in(file_), before);
  for (const auto& [problem, decision] : rest.weights.decisions().by_problem) EXPECT_FALSE(decision.choice.empty());
}

TEST_F(Tuning, LargestLayersComeFirst) {
  Bench bench(convolutions({{8, 8, 7}, {128, 128, 28}, {16, 16, 7}}), options());
  bench.tune(0.1);
  for (const auto& [problem, decision] : bench.weights.decisions().by_problem) {
    EXPECT_EQ(!decision.choice.empty(), problem.starts_with("mb1ic128")) << problem;
  }
}

TEST_F(Tuning, ManyLayersStayWithinASecond) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "one more run of an instrumented kernel may take long";
#endif
  std::vector<Layer> layers;
  for (std::int64_t i = 0; i < 40; ++i) layers.push_back({96 + i, 96, 28});
  const graph::Graph graph = convolutions(layers);
  const auto seconds = [&](bool tune) {
    Bench bench(graph, options(1));
    bench.options.tune = tune;
    const double start = processor_seconds();
    compile_program(bench.environment());
    return processor_seconds() - start;
  };
  const double without = std::min(seconds(false), seconds(false));
  const double added = seconds(true) - without;
  RecordProperty("added_seconds", std::to_string(added));
  EXPECT_LT(added, 1.0);
}

TEST_F(Tuning, SessionsAtOnceLeaveAllTimes) {
  const std::vector<Layer> layers{{64, 64, 14}, {32, 64, 14}, {64, 32, 14}, {48, 48, 14, 1}};
  std::vector<std::thread> sessions;
  for (const Layer& layer : layers) {
    sessions.emplace_back([&, layer] {
      Bench(convolutions({layer}), options(1)).tune();
    });
  }
  for (std::thread& session : sessions) session.join();
  const std::string text = read_file(file_);
  EXPECT_NO_THROW(TuningTable::parse(text));
  for (const char* problem : {"mb1ic64ih14oc64oh14kh3ph1", "mb1ic32ih14oc64oh14kh3ph1", "mb1ic64ih14oc32oh14kh3ph1",
                              "mb1ic48ih14oc48oh14kh1"}) {
    EXPECT_NE(text.find("\t" + std::string(problem) + "\n"), std::string::npos) << problem;
  }
}

TEST_F(Tuning, ADamagedOrForeignFileIsLeftAndNamed) {
  for (const char* text : {"something else", "wins tuning 1\n12\tcpu:direct", "wins tuning 1\nmachine\tm\nx\ty\tz\n", ""}) {
    write_file_atomically(file_, text);
    Bench bench(convolutions({{64, 64, 14}}), options());
    testing::internal::CaptureStderr();
    bench.tune();
    const LayerPlan line = bench.line("conv0");
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(said.starts_with("wins: warning: tuning cache " + file_.string())) << said;
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
    EXPECT_EQ(read_file(file_), text);
    EXPECT_GT(line.tuned_us, 0);  // measured all the same
  }
}

TEST_F(Tuning, AFolderThatCannotBeWrittenIsNamed) {
  write_file_atomically(folder_ / "file", "no folder");
  file_ = folder_ / "file" / "tuning.txt";
  Bench bench(convolutions({{64, 64, 14}}), options());
  testing::internal::CaptureStderr();
  bench.tune();
  EXPECT_GT(bench.line("conv0").tuned_us, 0);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(said.starts_with("wins: warning: tuning cache ")) << said;
  EXPECT_NE(said.find(file_.string()), std::string::npos) << said;
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
}

TEST_F(Tuning, VerifyRunsWhatTheNetworkRuns) {
  const graph::Graph graph = convolutions({{64, 64, 14}, {64, 256, 7, 1}, {16, 24, 30}});
  Bench bench(graph, options());
  bench.tune();
  const std::string wanted = split_choice(prefer_another(bench.line("conv0"))).first;
  std::vector<Tensor> inputs;
  for (const auto id : graph.inputs) inputs.push_back(random_normal(graph.value(id).shape.value(), 3));
  for (const LayerCheck& check : verify(graph, inputs, options(), {1e-5, 1e-5})) {
    EXPECT_TRUE(check.passed) << check.node << " " << check.kernel << " " << check.relative_l2;
    if (check.node != "conv0") continue;
    EXPECT_TRUE(check.kernel.starts_with(wanted)) << check.kernel << " " << wanted;
  }
}

TEST_F(Tuning, EveryVariantIsRight) {
  for (const Layer layer : {Layer{40, 56, 13}, Layer{130, 70, 9, 1}}) {
    const graph::Graph graph = convolutions({layer});
    for (int threads = 1; threads <= 4; ++threads) {
      Bench bench(graph, options(threads));
      bench.options.error_bound = 1;
      const Environment env = bench.environment();
      const Problem problem = bench.problems(env).front();
      for (const Candidate& kernel : find_candidates(problem).taking) {
        for (const Candidate& candidate : variants_of(kernel, problem)) {
          SessionOptions forced = bench.options;
          forced.tune = false;
          forced.force_kernel = candidate.name();
          SCOPED_TRACE(candidate.name() + " threads " + std::to_string(threads));
          const cpu_test::Result result = cpu_test::run_both(graph, forced);
          EXPECT_EQ(result.layer("conv0").choice, candidate.name());
          EXPECT_LE(result.relative_l2, 6e-6);
          EXPECT_LE(result.max_error, 2.2e-5);
        }
      }
    }
  }
}

TEST_F(Tuning, ForcedKernelsAreNotTuned) {
  Bench bench(convolutions({{64, 64, 14}}), options());
  bench.options.force_kernel = "cpu:direct";
  EXPECT_EQ(bench.line("conv0").tuned_us, 0);
  EXPECT_FALSE(fs::exists(file_));
}

TEST(TuningTable, TextComesBack) {
  TuningTable table;
  table.set("one machine", "mb1ic3", "cpu:direct", 12.25);
  table.set("one machine", "mb1ic3", "cpu:winograd_f2_rows/4+rows", 1e6);
  table.set("another", "mb8ic3", "cpu:direct", 3);
  const TuningTable again = TuningTable::parse(table.text());
  EXPECT_EQ(again.text(), table.text());
  ASSERT_NE(again.find("one machine", "mb1ic3"), nullptr);
  EXPECT_EQ(again.find("one machine", "mb1ic3")->at("cpu:direct"), 12.25);
  EXPECT_EQ(again.find("one machine", "mb8ic3"), nullptr);
  EXPECT_EQ(again.find("no machine", "mb1ic3"), nullptr);
}

TEST(TuningTable, DamageIsNamedByItsLine) {
  const std::string head = "wins tuning 1\nmachine\tm\n";
  for (const std::string& text :
       {head + "x\tcpu:direct\tp\n", head + "-1\tcpu:direct\tp\n", head + "inf\tcpu:direct\tp\n", head + "1\t\tp\n",
        head + "1\tcpu:direct\n", head + "1\tcpu:direct\tp\tq\n", head + "1\tcpu:direct\tp", head + "\n"}) {
    try {
      TuningTable::parse(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("line 3"), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(TuningTable::parse("wins tuning 1\n1\tcpu:direct\tp\n"), Error);
  EXPECT_THROW(TuningTable::parse("wins tuning 2\n"), Error);
  EXPECT_THROW(TuningTable::parse(""), Error);
}

TEST(TuningFile, StandsWhereTheEnvironmentSays) {
  const auto set = [](const char* name, const char* value) { value != nullptr ? setenv(name, value, 1) : unsetenv(name); };
  const char* home = std::getenv("HOME");
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const std::string kept_home = home != nullptr ? home : "", kept_cache = cache != nullptr ? cache : "";
  set("XDG_CACHE_HOME", "/somewhere");
  EXPECT_EQ(default_tuning_file(), "/somewhere/wins/tuning.txt");
  set("XDG_CACHE_HOME", nullptr);
  set("HOME", "/home/someone");
  EXPECT_EQ(default_tuning_file(), "/home/someone/.cache/wins/tuning.txt");
  set("HOME", nullptr);
  EXPECT_TRUE(default_tuning_file().empty());
  if (!kept_home.empty()) set("HOME", kept_home.c_str());
  if (!kept_cache.empty()) set("XDG_CACHE_HOME", kept_cache.c_str());
}

}  // namespace
}  // namespace wins::runtime::cpu

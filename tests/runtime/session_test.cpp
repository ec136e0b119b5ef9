#include "wins/runtime/session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "networks.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace wins::runtime {
namespace {

using testing::HasSubstr;

SessionOptions ref_options() {
  SessionOptions options;
  options.backend = "ref";
  options.threads = 2;
  return options;
}

template <class Call>
std::string failure_of(const Call& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

TEST(Backends, AreListed) {
  const auto names = backends();
  EXPECT_NE(std::find(names.begin(), names.end(), "cpu"), names.end());
  EXPECT_NE(std::find(names.begin(), names.end(), "ref"), names.end());
  SessionOptions options;
  options.backend = "tpu";
  EXPECT_THAT(failure_of([&] { Session::open(small_network(), options); }),
              HasSubstr("unknown backend 'tpu' (known: cpu, ref"));
}

class EveryBackend : public testing::TestWithParam<std::string> {};

TEST_P(EveryBackend, MatchesTheDoubleReferenceOnManyShapes) {
  SessionOptions options = ref_options();
  options.backend = GetParam();
  const graph::Graph network = small_network();
  Session session = Session::open(network, options);
  // More shapes than plans are kept, and back again.
  for (const Shape& shape : std::vector<Shape>{{1, 3, 8, 8}, {2, 3, 7, 9}, {1, 3, 5, 5}, {3, 3, 4, 12}, {1, 3, 9, 3},
                                               {1, 3, 8, 8}, {1, 3, 6, 6}, {2, 3, 7, 9}}) {
    const Tensor x = random_normal(shape, 11);
    const auto y = session.run({x});
    const auto wanted = ref::run(network, {x}, ref::Precision::float64);
    ASSERT_EQ(y.size(), 1U);
    ASSERT_EQ(y[0].shape(), wanted[0].shape());
    EXPECT_EQ(y[0].dtype(), DType::f32);
    EXPECT_LE(relative_l2(y[0], wanted[0]), 1e-5) << to_string(shape);
  }
  const Plan plan = session.plan({{1, 3, 8, 8}});
  ASSERT_FALSE(plan.layers.empty());
  for (const LayerPlan& layer : plan.layers) EXPECT_THAT(layer.kernel, testing::StartsWith(GetParam() + ":"));
}

TEST_P(EveryBackend, RunsFromSeveralThreads) {
  SessionOptions options = ref_options();
  options.backend = GetParam();
  options.threads = 1;
  Session session = Session::open(small_network(), options);
  std::vector<Tensor> inputs;
  std::vector<Tensor> wanted;
  for (std::uint64_t i = 0; i < 3; ++i) {
    inputs.push_back(random_normal({1 + static_cast<std::int64_t>(i), 3, 8, 8}, i));
    wanted.push_back(session.run({inputs.back()})[0]);
  }
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 12; ++i) {
        const std::size_t pick = (t + i) % inputs.size();
        const auto y = session.run({inputs[pick]});
        if (max_abs_difference(y[0], wanted[pick]) > 0) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

INSTANTIATE_TEST_SUITE_P(Backends, EveryBackend, testing::ValuesIn(backends()));

TEST(Session, ChecksInputs) {
  Session session = Session::open(small_network(), ref_options());
  const auto run = [&](std::vector<Tensor> inputs) { return failure_of([&] { session.run(inputs); }); };
  EXPECT_EQ(run({}), "the network takes 1 inputs, 0 were given");
  EXPECT_EQ(run({Tensor()}), "input 'image' has no data");
  EXPECT_EQ(run({random_normal({1, 4, 8, 8}, 1)}),
            "input 'image': shape 1x4x8x8 does not fit, the network takes ?x3x?x?");
  EXPECT_THAT(run({random_normal({3, 8, 8}, 1)}), HasSubstr("shape 3x8x8 does not fit"));
  EXPECT_THAT(run({random_normal({1, 3, 8, 8}, 1).cast(DType::f64)}),
              HasSubstr("type float64 does not fit, the network takes float32"));
  EXPECT_THAT(failure_of([&] { session.plan({{1, 3, 0, 8}}); }), HasSubstr("not positive"));
}

TEST(Session, ChecksOptions) {
  const auto open = [](auto change) {
    SessionOptions options = ref_options();
    change(options);
    return failure_of([&] { Session::open(small_network(), options); });
  };
  EXPECT_THAT(open([](SessionOptions& o) { o.threads = -1; }), HasSubstr("threads"));
  EXPECT_THAT(open([](SessionOptions& o) { o.force_m = 3; }), HasSubstr("force_m"));
  EXPECT_THAT(open([](SessionOptions& o) { o.error_bound = 0; }), HasSubstr("error_bound"));
}

TEST(Session, KeepsTheMemoryLimit) {
  SessionOptions options = ref_options();
  graph::Graph network = small_network();
  network.value(network.inputs[0]).shape = Shape{-1, 3, 16, 16};
  options.memory_limit = 20'000;  // one 4 x 16 x 16 plane set is 4 KiB
  Session session = Session::open(network, options);
  EXPECT_EQ(session.run({random_normal({1, 3, 16, 16}, 1)})[0].shape(), (Shape{1, 5}));
  EXPECT_THAT(failure_of([&] { session.run({random_normal({64, 3, 16, 16}, 1)}); }), HasSubstr("the memory limit"));
  // A batch whose activations no machine holds is refused before anything is allocated.
  options.memory_limit = 0;
  Session large = Session::open(network, options);
  EXPECT_THAT(failure_of([&] { large.plan({{20'000'000, 3, 16, 16}}); }),
              testing::AnyOf(HasSubstr("this machine's memory"), HasSubstr("elements")));
}

TEST(Session, Profiles) {
  Session session = Session::open(small_network(), ref_options());
  const Plan plan = session.profile({random_normal({1, 3, 8, 8}, 1)}, 3);
  ASSERT_FALSE(plan.layers.empty());
  for (const LayerPlan& layer : plan.layers) EXPECT_GT(layer.measured_us, 0) << layer.node;
  EXPECT_ANY_THROW(session.profile({random_normal({1, 3, 8, 8}, 1)}, 0));
}

TEST(Plan, TextIsAligned) {
  Plan plan;
  LayerPlan first{"conv1", "cpu:winograd", "mb1", {{"cpu:direct", "slower"}}, 12.5, 10, 2048, 0};
  LayerPlan second{"a much longer name", "cpu:pool", "1x2->1x2", {}, 0, 0, 0, 0};
  plan.layers = {first, second};
  const std::string text = plan.text();
  EXPECT_THAT(text, HasSubstr("    not cpu:direct: slower\n"));
  EXPECT_LT(text.find("conv1"), text.find("not cpu:direct"));
  EXPECT_LT(text.find("not cpu:direct"), text.find("a much longer name"));
  EXPECT_THAT(text, HasSubstr("12.5"));
  EXPECT_THAT(text, HasSubstr("2 layers"));
}

}  // namespace
}  // namespace wins::runtime

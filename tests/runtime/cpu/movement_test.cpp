// Operators that move or resample elements, from plain and from blocked tensors, against the float64
// reference: odd channels, batches, every option.
#include "net.hpp"
#include "target_scope.hpp"

namespace wins::runtime::cpu_test {
namespace {

constexpr std::int64_t kHeight = 7, kWidth = 9;

/// Calls `body(make)` for tensors N x C x 7 x 9: `make()` gives a network whose x has that shape.
template <class Body>
void for_each_tensor(const Body& body) {
  for (const std::int64_t n : {1, 3}) {
    for (const std::int64_t c : {32, 19, 5}) {
      for (const bool blocked : {false, true}) {
        SCOPED_TRACE("batch " + std::to_string(n) + ", channels " + std::to_string(c) +
                     (blocked ? ", blocked" : ", plain"));
        body(c, [&] { return blocked ? Net({n, 6, kHeight, kWidth}, c) : Net({n, c, kHeight, kWidth}); });
      }
    }
  }
}

/// Both block sizes: 16 where the machine has AVX-512, 8 with AVX2.
class Movement : public testing::TestWithParam<bool> {
 protected:
  Movement() {
    if (GetParam() && (hwy::SupportedTargets() & HWY_AVX2) != 0) scope_.emplace(HWY_AVX2);
  }

 private:
  std::optional<TargetScope> scope_;
};

INSTANTIATE_TEST_SUITE_P(Blocks, Movement, testing::Bool(),
                         [](const auto& test) { return test.param ? "Short" : "Best"; });

TEST_P(Movement, Slice) {
  constexpr std::int64_t kEnd = INT64_MAX, kBegin = INT64_MIN;
  struct Case {
    std::vector<std::int64_t> starts, ends, axes, steps;
  };
  const Case cases[] = {
      {{1}, {3}, {2}, {}},
      {{1, 2}, {-1, kEnd}, {2, 3}, {}},
      {{0, 1}, {kEnd, kEnd}, {-2, -1}, {2, 2}},
      {{-1, -2}, {kBegin, 1}, {2, 3}, {-1, -3}},  // backwards
      {{4, 100}, {0, -100}, {3, 2}, {-2, -2}},    // starts that are clamped
      {{0}, {3}, {1}, {}},                        // first channels of a block
      {{2}, {kEnd}, {1}, {}},                     // across blocks
      {{-1}, {kBegin}, {1}, {-1}},                // channels backwards
      {{1}, {kEnd}, {1}, {3}},                    //
      {{0, 1, 1, 1}, {1, 5, -1, -1}, {}, {}},     // all axes, not named
      {{3}, {4}, {3}, {kEnd}},                    // a step longer than the axis
      {{-1, 0}, {kBegin, 4}, {0, 1}, {-1, 1}},    // the batch
  };
  for_each_tensor([&](std::int64_t, const auto& make) {
    for (const Case& t : cases) {
      Net net = make();
      std::vector<ValueId> inputs{net.x, net.integers(t.starts), net.integers(t.ends)};
      if (!t.axes.empty()) inputs.push_back(net.integers(t.axes));
      if (!t.steps.empty()) inputs.push_back(net.integers(t.steps));
      expect_kernel(net.run(Slice{}, inputs), "cpu:slice");
    }
  });
}

TEST_P(Movement, Split) {
  for_each_tensor([](std::int64_t c, const auto& make) {
    Net parts = make();
    expect_kernel(parts.run_parts(Split{1}, {parts.x, parts.integers({3, c - 4, 1})}, 3), "cpu:split");
    Net even = make();  // without sizes: the last part is the shorter one
    expect_kernel(even.run_parts(Split{1}, {even.x}, 2), "cpu:split");
    Net rows = make();
    expect_kernel(rows.run_parts(Split{-2}, {rows.x, rows.integers({2, 5})}, 2), "cpu:split");
    Net columns = make();
    expect_kernel(columns.run_parts(Split{3}, {columns.x, columns.integers({1, 2, 6})}, 3), "cpu:split");
    Net empty = make();
    expect_kernel(empty.run_parts(Split{3}, {empty.x, empty.integers({kWidth, 0})}, 2), "cpu:split");
  });
}

TEST_P(Movement, Pad) {
  const std::vector<std::int64_t> cases[] = {
      {0, 0, 0, 0, 0, 0, 0, 0},   {0, 0, 1, 2, 0, 0, 2, 1}, {0, 0, 3, 0, 0, 0, 0, 4},
      {0, 0, -1, 2, 0, 0, 1, -2}, {0, 2, 0, 1, 0, 1, 0, 0},  // channels
  };
  for_each_tensor([&](std::int64_t, const auto& make) {
    for (const Pad::Mode mode : {Pad::Mode::constant, Pad::Mode::edge, Pad::Mode::reflect, Pad::Mode::wrap}) {
      for (const auto& pads : cases) {
        Net net = make();
        expect_kernel(net.run(Pad{mode}, {net.x, net.integers(pads)}), "cpu:pad");
      }
      Net named = make();
      expect_kernel(
          named.run(Pad{mode}, {named.x, named.integers({2, 1, 0, 3}), kNone, named.integers({-1, 2})}),
          "cpu:pad");
    }
    Net filled = make();  // with a batch on either side, and a value that padded lanes must not keep
    const ValueId value = filled.graph.add_constant("v", Tensor::of<float>({}, std::vector<float>{0.75F}));
    const ValueId x =
        filled.graph.add_node("pad", Pad{}, {filled.x, filled.integers({1, 0, 1, 0, 1, 1, 0, 2}), value});
    filled.run(Pad{}, {x, filled.integers({0, 0, 1, 0, 0, 0, 0, 0}), value});
  });
}

/// oneDNN multiplies the lanes past the last channel by zero: what is not finite there would show.
TEST_P(Movement, PaddedChannelsStayZero) {
  constexpr std::int64_t kLeft = 19;
  Net net({1, 6, kHeight, kWidth}, 32);
  Tensor& weights = *net.graph.value(net.graph.nodes[0].inputs[1]).constant;
  const auto values = weights.mutable_data<float>();
  std::fill(values.begin() + kLeft * 6, values.end(), INFINITY);  // the channels that are cut off
  const ValueId few = net.graph.add_node(
      "few", Slice{}, {net.x, net.integers({0}), net.integers({kLeft}), net.integers({1})});
  Conv conv;
  conv.window.stride = {2, 2};
  expect_kernel(net.run(conv, {few, net.constant({16, kLeft, 1, 1})}), "cpu:direct");
}

TEST_P(Movement, Expand) {
  for (const std::int64_t c : {1, 19}) {
    for (const bool blocked : {false, true}) {
      for (const wins::Shape& x :
           {wins::Shape{1, c, 1, 5}, wins::Shape{3, c, 4, 1}, wins::Shape{1, c, 1, 1}}) {
        const auto make = [&] { return blocked ? Net({x[0], 6, x[2], x[3]}, c) : Net(x); };
        Net same = make();
        expect_kernel(same.run(Expand{}, {same.x, same.integers({3, 19, 4, 5})}), "cpu:expand");
        Net higher = make();
        expect_kernel(higher.run(Expand{}, {higher.x, higher.integers({2, 3, 1, 4, 1})}), "cpu:expand");
        Net lower = make();
        expect_kernel(lower.run(Expand{}, {lower.x, lower.integers({5})}), "cpu:expand");
      }
    }
  }
}

// ---- resize ----------------------------------------------------------------------------------------

constexpr Resize::Coordinate kCoordinates[] = {
    Resize::Coordinate::half_pixel, Resize::Coordinate::half_pixel_symmetric,
    Resize::Coordinate::pytorch_half_pixel, Resize::Coordinate::align_corners,
    Resize::Coordinate::asymmetric};

/// Resizes in every way of naming the extents; `check` gets each result.
template <class Make>
void resize_each(const Resize& op, std::int64_t c, const Make& make, const std::string& kernel) {
  const std::vector<float> scales[] = {{1, 1, 2, 2}, {1, 1, 1.6F, 0.7F}, {1, 1, 1, 3}, {1, 1, 0.3F, 1.3F}};
  for (const auto& values : scales) {
    Net net = make();
    const ValueId given = net.graph.add_constant("s", Tensor::of<float>({4}, values));
    expect_kernel(net.run(op, {net.x, kNone, given}, 4e-6), kernel);
  }
  for (const auto& [h, w] :
       {std::pair<std::int64_t, std::int64_t>{14, 18}, {7, 5}, {1, 1}, {1, 20}, {13, 9}}) {
    Net net = make();
    const std::int64_t n = net.graph.value(net.graph.inputs[0]).shape.value()[0];
    expect_kernel(net.run(op, {net.x, kNone, kNone, net.integers({n, c, h, w})}, 4e-6), kernel);
  }
}

TEST_P(Movement, ResizeNearest) {
  for_each_tensor([](std::int64_t c, const auto& make) {
    for (const auto coordinate : kCoordinates) {
      for (const auto rounding : {Resize::Nearest::round_prefer_floor, Resize::Nearest::round_prefer_ceil,
                                  Resize::Nearest::floor, Resize::Nearest::ceil}) {
        resize_each({Resize::Mode::nearest, coordinate, rounding}, c, make, "cpu:resize_nearest");
      }
    }
    Net channels = make();
    const ValueId scales =
        channels.graph.add_constant("s", Tensor::of<float>({4}, std::vector<float>{2, 0.8F, 1, 2}));
    expect_kernel(channels.run(Resize{}, {channels.x, kNone, scales}), "cpu:resize_nearest");
  });
}

TEST_P(Movement, ResizeLinearAndCubic) {
  for_each_tensor([](std::int64_t c, const auto& make) {
    for (const auto coordinate : kCoordinates) {
      resize_each({Resize::Mode::linear, coordinate}, c, make, "cpu:resize_linear");
      resize_each({Resize::Mode::cubic, coordinate, {}, -0.5F}, c, make, "cpu:resize_cubic");
    }
    Net channels = make();
    const ValueId scales =
        channels.graph.add_constant("s", Tensor::of<float>({4}, std::vector<float>{1, 2, 1, 2}));
    const Result result = channels.run(Resize{Resize::Mode::linear}, {channels.x, kNone, scales});
    expect_kernel(result, "ref:resize");
    EXPECT_EQ(result.layer("op").refused.back().second, "resizes other axes than the last two");
  });
}

TEST_P(Movement, ResizeOfOtherRanks) {
  for (const wins::Shape& shape :
       {wins::Shape{11}, wins::Shape{5, 7}, wins::Shape{3, 5, 7}, wins::Shape{2, 1, 3, 5, 7}}) {
    for (const auto mode : {Resize::Mode::nearest, Resize::Mode::linear, Resize::Mode::cubic}) {
      Net net{shape};
      std::vector<float> scales(shape.size(), 1);
      scales.back() = 2.5F;
      if (shape.size() > 1) scales[shape.size() - 2] = 0.7F;
      const ValueId given = net.graph.add_constant("s", Tensor::of<float>({std::ssize(scales)}, scales));
      expect_kernel(net.run(Resize{mode}, {net.x, kNone, given}, 4e-6), "cpu:resize");
    }
  }
}

// ---- axes in another order -------------------------------------------------------------------------

TEST_P(Movement, Transpose) {
  for_each_tensor([](std::int64_t, const auto& make) {
    std::vector<std::int64_t> perm{0, 1, 2, 3};
    do {
      Net net = make();
      expect_kernel(net.run(Transpose{perm}, {net.x}), "cpu:transpose");
    } while (std::next_permutation(perm.begin(), perm.end()));
    Net reversed = make();
    expect_kernel(reversed.run(Transpose{}, {reversed.x}), "cpu:transpose");
  });
  for (const auto& perm : {std::vector<std::int64_t>{0, 1, 3, 4, 2}, {0, 2, 1, 3, 4}, {4, 2, 0, 1, 3}}) {
    Net net(wins::Shape{3, 2, 5, 7, 9});
    expect_kernel(net.run(Transpose{perm}, {net.x}), "cpu:transpose");
  }
  Net two(wins::Shape{37, 53});
  expect_kernel(two.run(Transpose{{1, 0}}, {two.x}), "cpu:transpose");
}

TEST_P(Movement, DepthAndSpace) {
  for (const std::int64_t n : {1, 3}) {
    for (const std::int64_t b : {1, 2, 3}) {
      for (const std::int64_t c : {1, 3, 16}) {
        for (const bool blocked : {false, true}) {
          const auto make = [&](std::int64_t channels, std::int64_t h, std::int64_t w) {
            return blocked ? Net({n, 6, h, w}, channels) : Net({n, channels, h, w});
          };
          for (const bool crd : {false, true}) {
            Net net = make(c * b * b, 5, 7);
            expect_kernel(net.run(DepthToSpace{b, crd}, {net.x}), "cpu:depth_to_space");
          }
          Net net = make(c, 2 * b, 5 * b);
          expect_kernel(net.run(SpaceToDepth{b}, {net.x}), "cpu:space_to_depth");
        }
      }
    }
  }
}

// ---- values, not places ----------------------------------------------------------------------------

TEST_P(Movement, PRelu) {
  for_each_tensor([](std::int64_t c, const auto& make) {
    for (const wins::Shape& slope :
         {wins::Shape{c, 1, 1}, {1}, {}, {1, c, 1, 1}, {kWidth}, {c, kHeight, kWidth}}) {
      Net net = make();
      expect_kernel(net.run(PRelu{}, {net.x, net.constant(slope)}), "cpu:prelu");
    }
    Net computed = make();
    const ValueId slope = computed.graph.add_node("slope", GlobalPool{}, {computed.x});
    expect_kernel(computed.run(PRelu{}, {computed.x, slope}), "cpu:prelu");
  });
}

TEST_P(Movement, LayerNorm) {
  for_each_tensor([](std::int64_t c, const auto& make) {
    for (const std::int64_t axis : {-1, 2, 1}) {
      wins::Shape normalised{c, kHeight, kWidth};
      normalised.erase(normalised.begin(), normalised.begin() + (axis < 0 ? 2 : axis - 1));
      for (const bool shift : {false, true}) {
        Net net = make();
        std::vector<ValueId> inputs{net.x, net.constant(normalised, 1)};
        if (shift) inputs.push_back(net.constant(normalised, 2));
        expect_kernel(net.run(LayerNorm{axis, 1e-3F}, inputs, 4e-6), "cpu:layer_norm");
      }
    }
  });
}

/// Integers are not the kernels' business.
TEST(MovementTypes, IntegersGoToTheReference) {
  Net net({1, 3, 4, 5}, 4);
  const ValueId whole = net.graph.add_node("whole", Cast{DType::i64}, {net.x});
  const Result result = net.run(Transpose{{0, 2, 3, 1}}, {whole});
  expect_kernel(result, "ref:transpose");
  EXPECT_EQ(result.layer("op").refused.front().second, "not float32");
}

}  // namespace
}  // namespace wins::runtime::cpu_test

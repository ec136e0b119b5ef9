// Operators that move or resample elements, on the GPU, against the float64 reference.
#include "operator_net.hpp"

namespace wins::runtime::cuda_test {
namespace {

using Movement = Operators;

TEST_F(Movement, Reshape) {
  struct Case {
    wins::Shape from, to;
  };
  for (const Case& t : {Case{{1, 19, 5, 7}, {1, 665}}, Case{{3, 16, 5, 7}, {3, 560}}, Case{{3, 12, 5, 6}, {3, 5, 12, 6}}, Case{{2, 6, 5, 4}, {2, 2, 15, 4}},
                        Case{{3, 60}, {3, 5, 4, 3}}, Case{{3, 10, 4, 3}, {3, 2, 5, 4, 3}}, Case{{2, 3, 5, 4}, {4, 3, 2, 5}}, Case{{3, 7, 2, 2}, {84}},
                        Case{{1, 5, 3, 3}, {3, 3, 5, 1}}, Case{{2, 2, 2, 2, 2, 2}, {2, 8, 2, 2}}}) {
    Net net(t.from);
    net.check(Reshape{}, {net.x, net.integers(t.to)}, "cuda:reshape");
  }
  Net flat(wins::Shape{3, 19, 5, 7});
  flat.check(Flatten{2}, {flat.x}, "cuda:reshape");
  Net squeezed(wins::Shape{3, 19, 1, 7});
  squeezed.check(Squeeze{}, {squeezed.x, squeezed.integers({2})}, "cuda:reshape");
  for (const std::int64_t axis : {1, -1}) {
    Net unsqueezed(wins::Shape{3, 5, 7});
    unsqueezed.check(Unsqueeze{}, {unsqueezed.x, unsqueezed.integers({axis})}, "cuda:reshape");
  }
}

/// Whether a flattened value's step is there, in fp32.
bool has_flatten(const Net& net) {
  const Plan plan = net.plan();
  return std::ranges::any_of(plan.layers, [](const LayerPlan& line) { return line.kernel == "cuda:reshape"; });
}

/// Products read pixels as they lie, where channels fill units, no one else reads them, and results fill units.
TEST_F(Movement, FlattenedForProducts) {
  struct Case {
    std::int64_t n, c, h, w, results;
    bool trans_b, in_place;
  };
  for (const Case& t : {Case{3, 16, 5, 7, 24, true, true}, Case{1, 64, 3, 3, 40, false, true}, Case{2, 32, 1, 7, 16, true, true},
                        Case{3, 19, 5, 7, 24, true, false}, Case{2, 16, 5, 7, 10, true, false}}) {
    for (const std::string kernel : {"cuda:vector", "cuda:linear"}) {
      Net net(wins::Shape{t.n, t.c, t.h, t.w});
      if (t.in_place) net.force_kernel = kernel;
      const std::int64_t inner = t.c * t.h * t.w;
      const ValueId before = net.graph.add_node("before", Unary{{UnaryKind::relu, 0, 0}}, {net.x});
      const ValueId rows = net.graph.add_node("flatten", Flatten{1}, {before});
      const ValueId w = net.constant(t.trans_b ? wins::Shape{t.results, inner} : wins::Shape{inner, t.results}, 3);
      net.check(Gemm{1.5F, 0.5F, false, t.trans_b, {UnaryKind::relu, 0, 0}}, {rows, w, net.constant({t.results}, 4)},
                !t.in_place ? "cuda:*" : kernel == "cuda:linear" ? "cuda:cublas_*" : kernel);
      EXPECT_EQ(has_flatten(net), !t.in_place) << inner << " to " << t.results;
    }
  }
  Net shared(wins::Shape{3, 16, 2, 2});
  const ValueId rows = shared.graph.add_node("flatten", Flatten{1}, {shared.graph.add_node("before", Unary{{UnaryKind::relu, 0, 0}}, {shared.x})});
  const ValueId product = shared.graph.add_node("product", Gemm{}, {rows, shared.constant({64, 64})});
  shared.check(Binary{BinaryKind::add, {}}, {rows, product}, "cuda:binary");
  EXPECT_TRUE(has_flatten(shared)) << "something else reads it too";
}

TEST_F(Movement, Concat) {
  for (const std::int64_t n : kBatches) {
    for (const std::int64_t c : {5, 19}) {  // no whole units: the inputs cannot be written in place
      Net channels(wins::Shape{n, c, 5, 7});
      channels.check(Concat{1}, {channels.x, channels.input(wins::Shape{n, 3, 5, 7}), channels.x}, "cuda:concat");
      Net constant(wins::Shape{n, c, 5, 7});
      constant.check(Concat{1}, {constant.constant({n, 4, 5, 7}), constant.x}, "cuda:concat");
      Net rows(wins::Shape{n, c, 5, 7});
      rows.check(Concat{-2}, {rows.x, rows.input(wins::Shape{n, c, 2, 7})}, "cuda:concat");
      Net batch(wins::Shape{n, c, 5, 7});
      batch.check(Concat{0}, {batch.x, batch.input(wins::Shape{2, c, 5, 7})}, "cuda:concat");
      Net flat(wins::Shape{n, c, 5});
      flat.check(Concat{2}, {flat.x, flat.input(wins::Shape{n, c, 2})}, "cuda:concat");
    }
  }
}

/// Parts of whole units are written in place by what makes them.
TEST_F(Movement, ConcatInPlace) {
  for (const std::int64_t n : kBatches) {
    Net net(wins::Shape{n, 16, 5, 7});
    const ValueId a = net.graph.add_node("a", Unary{{UnaryKind::sigmoid, 0, 0}}, {net.x});
    const ValueId b = net.graph.add_node("b", Binary{BinaryKind::mul, {}}, {net.x, net.constant({16, 1, 1})});
    const ValueId c = net.graph.add_node("c", Pool{Pool::Kind::max, {{3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, {}}}, {net.x});
    const ValueId d = net.graph.add_node("d", Slice{}, {net.x, net.integers({0}), net.integers({5}), net.integers({1})});
    const ValueId joined = net.graph.add_node("joined", Concat{1}, {a, b, c, d});
    net.check(Unary{{UnaryKind::tanh, 0, 0}}, {joined}, "cuda:unary");
  }
}

TEST_F(Movement, Split) {
  for_each_image([](std::int64_t n, std::int64_t c) {
    Net parts(wins::Shape{n, c, kHeight, kWidth});
    parts.check(Split{1}, {parts.x, parts.integers({1, c - 2, 1})}, "cuda:split", 3);
    Net rows(wins::Shape{n, c, kHeight, kWidth});
    rows.check(Split{-2}, {rows.x, rows.integers({2, 5})}, "cuda:split", 2);
    Net columns(wins::Shape{n, c, kHeight, kWidth});
    columns.check(Split{3}, {columns.x, columns.integers({1, 2, 6})}, "cuda:split", 3);
    Net flat(wins::Shape{n, c});
    flat.check(Split{1}, {flat.x, flat.integers({1, c - 1})}, "cuda:split", 2);
  });
}

TEST_F(Movement, Slice) {
  constexpr std::int64_t kEnd = INT64_MAX, kBegin = INT64_MIN;
  struct Case {
    std::vector<std::int64_t> starts, ends, axes, steps;
  };
  const Case cases[] = {
      {{1}, {3}, {2}, {}},
      {{1, 2}, {-1, kEnd}, {2, 3}, {}},
      {{0, 1}, {kEnd, kEnd}, {-2, -1}, {2, 2}},
      {{-1, -2}, {kBegin, 1}, {2, 3}, {-1, -3}},
      {{4, 100}, {0, -100}, {3, 2}, {-2, -2}},
      {{0}, {2}, {1}, {}},
      {{2}, {kEnd}, {1}, {}},
      {{-1}, {kBegin}, {1}, {-1}},
      {{0, 1, 1, 1}, {1, 3, -1, -1}, {}, {}},
      {{3}, {4}, {3}, {kEnd}},
      {{-1, 0}, {kBegin, 2}, {0, 1}, {-1, 1}},
  };
  for_each_image([&](std::int64_t n, std::int64_t c) {
    for (const Case& t : cases) {
      Net net(wins::Shape{n, c, kHeight, kWidth});
      std::vector<ValueId> inputs{net.x, net.integers(t.starts), net.integers(t.ends)};
      if (!t.axes.empty()) inputs.push_back(net.integers(t.axes));
      if (!t.steps.empty()) inputs.push_back(net.integers(t.steps));
      net.check(Slice{}, inputs, "cuda:slice");
    }
  });
}

TEST_F(Movement, Pad) {
  const std::vector<std::int64_t> cases[] = {
      {0, 0, 1, 2, 0, 0, 2, 1}, {0, 0, 3, 0, 0, 0, 0, 4}, {0, 0, -1, 2, 0, 0, 1, -2}, {0, 2, 0, 1, 0, 1, 0, 0}};
  for_each_image([&](std::int64_t n, std::int64_t c) {
    for (const Pad::Mode mode : {Pad::Mode::constant, Pad::Mode::edge, Pad::Mode::reflect, Pad::Mode::wrap}) {
      for (const auto& pads : cases) {
        Net net(wins::Shape{n, c, kHeight, kWidth});
        net.check(Pad{mode}, {net.x, net.integers(pads)}, "cuda:pad");
      }
      Net named(wins::Shape{n, c, kHeight, kWidth});
      named.check(Pad{mode}, {named.x, named.integers({2, 1, 0, 3}), kNone, named.integers({-1, 2})}, "cuda:pad");
    }
    Net filled(wins::Shape{n, c, kHeight, kWidth});
    const ValueId value = filled.constant(Tensor::scalar(0.75F));
    filled.check(Pad{}, {filled.x, filled.integers({1, 1, 1, 0, 1, 1, 0, 2}), value}, "cuda:pad");
  });
}

TEST_F(Movement, Expand) {
  for (const std::int64_t c : {1, 16, 19}) {
    for (const wins::Shape& x : {wins::Shape{1, c, 1, 5}, wins::Shape{3, c, 4, 1}, wins::Shape{1, c, 1, 1}}) {
      Net higher(x);
      higher.check(Expand{}, {higher.x, higher.integers({2, 3, 1, 4, 5})}, "cuda:expand");
      Net same(x);
      same.check(Expand{}, {same.x, same.integers({3, c, 4, 5})}, "cuda:expand");
    }
    Net raised(wins::Shape{c, 1});
    raised.check(Expand{}, {raised.x, raised.integers({3, 5, c, 4})}, "cuda:expand");
  }
}

TEST_F(Movement, Transpose) {
  for_each_image([](std::int64_t n, std::int64_t c) {
    std::vector<std::int64_t> perm{0, 1, 2, 3};
    while (std::next_permutation(perm.begin(), perm.end())) {
      Net net(wins::Shape{n, c, 5, 7});
      net.check(Transpose{perm}, {net.x}, "cuda:transpose");
    }
    Net reversed(wins::Shape{n, c, 5, 7});
    reversed.check(Transpose{}, {reversed.x}, "cuda:transpose");
  });
  Net five(wins::Shape{3, 2, 5, 7, 9});
  five.check(Transpose{{4, 2, 0, 1, 3}}, {five.x}, "cuda:transpose");
  Net two(wins::Shape{37, 53});
  two.check(Transpose{{1, 0}}, {two.x}, "cuda:transpose");
}

TEST_F(Movement, DepthAndSpace) {
  for (const std::int64_t n : kBatches) {
    for (const std::int64_t b : {2, 3}) {
      for (const std::int64_t c : {1, 3, 16}) {
        for (const bool crd : {false, true}) {
          Net net(wins::Shape{n, c * b * b, 5, 7});
          net.check(DepthToSpace{b, crd}, {net.x}, "cuda:depth_to_space");
        }
        Net net(wins::Shape{n, c, 2 * b, 5 * b});
        net.check(SpaceToDepth{b}, {net.x}, "cuda:space_to_depth");
      }
    }
  }
}

// ---- resize ----------------------------------------------------------------------------------------

constexpr Resize::Coordinate kCoordinates[] = {Resize::Coordinate::half_pixel, Resize::Coordinate::half_pixel_symmetric,
                                               Resize::Coordinate::pytorch_half_pixel, Resize::Coordinate::align_corners,
                                               Resize::Coordinate::asymmetric};

void resize_each(const Resize& op, std::int64_t n, std::int64_t c) {
  for (const auto& scales : {std::vector<float>{1, 1, 2, 2}, {1, 1, 1.6F, 0.7F}, {1, 1, 1, 3}}) {
    Net net(wins::Shape{n, c, kHeight, kWidth});
    net.check(op, {net.x, kNone, net.constant(Tensor::of<float>({4}, scales))}, "cuda:resize");
  }
  for (const auto& [h, w] : {std::pair<std::int64_t, std::int64_t>{14, 18}, {7, 5}, {1, 20}}) {
    Net net(wins::Shape{n, c, kHeight, kWidth});
    net.check(op, {net.x, kNone, kNone, net.integers({n, c, h, w})}, "cuda:resize");
  }
}

TEST_F(Movement, Resize) {
  for_each_image([](std::int64_t n, std::int64_t c) {
    for (const auto coordinate : kCoordinates) {
      for (const auto rounding :
           {Resize::Nearest::round_prefer_floor, Resize::Nearest::round_prefer_ceil, Resize::Nearest::floor, Resize::Nearest::ceil}) {
        resize_each({Resize::Mode::nearest, coordinate, rounding}, n, c);
      }
      resize_each({Resize::Mode::linear, coordinate}, n, c);
      resize_each({Resize::Mode::cubic, coordinate, {}, -0.5F}, n, c);
    }
  });
  for (const wins::Shape& shape : {wins::Shape{11}, wins::Shape{5, 7}, wins::Shape{3, 5, 7}, wins::Shape{2, 1, 3, 5, 7}}) {
    for (const auto mode : {Resize::Mode::nearest, Resize::Mode::linear, Resize::Mode::cubic}) {
      Net net(shape);
      std::vector<float> scales(shape.size(), 1);
      scales.back() = 2.5F;
      if (shape.size() > 1) scales[shape.size() - 2] = 0.7F;
      net.check(Resize{mode}, {net.x, kNone, net.constant(Tensor::of<float>({std::ssize(scales)}, scales))}, "cuda:resize");
    }
  }
}

TEST_F(Movement, ResizeOfChannelsIsRefused) {
  Net net(wins::Shape{1, 3, 4, 5});
  net.graph.outputs = {net.graph.add_node("op", Resize{}, {net.x, kNone, net.constant(Tensor::of<float>({4}, std::vector<float>{1, 2, 1, 2}))})};
  SessionOptions options;
  options.backend = "cuda";
  try {
    Session::open(net.graph, options);
    FAIL() << "a session was opened";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("resizes other axes than the last two"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace wins::runtime::cuda_test

// Evaluation of single nodes against index arithmetic written out here.
#include "wins/graph/evaluate.hpp"

#include <cmath>

#include "builders.hpp"

namespace wins::graph {
namespace {

std::vector<Tensor> run(Op op, std::vector<Tensor> inputs, std::size_t outputs = 1) {
  Node node{"node", std::move(op), {}, {}};
  std::vector<const Tensor*> pointers;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool given = inputs[i].defined();
    node.inputs.push_back(given ? static_cast<ValueId>(i) : kNone);
    pointers.push_back(given ? &inputs[i] : nullptr);
  }
  for (std::size_t i = 0; i < outputs; ++i) node.outputs.push_back(static_cast<ValueId>(100 + i));
  return evaluate(node, pointers);
}

Tensor one(Op op, std::vector<Tensor> inputs) {
  return run(std::move(op), std::move(inputs)).front();
}

template <class T>
std::vector<T> list(const Tensor& tensor) {
  return {tensor.data<T>().begin(), tensor.data<T>().end()};
}

/// 0, 1, 2, ... of this shape and type.
Tensor counting(const wins::Shape& shape, DType type) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(element_count(shape)));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int64_t>(i);
  return Tensor::of<std::int64_t>(shape, values).cast(type);
}

class EveryType : public testing::TestWithParam<DType> {};

TEST_P(EveryType, TransposeSliceGatherPad) {
  const Tensor x = counting({3, 4, 5}, GetParam());
  const auto at = [](std::int64_t i, std::int64_t j, std::int64_t k) { return (i * 4 + j) * 5 + k; };
  const Tensor transposed = one(Transpose{{2, 0, 1}}, {x});
  const Tensor sliced = one(Slice{}, {x, vec({2, -1}), vec({INT64_MIN, 0}), vec({0, 2}), vec({-1, -2})});
  const Tensor gathered = one(Gather{1}, {x, Tensor::of<std::int64_t>({2, 2}, {3, -4, 1, 1})});
  ASSERT_EQ(transposed.shape(), (wins::Shape{5, 3, 4}));
  ASSERT_EQ(sliced.shape(), (wins::Shape{3, 4, 2}));
  ASSERT_EQ(gathered.shape(), (wins::Shape{3, 2, 2, 5}));
  Ints expected_transposed, expected_sliced, expected_gathered;
  for (int k = 0; k < 5; ++k) {
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 4; ++j) expected_transposed.push_back(at(i, j, k));
    }
  }
  for (int i = 2; i >= 0; --i) {
    for (int j = 0; j < 4; ++j) {
      for (int k = 4; k > 0; k -= 2) expected_sliced.push_back(at(i, j, k));
    }
  }
  for (int i = 0; i < 3; ++i) {
    for (int j : {3, 0, 1, 1}) {
      for (int k = 0; k < 5; ++k) expected_gathered.push_back(at(i, j, k));
    }
  }
  const auto expect = [&](const Tensor& actual, const Ints& wanted) {
    EXPECT_EQ(actual.dtype(), GetParam());
    EXPECT_EQ(list<double>(actual.cast(DType::f64)),
              list<double>(vec(wanted).cast(GetParam()).cast(DType::f64)));
  };
  expect(transposed, expected_transposed);
  expect(sliced, expected_sliced);
  expect(gathered, expected_gathered);
}

TEST_P(EveryType, ConcatUndoesSplit) {
  const Tensor x = counting({2, 7, 3}, GetParam());
  const std::vector<Tensor> parts = run(Split{1}, {x}, 3);
  EXPECT_EQ(parts[2].shape(), (wins::Shape{2, 1, 3}));
  const Tensor again = one(Concat{1}, parts);
  EXPECT_EQ(again.shape(), x.shape());
  EXPECT_EQ(max_abs_difference(again, x), 0);
}

INSTANTIATE_TEST_SUITE_P(All, EveryType,
                         testing::Values(DType::f32, DType::f64, DType::i64, DType::i32, DType::u8,
                                         DType::boolean));

TEST(Evaluate, PadModes) {
  const Tensor x = Tensor::of<float>({4}, {1, 2, 3, 4});
  const auto pad = [&](Pad::Mode mode, const Ints& pads, Tensor value = {}) {
    return list<float>(one(Pad{mode}, value.defined() ? std::vector<Tensor>{x, vec(pads), value}
                                                      : std::vector<Tensor>{x, vec(pads)}));
  };
  using V = std::vector<float>;
  EXPECT_EQ(pad(Pad::Mode::constant, {1, 2}), (V{0, 1, 2, 3, 4, 0, 0}));
  EXPECT_EQ(pad(Pad::Mode::constant, {1, -2}, Tensor::scalar(9.0F)), (V{9, 1, 2}));
  EXPECT_EQ(pad(Pad::Mode::reflect, {3, 2}), (V{4, 3, 2, 1, 2, 3, 4, 3, 2}));
  EXPECT_EQ(pad(Pad::Mode::edge, {2, 1}), (V{1, 1, 1, 2, 3, 4, 4}));
  EXPECT_EQ(pad(Pad::Mode::wrap, {5, 1}), (V{4, 1, 2, 3, 4, 1, 2, 3, 4, 1}));
  EXPECT_EQ(pad(Pad::Mode::reflect, {-1, 1}), (V{2, 3, 4, 3}));
}

TEST(Evaluate, BlocksRoundTripAndKnownOrder) {
  // Example of ONNX's DepthToSpace document, both modes.
  const Tensor x = counting({1, 8, 1, 2}, DType::f32);
  EXPECT_EQ(list<float>(one(DepthToSpace{2, false}, {x})),
            (std::vector<float>{0, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15}));
  EXPECT_EQ(list<float>(one(DepthToSpace{2, true}, {x})),
            (std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15}));
  EXPECT_EQ(max_abs_difference(one(SpaceToDepth{2}, {one(DepthToSpace{2, false}, {x})}), x), 0);
}

TEST(Evaluate, ShapesAndGenerators) {
  const Tensor x = counting({2, 3, 4}, DType::f32);
  EXPECT_EQ(list<std::int64_t>(one(Shape{1, {}}, {x})), (Ints{3, 4}));
  EXPECT_EQ(one(Reshape{}, {x, vec({0, -1})}).shape(), (wins::Shape{2, 12}));
  EXPECT_EQ(
      list<std::int64_t>(one(Range{}, {Tensor::scalar<std::int64_t>(5), Tensor::scalar<std::int64_t>(-2),
                                       Tensor::scalar<std::int64_t>(-3)})),
      (Ints{5, 2, -1}));
  EXPECT_EQ(list<float>(one(Range{}, {Tensor::scalar(0.0F), Tensor::scalar(1.0F), Tensor::scalar(0.4F)})),
            (std::vector<float>{0, 0.4F, 0.8F}));
  EXPECT_EQ(list<std::int64_t>(one(ConstantOfShape{vec({7})}, {vec({2, 2})})), (Ints{7, 7, 7, 7}));
  EXPECT_EQ(list<float>(one(ConstantOfShape{}, {vec({2})})), (std::vector<float>{0, 0}));
  EXPECT_EQ(list<std::int64_t>(one(Expand{}, {Tensor::of<std::int64_t>({2, 1}, {1, 2}), vec({2, 1, 2})})),
            (Ints{1, 1, 2, 2, 1, 1, 2, 2}));
}

TEST(Evaluate, CastsAreDefinedForEveryValue) {
  const Tensor x = Tensor::of<float>({5}, {-1.7F, 300.5F, 1e30F, -1e30F, NAN});
  EXPECT_EQ(list<std::int32_t>(one(Cast{DType::i32}, {x})),
            (std::vector<std::int32_t>{-1, 300, INT32_MAX, INT32_MIN, 0}));
  EXPECT_EQ(list<std::int64_t>(one(Cast{DType::i64}, {x})), (Ints{-1, 300, INT64_MAX, INT64_MIN, 0}));
  EXPECT_EQ(list<std::uint8_t>(one(Cast{DType::u8}, {x})), (std::vector<std::uint8_t>{0, 255, 255, 0, 0}));
  EXPECT_EQ(list<bool>(one(Cast{DType::boolean}, {Tensor::of<float>({2}, {0.5F, 0})})),
            (std::vector<bool>{true, false}));
}

TEST(Evaluate, IntegerArithmeticWraps) {
  const auto binary = [](BinaryKind kind, std::int64_t a, std::int64_t b) {
    return one(Binary{kind, {}}, {Tensor::scalar(a), Tensor::scalar(b)}).data<std::int64_t>()[0];
  };
  EXPECT_EQ(binary(BinaryKind::add, INT64_MAX, 1), INT64_MIN);
  EXPECT_EQ(binary(BinaryKind::sub, INT64_MIN, 1), INT64_MAX);
  EXPECT_EQ(binary(BinaryKind::mul, 1LL << 62, 4), 0);
  EXPECT_EQ(binary(BinaryKind::div, -7, 2), -3);
  EXPECT_EQ(binary(BinaryKind::div, INT64_MIN, -1), INT64_MIN);
  EXPECT_EQ(binary(BinaryKind::pow, -3, 3), -27);
  EXPECT_EQ(binary(BinaryKind::min, -3, 3), -3);
  EXPECT_EQ(binary(BinaryKind::max, -3, 3), 3);
  EXPECT_NE(error_of([&] { binary(BinaryKind::div, 1, 0); }).find("node 'node' (Div)"), std::string::npos);
}

TEST(Evaluate, FloatArithmeticBroadcasts) {
  const Tensor a = random_normal({2, 3, 4}, 1), b = random_normal({3, 1}, 2);
  const Tensor sum = one(Binary{BinaryKind::sub, {UnaryKind::relu, 0, 0}}, {a, b});
  for (std::size_t i = 0; i < 24; ++i) {
    EXPECT_FLOAT_EQ(sum.data<float>()[i], std::max(0.0F, a.data<float>()[i] - b.data<float>()[i / 4 % 3]));
  }
  EXPECT_EQ(list<float>(one(Binary{BinaryKind::pow, {}}, {Tensor::of<float>({2}, {2, 3}), vec({3})})),
            (std::vector<float>{8, 27}));
}

TEST(Evaluate, Reductions) {
  const Tensor x = random_normal({2, 3, 4}, 3);
  Reduce op;
  op.keep_dims = false;
  const auto reduce = [&](Reduce::Kind kind) {
    op.kind = kind;
    return one(op, {x, vec({0, -1})});
  };
  for (std::size_t j = 0; j < 3; ++j) {
    double sum = 0, squares = 0, high = -1e9, low = 1e9;
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t k = 0; k < 4; ++k) {
        const double v = x.data<float>()[(i * 3 + j) * 4 + k];
        sum += v, squares += v * v, high = std::max(high, v), low = std::min(low, v);
      }
    }
    EXPECT_FLOAT_EQ(reduce(Reduce::Kind::sum).data<float>()[j], static_cast<float>(sum));
    EXPECT_FLOAT_EQ(reduce(Reduce::Kind::mean).data<float>()[j], static_cast<float>(sum / 8));
    EXPECT_FLOAT_EQ(reduce(Reduce::Kind::l2).data<float>()[j], static_cast<float>(std::sqrt(squares)));
    EXPECT_FLOAT_EQ(reduce(Reduce::Kind::max).data<float>()[j], static_cast<float>(high));
    EXPECT_FLOAT_EQ(reduce(Reduce::Kind::min).data<float>()[j], static_cast<float>(low));
  }
  op.kind = Reduce::Kind::sum;
  EXPECT_EQ(one(op, {vec({1, 2, 3})}).data<std::int64_t>()[0], 6);
  EXPECT_THROW(one(op, {Tensor(DType::f32, {0})}), Error);
}

TEST(Evaluate, ActivationsHaveKnownValues) {
  const auto f = [](UnaryKind kind, double x, float alpha = 0, float beta = 0) {
    return apply_activation({kind, alpha, beta}, x);
  };
  EXPECT_EQ(f(UnaryKind::relu, -2), 0);
  EXPECT_EQ(f(UnaryKind::clip, 7, 0, 6), 6);
  EXPECT_EQ(f(UnaryKind::leaky_relu, -2, 0.5F), -1);
  EXPECT_NEAR(f(UnaryKind::sigmoid, 1), 0.7310585786300049, 1e-15);
  EXPECT_EQ(f(UnaryKind::hard_swish, 1), 1 * (1.0 / 6 + 0.5));
  EXPECT_EQ(f(UnaryKind::hard_swish, -4), 0);
  EXPECT_EQ(f(UnaryKind::hard_sigmoid, 1, 0.25F, 0.5F), 0.75);
  EXPECT_NEAR(f(UnaryKind::elu, -1, 2), 2 * (std::exp(-1.0) - 1), 1e-15);
  EXPECT_NEAR(f(UnaryKind::gelu, 1), 0.8413447460685429, 1e-15);
  EXPECT_NEAR(f(UnaryKind::gelu_tanh, 1), 0.8411919906082768, 1e-12);
  EXPECT_NEAR(f(UnaryKind::mish, 1), 0.8650983882673103, 1e-12);
  EXPECT_EQ(f(UnaryKind::softplus, 1000), 1000);
  EXPECT_TRUE(std::isnan(f(UnaryKind::relu, NAN)));
  EXPECT_TRUE(std::isnan(f(UnaryKind::clip, NAN, 0, 6)));
}

TEST(Evaluate, RefusesWhatItDoesNotKnow) {
  const Tensor x(DType::f32, {1, 1, 4, 4}), w(DType::f32, {1, 1, 1, 1});
  EXPECT_FALSE(can_evaluate(Conv{}));
  EXPECT_NE(error_of([&] { one(Conv{}, {x, w}); }).find("node 'node' (Conv)"), std::string::npos);
  Node node{"node", Conv{}, {0, 1}, {2}};
  EXPECT_FALSE(evaluate_constant(node, {&x, &w}).has_value());
  EXPECT_NE(error_of([&] { one(Gather{0}, {vec({1, 2}), vec({2})}); }).find("index 2"), std::string::npos);
  EXPECT_NE(error_of([&] { one(Binary{}, {Tensor::scalar(true), Tensor::scalar(true)}); }), "");
  EXPECT_NE(error_of([&] { one(ConstantOfShape{}, {vec({1LL << 20, 1LL << 20})}); }), "");
}

}  // namespace
}  // namespace wins::graph

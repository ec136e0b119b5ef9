// Every operator with loops of its own against what ONNX Runtime gave for the same node.
#include <cmath>
#include <limits>
#include <set>

#include "known_values.hpp"
#include "onnxruntime_others.hpp"
#include "onnxruntime_windows.hpp"

namespace wins::runtime::ref {
namespace {

using graph::Activation;
using graph::AutoPad;
using graph::BinaryKind;
using graph::UnaryKind;
using graph::Window;

struct Case {
  std::string name;
  graph::Op op;
  std::vector<Tensor> inputs;
};

const Shape kX{1, 2, 4, 5};

graph::Conv conv(Window window, std::int64_t group = 1) { return {window, group, {}}; }

std::vector<Case> convolutions() {
  const Tensor plane = data(1, {2, 3, 7, 6});
  const Tensor wide = data(1, {1, 2, 7, 8});
  return {
      {"conv", conv({.kernel = {3, 3}, .stride = {2, 1}, .pads = {1, 0, 2, 1}}),
       {plane, data(2, {4, 3, 3, 3}), data(3, {4})}},
      {"conv_groups", conv({.kernel = {3, 2}, .dilation = {2, 1}, .pads = {1, 1, 1, 1}}, 2),
       {data(1, {1, 4, 8, 7}), data(2, {6, 2, 3, 2})}},
      {"conv_depthwise", conv({.kernel = {5, 5}, .pads = {2, 2, 2, 2}}, 3),
       {data(1, {1, 3, 6, 6}), data(2, {3, 1, 5, 5}), data(3, {3})}},
      {"conv_same_upper", conv({.kernel = {3, 2}, .stride = {2, 3}, .auto_pad = AutoPad::same_upper}),
       {wide, data(2, {2, 2, 3, 2})}},
      {"conv_same_lower", conv({.kernel = {4, 2}, .stride = {2, 1}, .auto_pad = AutoPad::same_lower}),
       {wide, data(2, {2, 2, 4, 2})}},
      {"transpose",
       graph::ConvTranspose{{.kernel = {3, 3}, .stride = {2, 3}, .pads = {1, 0, 2, 1}}, 1, {1, 2}, {}},
       {data(1, {1, 3, 4, 5}), data(2, {3, 2, 3, 3}), data(3, {2})}},
      {"transpose_groups",
       graph::ConvTranspose{{.kernel = {2, 3}, .dilation = {2, 1}, .pads = {0, 1, 1, 0}}, 2, {0, 0}, {}},
       {data(1, {2, 4, 3, 3}), data(2, {4, 1, 2, 3})}},
      {"transpose_shape", graph::ConvTranspose{{.kernel = {4, 3}, .stride = {2, 2}}, 1, {0, 0}, {5, 8}},
       {data(1, {1, 2, 3, 4}), data(2, {2, 2, 4, 3})}},
      {"transpose_same",
       graph::ConvTranspose{{.kernel = {4, 3}, .stride = {2, 2}, .auto_pad = AutoPad::same_upper}, 1, {0, 0}, {}},
       {data(1, {1, 2, 3, 4}), data(2, {2, 2, 4, 3})}},
  };
}

std::vector<Case> pools() {
  using Kind = graph::Pool::Kind;
  const Tensor x = data(1, {1, 2, 6, 7});
  const Tensor plane = data(1, {2, 3, 7, 6});
  const Window three{.kernel = {3, 3}, .stride = {2, 2}};
  const Window padded{.kernel = {3, 3}, .stride = {2, 2}, .pads = {1, 1, 1, 1}};
  const Window uneven{.kernel = {3, 2}, .stride = {2, 2}, .pads = {1, 0, 1, 1}};
  return {
      {"max_ceil", graph::Pool{Kind::max, three, true, false}, {x}},
      {"max_ceil_pads",
       graph::Pool{Kind::max, {.kernel = {2, 2}, .stride = {3, 3}, .pads = {1, 1, 1, 1}}, true, false},
       {data(1, {1, 2, 5, 6})}},
      {"max_dilated",
       graph::Pool{Kind::max, {.kernel = {2, 3}, .dilation = {3, 2}, .pads = {1, 2, 1, 0}}, false, false}, {x}},
      {"average", graph::Pool{Kind::average, uneven, false, false}, {x}},
      {"average_include", graph::Pool{Kind::average, uneven, false, true}, {x}},
      {"average_ceil", graph::Pool{Kind::average, padded, true, false}, {x}},
      {"average_ceil_include", graph::Pool{Kind::average, padded, true, true}, {data(1, {1, 2, 6, 8})}},
      {"average_dilated",
       graph::Pool{Kind::average, {.kernel = {2, 2}, .dilation = {2, 3}, .pads = {1, 1, 1, 1}}, false, false}, {x}},
      {"average_same",
       graph::Pool{Kind::average, {.kernel = {3, 3}, .stride = {2, 2}, .auto_pad = AutoPad::same_upper}, false, false},
       {x}},
      {"global_average", graph::GlobalPool{Kind::average}, {plane}},
      {"global_max", graph::GlobalPool{Kind::max}, {plane}},
  };
}

std::vector<Case> normalisations() {
  const Tensor cube = data(1, {2, 3, 4});
  return {
      {"batch_norm", graph::BatchNorm{0.01F, 0.9F},
       {data(1, {2, 3, 7, 6}), data(2, {3}), data(3, {3}), data(4, {3}), data(5, {3}, 2)}},
      {"lrn_odd", graph::Lrn{5, 0.5F, 0.6F, 1.5F}, {data(1, {1, 7, 2, 2})}},
      {"softmax", graph::Softmax{1, false}, {cube}},
      {"log_softmax", graph::Softmax{-1, true}, {cube}},
      {"layer_norm", graph::LayerNorm{1, 0.01F}, {cube, data(2, {3, 4}), data(3, {3, 4})}},
      {"reduce_mean", graph::Reduce{graph::Reduce::Kind::mean, false, false}, {cube, ints({0, -1})}},
      {"reduce_sum", graph::Reduce{graph::Reduce::Kind::sum, true, false}, {cube, ints({1})}},
      {"reduce_max", graph::Reduce{graph::Reduce::Kind::max, true, false}, {cube, ints({2})}},
      {"reduce_min", graph::Reduce{graph::Reduce::Kind::min, true, false}, {cube}},
      {"reduce_l2", graph::Reduce{graph::Reduce::Kind::l2, true, false}, {cube, ints({1, 2})}},
  };
}

std::vector<Case> products() {
  return {
      {"gemm", graph::Gemm{0.5F, 2.0F, true, false, {}}, {data(1, {3, 4}), data(2, {3, 5}), data(3, {5})}},
      {"gemm_transposed", graph::Gemm{1, 1, false, true, {}}, {data(1, {4, 3}), data(2, {5, 3}), data(3, {4, 1})}},
      {"matmul", graph::MatMul{}, {data(1, {2, 1, 3, 4}), data(2, {3, 4, 2})}},
      {"matmul_vector", graph::MatMul{}, {data(1, {4}), data(2, {2, 4, 3})}},
      {"prelu", graph::PRelu{}, {data(1, kX), data(2, {2, 1, 1})}},
  };
}

std::vector<Case> binaries() {
  const Tensor a = data(1, {2, 1, 3});
  const Tensor b = data(2, {4, 1});
  const auto of = [](BinaryKind kind) { return graph::Binary{kind, {}}; };
  return {
      {"add", of(BinaryKind::add), {a, b}},
      {"sub", of(BinaryKind::sub), {a, b}},
      {"mul", of(BinaryKind::mul), {a, b}},
      {"div", of(BinaryKind::div), {a, data(2, {4, 1}, 2)}},
      {"pow", of(BinaryKind::pow), {data(1, {2, 1, 3}, 2), b}},
      {"min", of(BinaryKind::min), {a, b}},
      {"max", of(BinaryKind::max), {a, b}},
  };
}

std::vector<Case> unaries() {
  const Tensor x = data(1, kX);
  const Tensor positive = data(1, kX, 2);
  Tensor wide = x;
  for (float& value : wide.mutable_data<float>()) value *= 3;
  const auto of = [](UnaryKind kind, float alpha = 0, float beta = 0) {
    return graph::Unary{Activation{kind, alpha, beta}};
  };
  return {
      {"relu", of(UnaryKind::relu), {x}},
      {"clip", of(UnaryKind::clip, -0.5F, 0.75F), {x}},
      {"leaky_relu", of(UnaryKind::leaky_relu, 0.125F), {x}},
      {"sigmoid", of(UnaryKind::sigmoid), {x}},
      {"tanh", of(UnaryKind::tanh), {x}},
      {"hard_swish", of(UnaryKind::hard_swish), {wide}},
      {"hard_sigmoid", of(UnaryKind::hard_sigmoid, 0.5F, 0.25F), {x}},
      {"elu", of(UnaryKind::elu, 1.5F), {x}},
      {"gelu", of(UnaryKind::gelu), {x}},
      {"gelu_tanh", of(UnaryKind::gelu_tanh), {x}},
      {"softplus", of(UnaryKind::softplus), {x}},
      {"mish", of(UnaryKind::mish), {x}},
      {"erf", of(UnaryKind::erf), {x}},
      {"exp", of(UnaryKind::exp), {x}},
      {"log", of(UnaryKind::log), {positive}},
      {"sqrt", of(UnaryKind::sqrt), {positive}},
      {"reciprocal", of(UnaryKind::reciprocal), {positive}},
      {"neg", of(UnaryKind::neg), {x}},
      {"abs", of(UnaryKind::abs), {x}},
      {"floor", of(UnaryKind::floor), {x}},
      {"ceil", of(UnaryKind::ceil), {x}},
  };
}

std::vector<Case> resizes() {
  using R = graph::Resize;
  const Tensor x = data(1, kX);
  const Tensor up = floats({1, 1, 2, 1.6F});
  const Tensor down = ints({1, 2, 3, 3});
  const auto half = R::Coordinate::half_pixel;
  const auto corners = R::Coordinate::align_corners;
  const auto nearest = [](R::Coordinate coordinate, R::Nearest rounding) {
    return R{R::Mode::nearest, coordinate, rounding, -0.75F};
  };
  const auto smooth = [](R::Mode mode, R::Coordinate coordinate, float a = -0.75F) {
    return R{mode, coordinate, R::Nearest::round_prefer_floor, a};
  };
  const auto by_scale = [&](const Tensor& scales) { return std::vector<Tensor>{x, {}, scales}; };
  const auto by_size = [&](const Tensor& sizes) { return std::vector<Tensor>{x, {}, {}, sizes}; };
  return {
      {"nearest_default", nearest(half, R::Nearest::round_prefer_floor), by_scale(up)},
      {"nearest_asymmetric", nearest(R::Coordinate::asymmetric, R::Nearest::floor), by_scale(up)},
      {"nearest_ceil", nearest(half, R::Nearest::ceil), by_size(down)},
      {"nearest_corners", nearest(corners, R::Nearest::round_prefer_ceil), by_size(ints({1, 2, 7, 8}))},
      {"linear", smooth(R::Mode::linear, half), by_scale(up)},
      {"linear_down", smooth(R::Mode::linear, half), by_size(down)},
      {"linear_corners", smooth(R::Mode::linear, corners), by_scale(up)},
      {"linear_pytorch", smooth(R::Mode::linear, R::Coordinate::pytorch_half_pixel), by_size(ints({1, 2, 1, 9}))},
      {"linear_symmetric", smooth(R::Mode::linear, R::Coordinate::half_pixel_symmetric),
       by_scale(floats({1, 1, 1.3F, 1.7F}))},
      {"cubic", smooth(R::Mode::cubic, half, -0.5F), by_scale(up)},
      {"cubic_down", smooth(R::Mode::cubic, R::Coordinate::asymmetric), by_size(down)},
  };
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto& family : {convolutions, pools, normalisations, products, binaries, unaries, resizes}) {
    for (Case& entry : family()) cases.push_back(std::move(entry));
  }
  return cases;
}

const std::map<std::string, KnownResult>& known_results() {
  static const auto results = [] {
    std::map<std::string, KnownResult> all = known_windows();
    all.merge(known_others());
    return all;
  }();
  return results;
}

class Operators : public testing::TestWithParam<Precision> {};

TEST_P(Operators, MatchOnnxRuntime) {
  for (const Case& entry : all_cases()) {
    SCOPED_TRACE(entry.name);
    ASSERT_TRUE(known_results().contains(entry.name));
    const KnownResult& known = known_results().at(entry.name);
    const std::vector<Tensor> result = run_op(entry.op, entry.inputs, GetParam());
    ASSERT_EQ(result.size(), 1U);
    EXPECT_EQ(result[0].dtype(), GetParam() == Precision::float64 ? DType::f64 : DType::f32);
    ASSERT_EQ(result[0].shape(), known.shape);
    // The known values are float32 themselves.
    EXPECT_LE(max_abs_difference(result[0], Tensor::of(known.shape, known.values)), 4e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, Operators, testing::Values(Precision::float32, Precision::float64));

TEST(OperatorCases, AllKnownResultsAreUsed) {
  std::set<std::string> names;
  for (const Case& entry : all_cases()) names.insert(entry.name);
  for (const auto& [name, known] : known_results()) EXPECT_TRUE(names.contains(name)) << name;
}

TEST(Lrn, EvenSizeReachesFurtherForward) {
  // Size 2 of channels (1, 2, 3): each takes itself and the next one. alpha / size = 1, beta = 1.
  const Tensor x = Tensor::of<float>({1, 3, 1, 1}, {1, 2, 3});
  const auto y = run_op(graph::Lrn{2, 2.0F, 1.0F, 0.0F}, {x}, Precision::float64);
  EXPECT_NEAR(y[0].data<double>()[0], 1.0 / 5, 1e-15);
  EXPECT_NEAR(y[0].data<double>()[1], 2.0 / 13, 1e-15);
  EXPECT_NEAR(y[0].data<double>()[2], 3.0 / 9, 1e-15);
}

TEST(Unary, SiluAndNan) {
  const Tensor x = Tensor::of<float>({3}, {-1, 2, std::numeric_limits<float>::quiet_NaN()});
  const auto y = run_op(graph::Unary{{UnaryKind::silu, 0, 0}}, {x}, Precision::float64);
  EXPECT_NEAR(y[0].data<double>()[0], -0.2689414213699951, 1e-15);
  EXPECT_NEAR(y[0].data<double>()[1], 1.7615941559557646, 1e-15);
  const auto relu = run_op(graph::Unary{{UnaryKind::relu, 0, 0}}, {x}, Precision::float32);
  EXPECT_TRUE(std::isnan(relu[0].data<float>()[2]));
}

TEST(Pool, NanWinsWhereverItIs) {
  const graph::Pool pool{graph::Pool::Kind::max, {.kernel = {1, 3}}, false, false};
  for (std::size_t at = 0; at < 3; ++at) {
    std::vector<float> values{3, 2, 1};
    values[at] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(run_op(pool, {Tensor::of<float>({1, 1, 1, 3}, values)}, Precision::float32)[0].data<float>()[0])) << at;
  }
}

TEST(Conv, EpilogueAddsBiasAndResidualBeforeTheActivation) {
  const Tensor x = data(1, {1, 2, 5, 4});
  const Tensor w = data(2, {3, 2, 3, 3});
  const Tensor bias = data(3, {3});
  const Tensor residual = data(4, {1, 3, 5, 4});
  const Window window{.kernel = {3, 3}, .pads = {1, 1, 1, 1}};
  const Tensor plain = run_op(conv(window), {x, w}, Precision::float64)[0];
  graph::Conv fused = conv(window);
  fused.activation = {UnaryKind::relu, 0, 0};
  const Tensor y = run_op(fused, {x, w, bias, residual}, Precision::float64)[0];
  for (std::size_t i = 0; i < y.data<double>().size(); ++i) {
    const double sum = plain.data<double>()[i] + static_cast<double>(bias.data<float>()[i / 20]) +
                       static_cast<double>(residual.data<float>()[i]);
    EXPECT_DOUBLE_EQ(y.data<double>()[i], sum > 0 ? sum : 0);
  }
}

TEST(Conv, ErrorsNameTheNode) {
  try {
    run_op(conv({.kernel = {3, 3}}), {data(1, {1, 2, 5, 4}), data(2, {3, 4, 3, 3})}, Precision::float32);
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_STREQ(error.what(), "node 'the node' (Conv): weights 3x4x3x3 with 1 groups do not fit input 1x2x5x4");
  }
}

}  // namespace
}  // namespace wins::runtime::ref

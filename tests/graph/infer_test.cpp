// Shape inference of everything without windows.
#include <cmath>

#include "builders.hpp"

namespace wins::graph {
namespace {

TEST(InferElementwise, Broadcasting) {
  const auto add = [](wins::Shape a, wins::Shape b) {
    return inferred(Binary{}, {of_shape(a), of_shape(b)});
  };
  EXPECT_EQ(add({2, 3, 4}, {3, 1}), "2x3x4");
  EXPECT_EQ(add({1}, {5, 6}), "5x6");
  EXPECT_EQ(add({}, {2}), "2");
  EXPECT_EQ(add({-1, 3}, {1, 3}), "?x3");
  EXPECT_EQ(add({-1, 3}, {7, 3}), "7x3");
  EXPECT_EQ(add({0, 3}, {1, 3}), "0x3");
  EXPECT_NE(infer_error(Binary{}, {of_shape({2}), of_shape({3})}), "");
  EXPECT_NE(infer_error(Binary{}, {of_shape({2}), of_shape({2}, DType::i64)}), "");
  EXPECT_EQ(inferred(PRelu{}, {of_shape({1, 4, 2, 2}), of_shape({4, 1, 1})}), "1x4x2x2");
  EXPECT_NE(infer_error(PRelu{}, {of_shape({1, 4, 1, 1}), of_shape({4, 2, 2})}), "");
  EXPECT_NE(infer_error(Unary{{UnaryKind::exp, 0, 0}}, {of_shape({1}, DType::i64)}), "");
}

TEST(InferElementwise, Normalisations) {
  const auto norm = [](std::int64_t c) {
    return std::vector<Arg>{of_shape({-1, 4, 2, 2}), of_shape({c}), of_shape({c}), of_shape({c}),
                            of_shape({c})};
  };
  EXPECT_EQ(inferred(BatchNorm{}, norm(4)), "?x4x2x2");
  EXPECT_NE(infer_error(BatchNorm{}, norm(5)), "");
  EXPECT_EQ(inferred(LayerNorm{-2}, {of_shape({2, 3, 4}), of_shape({3, 4}), of_shape({4})}), "2x3x4");
  EXPECT_NE(infer_error(LayerNorm{-1}, {of_shape({2, 3, 4}), of_shape({3})}), "");
  EXPECT_EQ(inferred(Softmax{-1}, {of_shape({2, 3})}), "2x3");
  EXPECT_NE(infer_error(Softmax{2}, {of_shape({2, 3})}), "");
  EXPECT_EQ(inferred(Lrn{5}, {of_shape({1, 6, 2, 2})}), "1x6x2x2");
  EXPECT_NE(infer_error(Lrn{0}, {of_shape({1, 6, 2, 2})}), "");
}

TEST(InferLinear, GemmAndMatMul) {
  Gemm gemm;
  gemm.trans_b = true;
  EXPECT_EQ(inferred(gemm, {of_shape({-1, 5}), of_shape({7, 5}), of_shape({7})}), "?x7");
  EXPECT_NE(infer_error(gemm, {of_shape({2, 5}), of_shape({5, 7})}), "");
  EXPECT_NE(infer_error(gemm, {of_shape({2, 5}), of_shape({7, 5}), of_shape({5})}), "");
  gemm.trans_a = true;
  EXPECT_EQ(inferred(gemm, {of_shape({5, 2}), of_shape({7, 5})}), "2x7");
  const auto matmul = [](wins::Shape a, wins::Shape b) {
    return inferred(MatMul{}, {of_shape(a), of_shape(b)});
  };
  EXPECT_EQ(matmul({2, 3}, {3, 4}), "2x4");
  EXPECT_EQ(matmul({3}, {3}), "scalar");
  EXPECT_EQ(matmul({3}, {5, 3, 4}), "5x4");
  EXPECT_EQ(matmul({5, 2, 3}, {3}), "5x2");
  EXPECT_EQ(matmul({6, 1, 2, 3}, {5, 3, 4}), "6x5x2x4");
  EXPECT_NE(infer_error(MatMul{}, {of_shape({2, 3}), of_shape({4, 3})}), "");
  EXPECT_NE(infer_error(MatMul{}, {of_shape({}), of_shape({4, 3})}), "");
}

TEST(InferReshape, Targets) {
  const auto reshape = [](wins::Shape x, const Ints& target) {
    return inferred(Reshape{}, {of_shape(x), ints(target)});
  };
  EXPECT_EQ(reshape({2, 3, 4}, {-1, 4}), "6x4");
  EXPECT_EQ(reshape({2, 3, 4}, {0, -1}), "2x12");
  EXPECT_EQ(reshape({-1, 8, 1, 1}, {0, -1}), "?x8");
  EXPECT_EQ(reshape({-1, 8, 1, 1}, {-1, 8}), "?x8");
  EXPECT_EQ(reshape({1}, {}), "scalar");
  EXPECT_EQ(inferred(Reshape{true}, {of_shape({0, 3}), ints({3, 0})}), "3x0");
  EXPECT_EQ(inferred(Reshape{}, {of_shape({2, 3}), of_shape({3}, DType::i64)}), "?x?x?");
  for (const Ints& silly :
       std::vector<Ints>{{5, -1}, {7}, {-1, -1}, {-2}, {0, 0, 0}, {1LL << 62, 4}, {0, 6}}) {
    EXPECT_NE(infer_error(Reshape{}, {of_shape({2, 3}), ints(silly)}), "") << to_string(silly);
  }
}

TEST(InferReshape, FlattenSqueezeUnsqueeze) {
  EXPECT_EQ(inferred(Flatten{1}, {of_shape({-1, 3, 4})}), "?x12");
  EXPECT_EQ(inferred(Flatten{0}, {of_shape({2, 3, 4})}), "1x24");
  EXPECT_EQ(inferred(Flatten{-1}, {of_shape({2, 3, 4})}), "6x4");
  EXPECT_EQ(inferred(Flatten{3}, {of_shape({2, 3, 4})}), "24x1");
  EXPECT_NE(infer_error(Flatten{4}, {of_shape({2, 3, 4})}), "");
  EXPECT_EQ(inferred(Squeeze{}, {of_shape({1, 3, 1})}), "3");
  EXPECT_EQ(inferred(Squeeze{}, {of_shape({1, -1, 1})}), "unknown");
  EXPECT_EQ(inferred(Squeeze{}, {of_shape({1, -1, 1}), ints({-1})}), "1x?");
  EXPECT_NE(infer_error(Squeeze{}, {of_shape({1, 3}), ints({1})}), "");
  EXPECT_EQ(inferred(Unsqueeze{}, {of_shape({3, 4}), ints({0, -1})}), "1x3x4x1");
  EXPECT_NE(infer_error(Unsqueeze{}, {of_shape({3, 4}), ints({0, 0})}), "");
  EXPECT_NE(infer_error(Unsqueeze{}, {of_shape({3, 4}), ints({4})}), "");
}

TEST(InferReshape, ExpandShapeAndGenerators) {
  EXPECT_EQ(inferred(Expand{}, {of_shape({3, 1}), ints({2, 1, 6})}), "2x3x6");
  EXPECT_EQ(inferred(Expand{}, {of_shape({3, 4}), ints({1})}), "3x4");
  EXPECT_NE(infer_error(Expand{}, {of_shape({3, 4}), ints({2, 4})}), "");
  EXPECT_NE(infer_error(Expand{}, {of_shape({3, 4}), ints({-5, 1, 1})}), "");
  EXPECT_EQ(inferred(Shape{}, {of_shape({3, -1, 5})}), "3");
  EXPECT_EQ(inferred(Shape{-2, {}}, {of_shape({3, -1, 5})}), "2");
  EXPECT_EQ(inferred(Shape{1, -1}, {of_shape({3, -1, 5})}), "1");
  EXPECT_EQ(inferred(ConstantOfShape{}, {ints({2, 0})}), "2x0");
  EXPECT_NE(infer_error(ConstantOfShape{}, {ints({-1})}), "");
  EXPECT_NE(infer_error(ConstantOfShape{}, {ints({1LL << 50})}), "");
  const auto range = [](std::int64_t a, std::int64_t b, std::int64_t d) {
    return single_node(
        Range{}, {constant(Tensor::scalar(a)), constant(Tensor::scalar(b)), constant(Tensor::scalar(d))});
  };
  const auto length = [&](std::int64_t a, std::int64_t b, std::int64_t d) {
    Graph graph = range(a, b, d);
    infer_shapes(graph);
    return to_string(*graph.value(graph.outputs[0]).shape);
  };
  EXPECT_EQ(length(0, 10, 3), "4");
  EXPECT_EQ(length(10, 0, -3), "4");
  EXPECT_EQ(length(0, 10, -1), "0");
  EXPECT_EQ(length(5, 5, 1), "0");
  EXPECT_EQ(length(INT64_MIN, INT64_MAX, INT64_MAX), "3");
  EXPECT_THROW(length(0, 10, 0), Error);
  EXPECT_THROW(length(INT64_MIN, INT64_MAX, 1), Error);
  const auto float_range = [](float a, float b, float d) {
    return infer_error(
        Range{}, {constant(Tensor::scalar(a)), constant(Tensor::scalar(b)), constant(Tensor::scalar(d))});
  };
  EXPECT_EQ(float_range(0, 1, 0.25F), "");
  EXPECT_NE(float_range(0, INFINITY, 1), "");
  EXPECT_NE(float_range(0, 1, NAN), "");
}

TEST(InferMovement, TransposeConcatSplit) {
  EXPECT_EQ(inferred(Transpose{}, {of_shape({2, 3, 4})}), "4x3x2");
  EXPECT_EQ(inferred(Transpose{{1, 0, 2}}, {of_shape({2, -1, 4})}), "?x2x4");
  EXPECT_NE(infer_error(Transpose{{0, 0, 1}}, {of_shape({2, 3, 4})}), "");
  EXPECT_NE(infer_error(Transpose{{0, 1}}, {of_shape({2, 3, 4})}), "");
  EXPECT_EQ(inferred(Concat{-1}, {of_shape({2, 3}), of_shape({2, 5})}), "2x8");
  EXPECT_EQ(inferred(Concat{1}, {of_shape({-1, 3}), of_shape({2, -1})}), "2x?");
  EXPECT_NE(infer_error(Concat{0}, {of_shape({2, 3}), of_shape({2, 5})}), "");
  EXPECT_NE(infer_error(Concat{0}, {of_shape({2, 3}), of_shape({2})}), "");
  EXPECT_EQ(inferred(Split{1}, {of_shape({2, 7})}, 3), "2x3 2x3 2x1");
  EXPECT_EQ(inferred(Split{-1}, {of_shape({2, 7}), ints({1, 4, 2})}, 3), "2x1 2x4 2x2");
  EXPECT_EQ(inferred(Split{1}, {of_shape({2, -1})}, 2), "2x? 2x?");
  EXPECT_NE(infer_error(Split{1}, {of_shape({2, 7}), ints({1, 4})}, 2), "");
  EXPECT_NE(infer_error(Split{1}, {of_shape({2, 7}), ints({-1, 8})}, 2), "");
  EXPECT_NE(infer_error(Split{1}, {of_shape({2, 2})}, 4), "");
}

TEST(InferMovement, Slice) {
  const auto slice = [](std::int64_t extent, std::int64_t start, std::int64_t end, std::int64_t step) {
    return inferred(Slice{}, {of_shape({extent}), ints({start}), ints({end}), ints({0}), ints({step})});
  };
  EXPECT_EQ(slice(10, 2, 9, 3), "3");
  EXPECT_EQ(slice(10, -3, INT64_MAX, 1), "3");
  EXPECT_EQ(slice(10, 9, INT64_MIN, -1), "10");
  EXPECT_EQ(slice(10, -1, -11, -3), "4");
  EXPECT_EQ(slice(10, 5, 5, 1), "0");
  EXPECT_EQ(slice(10, 100, 200, 1), "0");
  EXPECT_EQ(slice(10, 0, 10, INT64_MAX), "1");
  EXPECT_EQ(slice(10, 9, 0, INT64_MIN), "1");
  EXPECT_EQ(slice(0, 0, 5, 1), "0");
  EXPECT_EQ(slice(0, 0, INT64_MIN, -1), "0");
  EXPECT_EQ(slice(-1, 0, 5, 1), "?");
  EXPECT_NE(infer_error(Slice{}, {of_shape({4}), ints({0}), ints({2}), ints({0}), ints({0})}), "");
  EXPECT_NE(infer_error(Slice{}, {of_shape({4}), ints({0}), ints({2}), ints({1})}), "");
  EXPECT_NE(infer_error(Slice{}, {of_shape({4}), ints({0}), ints({2, 3})}), "");
  EXPECT_EQ(inferred(Slice{}, {of_shape({4, 5}), ints({1}), ints({3})}), "2x5");
  EXPECT_EQ(inferred(Slice{}, {of_shape({4, 5}), of_shape({1}, DType::i64), ints({3}), ints({1})}), "4x?");
}

TEST(InferMovement, GatherPadResize) {
  EXPECT_EQ(inferred(Gather{1}, {of_shape({2, 3, 4}), ints({0, 1})}), "2x2x4");
  EXPECT_EQ(inferred(Gather{0}, {of_shape({2, 3}), constant(Tensor::scalar<std::int64_t>(0))}), "3");
  EXPECT_EQ(inferred(Gather{0}, {of_shape({2, 3}), of_shape({5, 6}, DType::i64)}), "5x6x3");
  EXPECT_NE(infer_error(Gather{0}, {of_shape({2, 3}), of_shape({5, 6})}), "");
  EXPECT_EQ(inferred(Pad{}, {of_shape({2, 3}), ints({1, -1, 0, 2})}), "3x4");
  EXPECT_EQ(inferred(Pad{}, {of_shape({2, 3}), ints({1, 2}), absent(), ints({-1})}), "2x6");
  EXPECT_NE(infer_error(Pad{}, {of_shape({2, 3}), ints({1, -1})}), "");
  EXPECT_NE(infer_error(Pad{}, {of_shape({2, 3}), ints({-3, 0, 0, 0})}), "");
  EXPECT_NE(infer_error(Pad{Pad::Mode::reflect}, {of_shape({2, 3}), ints({0, 3, 0, 0})}), "");
  const auto scale = [](float s) {
    return inferred(Resize{}, {of_shape({1, 2, 5, -1}), absent(), floats({1, 1, s, s})});
  };
  EXPECT_EQ(scale(2), "1x2x10x?");
  EXPECT_EQ(scale(0.6F), "1x2x3x?");
  EXPECT_EQ(inferred(Resize{}, {of_shape({1, 2, 5, 6}), absent(), absent(), ints({1, 2, 7, 3})}), "1x2x7x3");
  EXPECT_EQ(inferred(Resize{}, {of_shape({1, 2, 5, 6}), absent(), floats({}), ints({1, 2, 7, 3})}),
            "1x2x7x3");
  EXPECT_THROW(scale(0), Error);
  EXPECT_THROW(scale(NAN), Error);
  EXPECT_THROW(scale(1e30F), Error);
  EXPECT_THROW(scale(0.1F), Error);
  EXPECT_NE(infer_error(Resize{}, {of_shape({1, 2, 5, 6})}), "");
}

TEST(InferMovement, BlocksAndReductions) {
  EXPECT_EQ(inferred(DepthToSpace{2, true}, {of_shape({-1, 12, 3, -1})}), "?x3x6x?");
  EXPECT_NE(infer_error(DepthToSpace{2, true}, {of_shape({1, 6, 3, 3})}), "");
  EXPECT_NE(infer_error(DepthToSpace{0, true}, {of_shape({1, 6, 3, 3})}), "");
  EXPECT_EQ(inferred(SpaceToDepth{2}, {of_shape({1, 3, 6, 4})}), "1x12x3x2");
  EXPECT_NE(infer_error(SpaceToDepth{2}, {of_shape({1, 3, 5, 4})}), "");
  Reduce reduce;
  EXPECT_EQ(inferred(reduce, {of_shape({2, 3, 4}), ints({-1, 0})}), "1x3x1");
  EXPECT_EQ(inferred(reduce, {of_shape({2, 3, 4})}), "1x1x1");
  reduce.keep_dims = false;
  EXPECT_EQ(inferred(reduce, {of_shape({2, -1, 4}), ints({2})}), "2x?");
  EXPECT_EQ(inferred(reduce, {of_shape({2, 3, 4})}), "scalar");
  reduce.noop_with_empty_axes = true;
  EXPECT_EQ(inferred(reduce, {of_shape({2, 3, 4})}), "2x3x4");
  EXPECT_EQ(inferred(Cast{DType::i64}, {of_shape({2, -1})}), "2x?");
}

TEST(Infer, RanksAreBounded) {
  EXPECT_NE(infer_error(ConstantOfShape{}, {ints(Ints(40, 1))}), "");
  EXPECT_NE(infer_error(Reshape{}, {of_shape({1}), of_shape({1LL << 39}, DType::i64)}), "");
}

}  // namespace
}  // namespace wins::graph

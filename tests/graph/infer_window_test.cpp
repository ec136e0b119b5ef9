#include <algorithm>

#include "builders.hpp"

namespace wins::graph {
namespace {

Conv conv(const Window& w, std::int64_t group = 1) {
  Conv op;
  op.window = w;
  op.group = group;
  return op;
}

std::string conv_shape(const Window& w, wins::Shape x, std::int64_t k = 8, std::int64_t group = 1) {
  const std::int64_t c = x[1] / group;
  return inferred(conv(w, group), {of_shape(std::move(x)), of_shape({k, c, w.kernel[0], w.kernel[1]})});
}

TEST(InferConv, StridesPadsDilations) {
  EXPECT_EQ(conv_shape(window(3, 1, 1), {2, 4, 5, 7}), "2x8x5x7");
  EXPECT_EQ(conv_shape(window(7, 2, 3), {1, 3, 224, 224}), "1x8x112x112");
  EXPECT_EQ(conv_shape(window(3, 1, 0, 2), {1, 3, 9, 6}), "1x8x5x2");
  EXPECT_EQ(conv_shape(window(3, 2, 1), {1, 8, 7, 8}, 8, 8), "1x8x4x4");
  Window w = window(3);
  w.pads = {0, 1, 2, 3};
  EXPECT_EQ(conv_shape(w, {1, 1, 5, 5}), "1x8x5x7");
}

TEST(InferConv, AutoPad) {
  for (const AutoPad mode : {AutoPad::same_upper, AutoPad::same_lower}) {
    Window w = window(4, 3);
    w.auto_pad = mode;
    EXPECT_EQ(conv_shape(w, {1, 1, 10, 9}), "1x8x4x3");
    w = window(1, 3);
    w.auto_pad = mode;
    EXPECT_EQ(conv_shape(w, {1, 1, 5, 6}), "1x8x2x2");
  }
  Window w = window(3, 2, 5);  // pads are ignored
  w.auto_pad = AutoPad::valid;
  EXPECT_EQ(conv_shape(w, {1, 1, 8, 9}), "1x8x3x4");
}

TEST(InferConv, DynamicExtents) {
  EXPECT_EQ(conv_shape(window(3, 1, 1), {-1, 4, -1, 7}), "?x8x?x7");
  EXPECT_EQ(inferred(conv(window(3, 1, 1)), {unranked(), of_shape({8, 4, 3, 3})}), "?x8x?x?");
}

TEST(InferConv, Contradictions) {
  const Arg w = of_shape({8, 4, 3, 3});
  for (const auto& [op, x, weights] : std::vector<std::tuple<Conv, wins::Shape, Arg>>{
           {conv(window(3)), {1, 5, 9, 9}, w},
           {conv(window(3)), {1, 4, 2, 9}, w},
           {conv(window(5)), {1, 4, 9, 9}, w},
           {conv(window(3)), {4, 9, 9}, w},
           {conv(window(3), 3), {1, 12, 9, 9}, w},
           {conv(window(3), 0), {1, 4, 9, 9}, w},
           {conv(window(3, 0)), {1, 4, 9, 9}, w},
           {conv(window(3, 1, INT64_MAX / 2)), {1, 4, 9, 9}, w},
           {conv(window(3, 1, 1, INT64_MAX)), {1, 4, 9, 9}, w},
       }) {
    const std::string message = infer_error(op, {of_shape(x), weights});
    EXPECT_NE(message.find("node 'node' (Conv)"), std::string::npos) << to_string(x) << ": " << message;
  }
  EXPECT_NE(infer_error(conv(window(3)), {of_shape({1, 4, 9, 9}), w, of_shape({7})}), "");
  EXPECT_NE(infer_error(conv(window(3)), {of_shape({1, 4, 9, 9}), w, absent(), of_shape({1, 8, 7, 8})}), "");
  EXPECT_EQ(infer_error(conv(window(3)), {of_shape({1, 4, 9, 9}), w, absent(), of_shape({1, 8, 7, 7})}), "");
}

TEST(InferWinograd, LikeAConvOfStrideOne) {
  WinogradConv op;
  op.m = 4;
  op.mask = winograd::Mask::full(winograd::Axis::row, 36, 8, 5);
  EXPECT_EQ(inferred(op, {of_shape({2, 5, 13, 7}), of_shape({36, 8, 5})}), "2x8x13x7");
  op.pads = {0, 0, 0, 0};
  EXPECT_EQ(inferred(op, {of_shape({2, 5, 13, 7}), of_shape({36, 8, 5})}), "2x8x11x5");
  EXPECT_NE(infer_error(op, {of_shape({2, 5, 13, 7}), of_shape({16, 8, 5})}), "");
  op.mask.keep.pop_back();
  EXPECT_NE(infer_error(op, {of_shape({2, 5, 13, 7}), of_shape({36, 8, 5})}), "");
}

ConvTranspose transpose(const Window& w, std::int64_t group = 1) {
  ConvTranspose op;
  op.window = w;
  op.group = group;
  return op;
}

TEST(InferConvTranspose, NaturalExtent) {
  const Arg w = of_shape({4, 6, 3, 3});
  EXPECT_EQ(inferred(transpose(window(3, 2, 1)), {of_shape({1, 4, 5, 6}), w}), "1x6x9x11");
  EXPECT_EQ(inferred(transpose(window(3, 2, 1), 2), {of_shape({1, 4, 5, 6}), w}), "1x12x9x11");
  ConvTranspose op = transpose(window(3, 2, 1));
  op.output_padding = {1, 1};
  EXPECT_EQ(inferred(op, {of_shape({1, 4, 5, 6}), w}), "1x6x10x12");
  EXPECT_EQ(inferred(op, {of_shape({-1, 4, -1, 6}), w}), "?x6x?x12");
}

TEST(InferConvTranspose, OutputShapeAndSame) {
  const Arg w = of_shape({4, 6, 3, 3});
  ConvTranspose op = transpose(window(3, 2));
  op.output_shape = {10, 12};
  EXPECT_EQ(inferred(op, {of_shape({1, 4, 5, 6}), w}), "1x6x10x12");
  op = transpose(window(3, 2));
  op.window.auto_pad = AutoPad::same_upper;
  EXPECT_EQ(inferred(op, {of_shape({1, 4, 5, 6}), w}), "1x6x10x12");
  op = transpose(window(1, 2));
  op.window.auto_pad = AutoPad::same_lower;  // more than there is: zeros at the end
  EXPECT_EQ(inferred(op, {of_shape({1, 4, 5, 6}), of_shape({4, 6, 1, 1})}), "1x6x10x12");
}

Pool pool(const Window& w, bool ceil_mode = false) {
  Pool op;
  op.window = w;
  op.ceil_mode = ceil_mode;
  return op;
}

TEST(InferPool, CeilMode) {
  EXPECT_EQ(inferred(pool(window(3, 2)), {of_shape({1, 1, 6, 7})}), "1x1x2x3");
  EXPECT_EQ(inferred(pool(window(3, 2), true), {of_shape({1, 1, 6, 7})}), "1x1x3x3");
  // SqueezeNet 1.0: 109 -> 54, 54 -> 27, 27 -> 13.
  EXPECT_EQ(inferred(pool(window(3, 2), true), {of_shape({1, 1, 109, 54})}), "1x1x54x27");
}

/// Counts the windows one by one: the rule in the words of PyTorch's documentation.
std::int64_t count_windows(std::int64_t input, std::int64_t kernel, std::int64_t stride, std::int64_t pad) {
  std::int64_t count = 0;
  for (std::int64_t start = -pad;; start += stride) {
    const bool starts_inside = start < input;
    const bool previous_reached_the_end = count > 0 && start - stride + kernel >= input + pad;
    if (!starts_inside || previous_reached_the_end) return count;
    ++count;
  }
}

TEST(InferPool, CeilModeAgreesWithCountingWindows) {
  for (std::int64_t input = 1; input < 12; ++input) {
    for (std::int64_t kernel = 1; kernel < 5; ++kernel) {
      for (std::int64_t stride = 1; stride < 5; ++stride) {
        for (std::int64_t pad = 0; 2 * pad <= kernel; ++pad) {
          if (input + 2 * pad < kernel || pad >= kernel) continue;
          const std::int64_t want = count_windows(input, kernel, stride, pad);
          EXPECT_EQ(inferred(pool(window(kernel, stride, pad), true), {of_shape({1, 1, input, input})}),
                    to_string(wins::Shape{1, 1, want, want}))
              << input << " " << kernel << " " << stride << " " << pad;
        }
      }
    }
  }
}

TEST(InferPool, AutoPadAndErrors) {
  Pool op = pool(window(3, 2), true);
  op.window.auto_pad = AutoPad::valid;
  EXPECT_EQ(inferred(op, {of_shape({1, 1, 6, 7})}), "1x1x2x3");
  op.window.auto_pad = AutoPad::same_lower;
  EXPECT_EQ(inferred(op, {of_shape({1, 1, 6, 7})}), "1x1x3x4");
  EXPECT_NE(infer_error(pool(window(2, 2, 2)), {of_shape({1, 1, 6, 7})}), "");
  EXPECT_NE(infer_error(pool(window(3, 2)), {of_shape({1, 1, 2, 7})}), "");
  EXPECT_EQ(inferred(GlobalPool{}, {of_shape({-1, 5, 6, -1})}), "?x5x1x1");
}

TEST(Specialize, ResolvesPads) {
  Window w = window(4, 3);
  w.auto_pad = AutoPad::same_lower;
  const Graph graph = specialize(
      single_node(conv(w), {of_shape({-1, 1, -1, -1}), constant(Tensor(DType::f32, {1, 1, 4, 4}))}),
      {{2, 1, 10, 9}});
  const Window& resolved = graph.nodes[0].as<Conv>()->window;
  EXPECT_EQ(resolved.auto_pad, AutoPad::none);
  EXPECT_EQ(resolved.pads, (std::array<std::int64_t, 4>{2, 1, 1, 0}));
  EXPECT_EQ(to_string(*graph.value(graph.outputs[0]).shape), "2x1x4x3");
}

TEST(Specialize, ResolvedPoolsKeepTheirExtent) {
  Pool op = pool(window(3, 2), true);
  op.window.auto_pad = AutoPad::valid;
  Graph graph = specialize(single_node(op, {of_shape({1, 1, 6, 7})}), {{1, 1, 6, 7}});
  EXPECT_EQ(graph.nodes[0].as<Pool>()->window.auto_pad, AutoPad::none);
  infer_shapes(graph);
  EXPECT_EQ(to_string(*graph.value(graph.outputs[0]).shape), "1x1x2x3");
}

TEST(Specialize, ResolvesConvTranspose) {
  for (const bool by_shape : {true, false}) {
    ConvTranspose op = transpose(window(3, 2));
    if (by_shape)
      op.output_shape = {10, 12};
    else
      op.window.auto_pad = AutoPad::same_upper;
    Graph graph =
        specialize(single_node(op, {of_shape({1, 4, 5, 6}), constant(Tensor(DType::f32, {4, 6, 3, 3}))}),
                   {{1, 4, 5, 6}});
    const auto& resolved = *graph.nodes[0].as<ConvTranspose>();
    EXPECT_TRUE(resolved.output_shape.empty());
    EXPECT_EQ(resolved.window.auto_pad, AutoPad::none);
    // One row too many: the spec takes it from the end for SAME_UPPER, from the start otherwise.
    EXPECT_EQ(resolved.window.pads, by_shape ? (std::array<std::int64_t, 4>{1, 1, 0, 0})
                                             : (std::array<std::int64_t, 4>{0, 0, 1, 1}));
    infer_shapes(graph);
    EXPECT_EQ(to_string(*graph.value(graph.outputs[0]).shape), "1x6x10x12");
  }
}

}  // namespace
}  // namespace wins::graph

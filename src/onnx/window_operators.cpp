// Convolutions and pools.
#include <algorithm>
#include <array>

#include "operators.hpp"

namespace wins::onnx {
namespace {

using graph::AutoPad;
using graph::Ints;
using graph::Pool;
using graph::Window;

template <std::size_t n>
std::array<std::int64_t, n> fixed(const NodeReader& node, const char* attribute, std::int64_t fallback,
                                  std::int64_t smallest) {
  std::array<std::int64_t, n> values;
  values.fill(fallback);
  if (!node.has(attribute)) return values;
  const Ints given = node.integers(attribute);
  require(given.size() == n, "{} has {} entries: only 2-D windows are supported", attribute, given.size());
  for (std::size_t i = 0; i < n; ++i) {
    require(given[i] >= smallest && given[i] <= (std::int64_t{1} << 30), "{} {} is out of range", attribute,
            given[i]);
    values[i] = given[i];
  }
  return values;
}

AutoPad read_auto_pad(const NodeReader& node) {
  const std::string text = node.text("auto_pad", "NOTSET");
  if (text == "NOTSET" || text.empty()) return AutoPad::none;
  if (text == "SAME_UPPER") return AutoPad::same_upper;
  if (text == "SAME_LOWER") return AutoPad::same_lower;
  require(text == "VALID", "auto_pad = '{}' is unknown", text);
  return AutoPad::valid;
}

Window read_window(const NodeReader& node) {
  Window window;
  window.kernel = fixed<2>(node, "kernel_shape", 1, 1);
  window.stride = fixed<2>(node, "strides", 1, 1);
  window.dilation = fixed<2>(node, "dilations", 1, 1);
  window.auto_pad = read_auto_pad(node);
  // With auto_pad the attribute is void, whatever it says.
  if (window.auto_pad == AutoPad::none) window.pads = fixed<4>(node, "pads", 0, 0);
  return window;
}

/// Kernel extents from the weights, which must agree with the attribute when both are there.
Window read_conv_window(const NodeReader& node) {
  const auto rank = node.rank(1);
  require(rank.has_value(), "the weights have unknown extents");
  require(*rank == 4, "weights of {} dimensions: only 2-D convolutions are supported", *rank);
  Window window = read_window(node);
  const auto weights = node.constant(1);
  if (!weights) {
    require(node.has("kernel_shape"), "computed weights without kernel_shape are not supported");
    return window;
  }
  const std::array<std::int64_t, 2> kernel{weights->dim(2), weights->dim(3)};
  require(!node.has("kernel_shape") || window.kernel == kernel, "kernel_shape {}x{} but weights {}",
          window.kernel[0], window.kernel[1], to_string(weights->shape()));
  window.kernel = kernel;
  return window;
}

std::int64_t read_group(const NodeReader& node) {
  const std::int64_t group = node.integer("group", 1);
  require(group >= 1, "group {} is out of range", group);
  return group;
}

void read_conv(NodeReader& node) {
  graph::Conv conv;
  conv.window = read_conv_window(node);
  conv.group = read_group(node);
  node.emit_first(conv, {node.required(0), node.required(1), node.input(2)});
}

void read_conv_transpose(NodeReader& node) {
  graph::ConvTranspose conv;
  conv.window = read_conv_window(node);
  conv.group = read_group(node);
  conv.output_padding = fixed<2>(node, "output_padding", 0, 0);
  conv.output_shape = node.integers("output_shape");
  require(conv.output_shape.empty() || conv.output_shape.size() == 2, "output_shape has {} entries",
          conv.output_shape.size());
  for (const auto extent : conv.output_shape) require(extent > 0, "output_shape {} is out of range", extent);
  node.emit_first(conv, {node.required(0), node.required(1), node.input(2)});
}

void read_pool(NodeReader& node, Pool::Kind kind) {
  Pool pool;
  pool.kind = kind;
  require(node.has("kernel_shape"), "attribute 'kernel_shape' is missing");
  pool.window = read_window(node);
  pool.ceil_mode = node.integer("ceil_mode", 0) != 0;
  pool.count_include_pad = node.integer("count_include_pad", 0) != 0;
  node.emit_first(pool, {node.required(0)});
}

void read_max_pool(NodeReader& node) {
  node.refuse_output(1, "indices");
  read_pool(node, Pool::Kind::max);
}

void read_average_pool(NodeReader& node) { read_pool(node, Pool::Kind::average); }

template <Pool::Kind kind>
void read_global_pool(NodeReader& node) {
  node.emit_first(graph::GlobalPool{kind}, {node.required(0)});
}

constexpr std::array kOperators{
    Operator{"Conv", "", read_conv, "2-D"},
    Operator{"ConvTranspose", "", read_conv_transpose, "2-D"},
    Operator{"MaxPool", "", read_max_pool, "2-D; without indices"},
    Operator{"AveragePool", "", read_average_pool, "2-D"},
    Operator{"GlobalMaxPool", "", read_global_pool<Pool::Kind::max>, ""},
    Operator{"GlobalAveragePool", "", read_global_pool<Pool::Kind::average>, ""},
};

}  // namespace

std::span<const Operator> window_operators() { return kOperators; }

}  // namespace wins::onnx

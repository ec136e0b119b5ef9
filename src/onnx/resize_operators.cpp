// Resize and its predecessor Upsample.
#include <algorithm>
#include <array>

#include "operators.hpp"

namespace wins::onnx {
namespace {

using graph::kNone;
using graph::Resize;
using graph::ValueId;

Resize::Mode read_mode(const NodeReader& node) {
  const std::string mode = node.text("mode", "nearest");
  if (mode == "nearest") return Resize::Mode::nearest;
  if (mode == "linear") return Resize::Mode::linear;
  require(mode == "cubic", "mode = '{}' is not supported", mode);
  return Resize::Mode::cubic;
}

Resize::Coordinate read_coordinate(const NodeReader& node) {
  const std::string text = node.text("coordinate_transformation_mode", "half_pixel");
  if (text == "half_pixel") return Resize::Coordinate::half_pixel;
  if (text == "half_pixel_symmetric") return Resize::Coordinate::half_pixel_symmetric;
  if (text == "pytorch_half_pixel") return Resize::Coordinate::pytorch_half_pixel;
  if (text == "align_corners") return Resize::Coordinate::align_corners;
  require(text == "asymmetric", "coordinate_transformation_mode = '{}' is not supported", text);
  return Resize::Coordinate::asymmetric;
}

Resize::Nearest read_nearest(const NodeReader& node) {
  const std::string text = node.text("nearest_mode", "round_prefer_floor");
  if (text == "round_prefer_floor") return Resize::Nearest::round_prefer_floor;
  if (text == "round_prefer_ceil") return Resize::Nearest::round_prefer_ceil;
  if (text == "floor") return Resize::Nearest::floor;
  require(text == "ceil", "nearest_mode = '{}' is unknown", text);
  return Resize::Nearest::ceil;
}

/// Upsample (opset 9) and Resize (opset 10): scales alone, output pixel x reads input x / scale.
void read_scales_only(NodeReader& node) {
  Resize resize;
  resize.mode = read_mode(node);
  resize.coordinate = Resize::Coordinate::asymmetric;
  resize.nearest = Resize::Nearest::floor;
  if (const auto scales = node.constant(1)) {
    require(scales->dtype() == DType::f32, "its scales are not floats");
    const auto values = scales->data<float>();
    const bool enlarges = std::all_of(values.begin(), values.end(), [](float s) { return s >= 1.0F; });
    // The old operators do not say which pixel a shrinking nearest mode takes.
    require(enlarges || resize.mode != Resize::Mode::nearest, "nearest shrinking before opset 11 is not defined");
  }
  node.emit_first(resize, {node.required(0), kNone, node.required(1)});
}

/// Input `i`, or kNone when it is absent or an empty constant, which means the same here.
ValueId non_empty(const NodeReader& node, std::size_t i) {
  const auto value = node.constant(i);
  return value && value->size() == 0 ? kNone : node.input(i);
}

void require_all_axes(const NodeReader& node) {
  if (!node.has("axes")) return;
  const graph::Ints axes = node.integers("axes");
  const auto rank = node.rank(0);
  bool all = rank && static_cast<std::int64_t>(axes.size()) == *rank;
  for (std::size_t i = 0; all && i < axes.size(); ++i) all = axes[i] == static_cast<std::int64_t>(i);
  require(all, "axes is not supported");
}

void read_resize(NodeReader& node) {
  if (node.opset() < 11) return read_scales_only(node);
  Resize resize;
  resize.mode = read_mode(node);
  resize.coordinate = read_coordinate(node);
  resize.nearest = read_nearest(node);
  resize.cubic_a = node.number("cubic_coeff_a", -0.75F);
  node.only("antialias", 0);
  node.only("exclude_outside", 0);
  node.only("keep_aspect_ratio_policy", "stretch");
  require_all_axes(node);
  const ValueId scales = non_empty(node, 2);
  const ValueId sizes = non_empty(node, 3);
  require((scales == kNone) != (sizes == kNone), "either scales or sizes must be given");
  // The region of interest is read by tf_crop_and_resize alone, which was refused above.
  node.emit_first(resize, {node.required(0), kNone, scales, sizes});
}

constexpr std::array kOperators{
    Operator{"Resize", "", read_resize, "not antialias, axes, exclude_outside, tf_crop_and_resize"},
    Operator{"Upsample", "", read_scales_only, "opset 9; becomes Resize"},
};

}  // namespace

std::span<const Operator> resize_operators() { return kOperators; }

}  // namespace wins::onnx

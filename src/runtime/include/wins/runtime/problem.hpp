// A layer's problem as one short line of text that a benchmark can run again.
//
// Convolutions follow benchdnn's spelling: name-number pairs without separators,
//   mb1ic64ih56oc64oh56kh3ph1:m2:bias+residual+relu
// with these fields (defaults are left out when printing):
//   mb    batch                                          g    groups (1)
//   ic ih iw, oc oh ow    channels, rows, columns of input and output; oh and ow may be left out
//   kh kw kernel   sh sw stride (1)   dh dw extra dilation (0 = none, as in benchdnn)
//   ph pw padding before (0)          eh ew padding after (same as before)
// A `w` field that is left out equals its `h` field. Parts after `:` are optional:
//   m2                    Winograd tile size m (with sh2: 2, of 5 x 5 positions)
//   rows2.23.0.7...       kept rows of each position (`cols`, `elems` for the other mask axes)
//   bias+residual+relu    fused epilogue, any subset in this order; the activation by its name
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::runtime {

/// One 2-D convolution for concrete shapes.
struct ConvProblem {
  std::int64_t batch = 1, groups = 1;
  std::int64_t in_channels = 1, in_height = 1, in_width = 1;
  std::int64_t out_channels = 1, out_height = 1, out_width = 1;
  std::array<std::int64_t, 2> kernel{1, 1};
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 2> dilation{1, 1};     ///< ONNX's: 1 = none
  std::array<std::int64_t, 4> pads{0, 0, 0, 0};  ///< top, left, bottom, right
  int m = 0;                                     ///< Winograd tile; 0 = direct
  winograd::Axis axis = winograd::Axis::row;     ///< of `kept`
  std::vector<std::int64_t> kept;                ///< kept units of each position; empty = dense
  bool bias = false, residual = false;
  graph::UnaryKind activation = graph::UnaryKind::identity;

  bool operator==(const ConvProblem&) const = default;
  /// Multiply-adds as a direct convolution.
  std::int64_t direct_macs() const;
};

/// The text form above.
std::string text_of(const ConvProblem& problem);

/// Inverse of `text_of`; fields may come in any order. Throws `Error` naming the text and the
/// part that is unknown, missing, repeated, out of range or contradicts the others.
ConvProblem parse_conv_problem(std::string_view text);

/// The problem of a Conv or WinogradConv node of a specialised graph (auto_pad resolved).
/// Throws `Error` naming the node when it is another operator or has unknown shapes.
ConvProblem conv_problem(const graph::Graph& graph, const graph::Node& node);

/// What LayerPlan::problem holds for any node: the convolution form for Conv and WinogradConv,
/// else the shapes, "1x64x56x56,1x64x56x56->1x64x56x56".
std::string problem_text(const graph::Graph& graph, const graph::Node& node);

}  // namespace wins::runtime

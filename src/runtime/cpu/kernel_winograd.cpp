// Winograd kernels as candidates for Conv and WinogradConv nodes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "dnnl_step.hpp"
#include "kernels.hpp"
#include "winograd_convolution.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/passes.hpp"

namespace wins::runtime::cpu {
namespace {

using graph::Conv;
using graph::UnaryKind;
using graph::WinogradConv;
using winograd::Axis;
using winograd::Mask;

const graph::Activation& activation_of(const graph::Node& node) {
  if (const auto* conv = node.as<Conv>()) return conv->activation;
  return std::get<WinogradConv>(node.op).activation;
}

std::array<std::int64_t, 4> pads_of(const graph::Node& node) {
  if (const auto* conv = node.as<Conv>()) return conv->window.pads;
  return std::get<WinogradConv>(node.op).pads;
}

/// One of the algorithms that the kernels are written for.
struct Tile {
  int m, stride;
  const winograd::Algorithm& algorithm() const { return winograd::algorithm(m, 3, stride); }
  std::string text() const { return stride == 1 ? fmt::format("f{}", m) : fmt::format("f{}s{}", m, stride); }
};

WinogradGeometry geometry_of(const Problem& problem, Tile tile) {
  const Shape& x = problem.input_shape(0);
  const Shape& y = problem.output_shape();
  const auto pads = pads_of(problem.node);
  const winograd::TileGrid grid = winograd::tile_grid(tile.m, y[2], y[3]);
  WinogradGeometry g;
  g.m = tile.m;
  g.stride = tile.stride;
  g.block = problem.env.block;
  g.batch = x[0];
  g.in_channels = x[1];
  g.in_height = x[2];
  g.in_width = x[3];
  g.out_channels = y[1];
  g.out_height = y[2];
  g.out_width = y[3];
  g.pad_top = pads[0];
  g.pad_left = pads[1];
  g.tile_rows = grid.rows;
  g.tile_cols = grid.cols;
  g.in_pitch = problem.input_pitches[0];
  g.out_pitch = problem.output_pitches[0];
  if (problem.has_input(3)) g.residual_pitch = problem.input_pitches[3];
  return g;
}

/// Relative L2 error of one dense layer in float32: measured on normal data over 8 to 512 channels,
/// it grows with their square root (tests/runtime/cpu/winograd_test.cpp bounds it).
double typical_error(int m, std::int64_t channels) {
  const double one_channel = m == 2 ? 4e-8 : m == 4 ? 1.1e-7 : 4.4e-7;
  return one_channel * std::sqrt(static_cast<double>(channels));
}

/// Rounding a weight to 8 bits costs 2^-9 of it, and larger tiles magnify that: F(6,3) would lose two digits.
WeightStorage storage_of(const Problem& problem, Tile tile, bool sparse) {
  return sparse || tile.m == 6 ? WeightStorage::f32 : problem.env.options.weight_storage;
}

WinogradWork work_of(const Problem& problem, Tile tile, bool sparse) {
  const int positions = tile.algorithm().positions();
  const std::int64_t K = problem.output_shape()[1], C = problem.input_shape(0)[1];
  WinogradWork work;
  work.sparse = sparse;
  work.weight_bytes = storage_of(problem, tile, sparse) == WeightStorage::bf16 ? 2 : 4;
  work.live = positions;
  work.rows = positions * K;
  work.weights = work.rows * C;
  if (const auto* pruned = problem.node.as<WinogradConv>()) {
    const Mask& mask = pruned->mask;
    work.weights = mask.kept_total() * mask.unit_weights();
    work.live = 0;
    for (int xi = 0; xi < positions; ++xi) work.live += mask.kept_in(xi) > 0;
    if (mask.axis == Axis::row) work.rows = mask.kept_total();
    if (mask.axis == Axis::element && !sparse) work.weights = work.live * K * C;
  }
  work.chunks = std::clamp<std::int64_t>(
      work.rows / (std::max(1, work.live) * std::int64_t{problem.env.winograd.max_rows}), 1, 8);
  work.chunks = std::max(work.chunks, divide_up(work.rows, 1024));
  return work;
}

std::optional<std::string> refuse_pruned(const Problem& problem, const WinogradConv& op, Tile tile,
                                         bool sparse) {
  if (op.r != 3) return fmt::format("kernel {0}x{0}; 3x3 alone", op.r);
  if (op.stride != tile.stride) return fmt::format("stride {}", op.stride);
  if (op.m != tile.m) return fmt::format("pruned at m={}", op.m);
  if (sparse && op.mask.axis != Axis::element) return "the mask prunes no single weights";
  if (problem.constant(1) == nullptr) return "weights are not constant";
  return std::nullopt;
}

std::optional<std::string> refuse_dense(const Problem& problem, Tile tile) {
  const int m = tile.m;
  if (!problem.env.options.winograd) return "Winograd is off";
  const std::string reason = graph::winograd_refusal(problem.env.graph, problem.node, tile.stride == 2);
  if (!reason.empty()) return reason;
  const auto stride = std::get<Conv>(problem.node.op).window.stride[0];
  if (stride != tile.stride) return fmt::format("stride {}", stride);
  const int forced = problem.env.options.force_m;
  if (forced != 0) return forced == m ? std::nullopt : std::optional(fmt::format("m={} is forced", forced));
  const double error = typical_error(m, problem.input_shape(0)[1]);
  if (error > problem.env.options.error_bound) {
    return fmt::format("relative error about {:.1e}, over the bound {:.1e}", error,
                       problem.env.options.error_bound);
  }
  return std::nullopt;
}

std::optional<std::string> refuse(const Problem& problem, Tile tile, bool sparse) {
  if (!problem.is_float()) return "not float32";
  if (problem.has_input(2) && problem.constant(2) == nullptr) return "bias is not constant";
  if (!paired_coefficients(tile.algorithm())) return fmt::format("F({},3) has no paired form", tile.m);
  const UnaryKind kind = activation_of(problem.node).kind;
  if (kind != UnaryKind::identity && !dnnl_eltwise(activation_of(problem.node)))
    return "activation without a kernel";
  if (const auto* pruned = problem.node.as<WinogradConv>()) return refuse_pruned(problem, *pruned, tile, sparse);
  return sparse ? std::optional<std::string>("nothing is pruned") : refuse_dense(problem, tile);
}

std::vector<WinogradBlocking> blockings_of(const Problem& problem, Tile tile, bool sparse) {
  return blockings(geometry_of(problem, tile), work_of(problem, tile, sparse), problem.env.threads,
                   problem.env.machine);
}

/// The one that the problem names, else the best predicted.
WinogradBlocking blocking_of(const Problem& problem, Tile tile, bool sparse) {
  if (!problem.variant.empty()) {
    for (const WinogradBlocking& blocking : blockings_of(problem, tile, sparse)) {
      if (blocking.name() == problem.variant) return blocking;
    }
  }
  return choose_blocking(geometry_of(problem, tile), work_of(problem, tile, sparse), problem.env.threads,
                         problem.env.machine);
}

std::shared_ptr<const PackedWinograd> pack(const Problem& problem, Tile tile, bool sparse) {
  const std::string key = fmt::format("{}/winograd_{}_{}", problem.node.name, tile.text(), sparse ? "csr" : "rows");
  return problem.env.weights.get<PackedWinograd>(key, [&] {
    const auto* pruned = problem.node.as<WinogradConv>();
    const Tensor& weights = *problem.constant(1);
    const PackTarget target{problem.env.block, problem.env.winograd, problem.env.threads, storage_of(problem, tile, sparse)};
    if (pruned == nullptr) return pack_filters(weights, tile.algorithm(), target);
    return sparse ? pack_csr(weights, pruned->mask, tile.algorithm(), target)
                  : pack_rows(weights, pruned->mask, tile.algorithm(), target);
  });
}

class WinogradStep : public Step {
 public:
  WinogradStep(const Problem& problem, Tile tile, bool sparse)
      : convolution_(geometry_of(problem, tile), pack(problem, tile, sparse), problem.env.winograd,
                     blocking_of(problem, tile, sparse), problem.env.threads),
        bias_(padded_bias(problem)),
        residual_(problem.has_input(3)) {
    const graph::Activation& activation = activation_of(problem.node);
    if (const auto inside = fused_activation(activation)) {
      activation_ = *inside;
    } else {
      after_ = eltwise_after(problem, *dnnl_eltwise(activation), Layout::blocked);
    }
  }

  std::size_t workspace_bytes() const {
    const auto own = static_cast<std::size_t>(convolution_.workspace_floats()) * sizeof(float);
    return after_ ? std::max(own, after_->workspace_bytes()) : own;
  }

  void run(const Arguments& arguments) override {
    const auto* x = static_cast<const float*>(arguments.inputs[0]);
    const auto* residual = residual_ ? static_cast<const float*>(arguments.inputs[3]) : nullptr;
    auto* y = static_cast<float*>(arguments.outputs[0]);
    convolution_.run({x, bias_->data(), residual, y, activation_, static_cast<float*>(arguments.workspace)});
    if (after_) after_->run(arguments);
  }

 private:
  WinogradConvolution convolution_;
  std::shared_ptr<const AlignedFloats> bias_;
  bool residual_;
  OutputActivation activation_;
  std::unique_ptr<DnnlStep> after_;
};

template <int kTile, int kStride, bool kSparse>
std::optional<std::string> refuse_entry(const Problem& problem) {
  return refuse(problem, {kTile, kStride}, kSparse);
}

template <int kTile, int kStride, bool kSparse>
Cost predict_entry(const Problem& problem) {
  return blocking_of(problem, {kTile, kStride}, kSparse).cost;
}

template <int kTile, int kStride, bool kSparse>
std::vector<Variant> variants_entry(const Problem& problem) {
  const Tile tile{kTile, kStride};
  const WinogradBlocking best = choose_blocking(geometry_of(problem, tile), work_of(problem, tile, kSparse),
                                                problem.env.threads, problem.env.machine);
  std::vector<Variant> variants{{best.name(), best.cost}};
  for (const WinogradBlocking& blocking : blockings_of(problem, tile, kSparse)) {
    if (blocking.name() != best.name()) variants.push_back({blocking.name(), blocking.cost});
  }
  return variants;
}

template <int kTile, int kStride, bool kSparse>
Implementation build_entry(const Problem& problem) {
  Implementation result;
  constexpr Tile kWanted{kTile, kStride};
  const auto packed = pack(problem, kWanted, kSparse);
  result.name = fmt::format("cpu:winograd_{}_{}{}_{}", kWanted.text(), kSparse ? "csr" : "rows",
                            packed->halved ? "_bf16" : "", lower_case(problem.env.winograd.target));
  result.inputs = {Need::blocked, Need::none, Need::none, Need::blocked};
  result.inputs.resize(problem.node.inputs.size());
  result.output = Layout::blocked;
  result.pitched = true;
  if (problem.has_input(3)) result.in_place = 3;
  auto step = std::make_unique<WinogradStep>(problem, kWanted, kSparse);
  result.workspace_bytes = step->workspace_bytes();
  result.weight_bytes = packed->byte_size() + padded_bias(problem)->byte_size();
  result.step = std::move(step);
  return result;
}

template <int kTile, int kStride, bool kSparse>
Kernel make(std::string_view name) {
  return {name, &refuse_entry<kTile, kStride, kSparse>, &predict_entry<kTile, kStride, kSparse>,
          &build_entry<kTile, kStride, kSparse>, false, false, &variants_entry<kTile, kStride, kSparse>};
}

}  // namespace

std::vector<Kernel> winograd_rows_kernels() {
  return {make<6, 1, false>("cpu:winograd_f6_rows"), make<4, 1, false>("cpu:winograd_f4_rows"),
          make<2, 1, false>("cpu:winograd_f2_rows"), make<2, 2, false>("cpu:winograd_f2s2_rows")};
}

std::vector<Kernel> winograd_csr_kernels() {
  return {make<2, 1, true>("cpu:winograd_f2_csr"), make<4, 1, true>("cpu:winograd_f4_csr"),
          make<6, 1, true>("cpu:winograd_f6_csr"), make<2, 2, true>("cpu:winograd_f2s2_csr")};
}

}  // namespace wins::runtime::cpu

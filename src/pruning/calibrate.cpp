#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include "layers.hpp"
#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"
#include "wins/graph/passes.hpp"
#include "wins/runtime/session.hpp"

namespace wins::pruning {
namespace {

/// One image plane, and where its tiles start.
struct Plane {
  const float* pixels = nullptr;
  std::int64_t height = 0, width = 0;
  std::int64_t top = 0, left = 0;  ///< pads
};

/// Tiles that are transformed together, one in each lane.
constexpr std::int64_t kLanes = 8;
using Lanes = std::array<double, kLanes>;

/// d[y][x] of the tile whose first row and column are `row`, `col` of the padded plane, into one lane.
void gather(const Plane& plane, int p, std::int64_t row, std::int64_t col, std::size_t lane, Lanes* d) {
  for (int y = 0; y < p; ++y) {
    const std::int64_t h = row + y - plane.top;
    for (int x = 0; x < p; ++x) {
      const std::int64_t w = col + x - plane.left;
      const bool inside = h >= 0 && h < plane.height && w >= 0 && w < plane.width;
      d[y * p + x][lane] = inside ? static_cast<double>(plane.pixels[h * plane.width + w]) : 0.0;
    }
  }
}

void add_scaled(double factor, const Lanes& from, Lanes& to) {
  for (std::size_t l = 0; l < kLanes; ++l) to[l] += factor * from[l];
}

/// Adds the squares of V = B^T d B to `energy`; `half` is scratch of p * p.
void add_tiles(const winograd::Algorithm& algorithm, const Lanes* d, Lanes* half, Lanes* energy) {
  const int p = algorithm.p();
  const double* B = algorithm.B.values.data();
  for (int i = 0; i < p; ++i) {
    for (int x = 0; x < p; ++x) {
      half[i * p + x].fill(0);
      for (int y = 0; y < p; ++y) {
        if (B[y * p + i] != 0) add_scaled(B[y * p + i], d[y * p + x], half[i * p + x]);
      }
    }
  }
  for (int i = 0; i < p; ++i) {
    for (int j = 0; j < p; ++j) {
      Lanes v{};
      for (int x = 0; x < p; ++x) {
        if (B[x * p + j] != 0) add_scaled(B[x * p + j], half[i * p + x], v);
      }
      for (std::size_t l = 0; l < kLanes; ++l) energy[i * p + j][l] += v[l] * v[l];
    }
  }
}

/// What calibration needs of one layer.
struct Probe {
  std::string name;
  const winograd::Algorithm* algorithm = nullptr;  ///< null for a 1x1 convolution
  std::array<std::int64_t, 4> pads{};
  graph::Window window;  ///< of a 1x1 convolution
  graph::ValueId input = graph::kNone;
  InputEnergy energy;
};

std::vector<Probe> make_probes(const graph::Graph& graph, int m, const std::vector<std::string>& layers) {
  std::vector<Probe> probes;
  for (const std::string& name : layers) {
    const graph::Node* found = graph.find_node(name);
    require(found != nullptr, "calibration: no layer {}", name);
    const graph::Node& node = *found;
    Probe probe;
    probe.name = name;
    probe.input = node.input(0);
    if (graph::pointwise_refusal(graph, node).empty()) {
      probe.window = node.as<graph::Conv>()->window;
    } else if (const auto* conv = node.as<graph::Conv>()) {
      const int stride = static_cast<int>(conv->window.stride[0]);
      probe.algorithm = &winograd::algorithm(stride == 1 ? m : 2, static_cast<int>(conv->window.kernel[0]), stride);
      probe.pads = graph::winograd_pads(graph, node);
    } else {
      const auto* winograd_conv = node.as<graph::WinogradConv>();
      require(winograd_conv != nullptr, "calibration: {} is no convolution", name);
      probe.algorithm = &winograd::algorithm(winograd_conv->m, winograd_conv->r, winograd_conv->stride);
      probe.pads = winograd_conv->pads;
    }
    probes.push_back(std::move(probe));
  }
  return probes;
}

}  // namespace

Tensor InputEnergy::mean() const {
  require(sum.defined() && tiles > 0, "calibration: no images yet");
  Tensor result = sum;
  for (double& value : result.mutable_data<double>()) value /= static_cast<double>(tiles);
  return result;
}

void accumulate_input_energy(const winograd::Algorithm& algorithm, const std::array<std::int64_t, 4>& pads,
                             const Tensor& x, InputEnergy& energy) {
  require(x.defined() && x.dtype() == DType::f32 && x.rank() == 4, "calibration: the input must be float32 N x C x H x W");
  const std::int64_t N = x.dim(0);
  const std::int64_t C = x.dim(1);
  const std::int64_t H = x.dim(2);
  const std::int64_t W = x.dim(3);
  const std::int64_t out_h = algorithm.outputs(H + pads[0] + pads[2]);
  const std::int64_t out_w = algorithm.outputs(W + pads[1] + pads[3]);
  require(N > 0 && out_h > 0 && out_w > 0, "calibration: input {} gives no output", wins::to_string(x.shape()));
  const int positions = algorithm.positions();
  if (!energy.sum.defined()) energy.sum = Tensor(DType::f64, {positions, C});
  require(energy.sum.shape() == Shape({positions, C}), "calibration: {} channels after {}", C,
          wins::to_string(energy.sum.shape()));
  const winograd::TileGrid grid = winograd::tile_grid(algorithm.m, out_h, out_w);
  const float* pixels = x.data<float>().data();
  double* sums = energy.sum.mutable_data<double>().data();
  // One channel per task: the sums do not depend on the number of threads.
  parallel_for(C, default_threads(), [&](std::int64_t c, int) {
    const auto size = static_cast<std::size_t>(positions);
    std::vector<Lanes> d(size), half(size), local(size, Lanes{});
    for (std::int64_t n = 0; n < N; ++n) {
      const Plane plane{pixels + (n * C + c) * H * W, H, W, pads[0], pads[1]};
      for (std::int64_t first = 0; first < grid.count(); first += kLanes) {
        const std::int64_t lanes = std::min(kLanes, grid.count() - first);
        if (lanes < kLanes) std::fill(d.begin(), d.end(), Lanes{});
        for (std::int64_t l = 0; l < lanes; ++l) {
          const std::int64_t tile = first + l;
          gather(plane, algorithm.p(), tile / grid.cols * algorithm.step(), tile % grid.cols * algorithm.step(),
                 static_cast<std::size_t>(l), d.data());
        }
        add_tiles(algorithm, d.data(), half.data(), local.data());
      }
    }
    for (int xi = 0; xi < positions; ++xi) {
      const Lanes& lanes = local[static_cast<std::size_t>(xi)];
      sums[xi * C + c] += std::accumulate(lanes.begin(), lanes.end(), 0.0);
    }
  });
  energy.tiles += N * grid.count();
}

Calibration calibrate(const graph::Graph& graph, const std::vector<Tensor>& batches, int m,
                      const std::vector<std::string>& layers) {
  require(!batches.empty(), "calibration needs at least one picture");
  require(graph.inputs.size() == 1, "calibration: the network has {} inputs, one is supported", graph.inputs.size());
  std::vector<Probe> probes = make_probes(graph, m == 0 ? 2 : m, layers.empty() ? prunable_layers(graph) : layers);

  // The layers' inputs become outputs of a copy (once each; the network's own input is at hand).
  graph::Graph tapped = graph;
  tapped.outputs.clear();
  std::map<graph::ValueId, std::size_t> slot;
  for (const Probe& probe : probes) {
    if (probe.input == graph.inputs[0] || slot.contains(probe.input)) continue;
    slot[probe.input] = tapped.outputs.size();
    tapped.outputs.push_back(probe.input);
  }
  const bool run = !tapped.outputs.empty();
  std::optional<runtime::Session> session;
  if (run) {
    graph::remove_unused(tapped);
    session = runtime::Session::open(std::move(tapped));
  }
  for (const Tensor& batch : batches) {
    const std::vector<Tensor> values = run ? session->run({batch}) : std::vector<Tensor>{};
    for (Probe& probe : probes) {
      const Tensor& x = probe.input == graph.inputs[0] ? batch : values.at(slot.at(probe.input));
      if (probe.algorithm == nullptr) {
        accumulate_pixel_energy(probe.window, x, probe.energy);
      } else {
        accumulate_input_energy(*probe.algorithm, probe.pads, x, probe.energy);
      }
    }
  }
  Calibration calibration;
  for (const Probe& probe : probes) calibration[probe.name].input_energy = probe.energy.mean();
  return calibration;
}

}  // namespace wins::pruning

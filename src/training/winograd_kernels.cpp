#include "winograd_kernels.hpp"

#include <algorithm>
#include <array>
#include <atomic>

#include "winograd_plan.hpp"
#include "winograd_simd.hpp"
#include "wins/base/parallel.hpp"

namespace wins::training {
namespace {

/// Buffers of one thread.
struct Workspace {
  std::vector<float> v, m;   ///< per live position [block, padded C], [block, padded]
  std::vector<float> rows;   ///< [p*p, padded K]: M of one tile with all rows
  std::vector<float> zeros;  ///< what lies outside the picture
  std::vector<std::size_t> v_at, m_at;
  std::vector<float> dU;  ///< per live position [count, padded C]
  std::vector<std::size_t> dU_at;

  explicit Workspace(const Plan& plan, bool gradients) {
    std::size_t v_size = 0, m_size = 0, u_size = 0;
    const auto block = static_cast<std::size_t>(plan.block);
    for (const PackedPosition& position : plan.positions) {
      v_at.push_back(v_size);
      m_at.push_back(m_size);
      dU_at.push_back(u_size);
      v_size += block * static_cast<std::size_t>(plan.padded_channels);
      m_size += block * static_cast<std::size_t>(position.padded);
      u_size += static_cast<std::size_t>(position.count * plan.padded_channels);
    }
    v.assign(v_size, 0.0F);
    m.assign(m_size, 0.0F);
    if (gradients) dU.assign(u_size, 0.0F);
    rows.assign(static_cast<std::size_t>(plan.p * plan.p * plan.padded_filters), 0.0F);
    const auto widest = static_cast<std::size_t>(std::max(plan.padded_channels, plan.padded_filters));
    zeros.assign(widest, 0.0F);
  }
};

/// Walks over the tiles of a batch, row by row.
class TileWalk {
 public:
  TileWalk(const Plan& plan, std::int64_t index) : grid_(plan.grid) {
    const std::int64_t inside = index % grid_.count();
    image = index / grid_.count();
    top = inside / grid_.cols * grid_.m;
    left = inside % grid_.cols * grid_.m;
  }
  [[gnu::always_inline]] void next() {
    left += grid_.m;
    if (left < grid_.cols * grid_.m) return;
    left = 0;
    top += grid_.m;
    if (top < grid_.rows * grid_.m) return;
    top = 0;
    ++image;
  }
  std::int64_t image, top, left;  ///< in output pixels

 private:
  const winograd::TileGrid& grid_;
};

/// Finds the side x side pixels of a tile in NHWC images. Scalar work for each tile is kept small: at
/// 16 channels one transform is only some forty instructions.
template <class T>
class Patches {
 public:
  Patches(T* images, std::int64_t height, std::int64_t width, std::int64_t depth, int side)
      : images_(images), height_(height), width_(width), depth_(depth), side_(side) {
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) offsets_[y * side + x] = (y * width + x) * depth;
    }
  }
  /// Pointers to the pixels at (top, left) of an image; `outside` where there is none.
  [[gnu::always_inline]] void locate(std::int64_t image, std::int64_t top, std::int64_t left, T* outside,
                                     T** pointers) const {
    T* plane = images_ + image * height_ * width_ * depth_;
    if (top >= 0 && left >= 0 && top + side_ <= height_ && left + side_ <= width_) {
      T* corner = plane + (top * width_ + left) * depth_;
      for (int i = 0; i < side_ * side_; ++i) pointers[i] = corner + offsets_[i];
      return;
    }
    for (int y = 0; y < side_; ++y) {
      const bool row_inside = top + y >= 0 && top + y < height_;
      for (int x = 0; x < side_; ++x) {
        const bool inside = row_inside && left + x >= 0 && left + x < width_;
        pointers[y * side_ + x] = inside ? plane + ((top + y) * width_ + left + x) * depth_ : outside;
      }
    }
  }

 private:
  T* images_;
  std::int64_t height_, width_, depth_;
  int side_;
  std::int64_t offsets_[kMaxTile * kMaxTile];
};

template <int kLanes, class Fast, bool kAccumulate>
[[gnu::always_inline]] inline void transform(bool fast, const simd::AnyStep& step, const float* const* in,
                                             float* const* out, const float* bias, std::int64_t depth) {
  using Vec = typename simd::VecOf<kLanes>::type;
  std::int64_t c = 0;
  if (fast) {
    for (; c + kLanes <= depth; c += kLanes) simd::sandwich_f23<Vec, Fast, kAccumulate>(in, out, bias, c);
    for (; c < depth; ++c) simd::sandwich_f23<float, Fast, kAccumulate>(in, out, bias, c);
  } else {
    for (; c + kLanes <= depth; c += kLanes) simd::sandwich_any<Vec, kAccumulate>(step, in, out, bias, c);
    for (; c < depth; ++c) simd::sandwich_any<float, kAccumulate>(step, in, out, bias, c);
  }
}

/// V of tiles [first, first + count).
template <int kLanes>
[[gnu::always_inline]] inline void transform_input(const Plan& plan, const float* x, std::int64_t first,
                                                   std::int64_t count, Workspace& work) {
  const WinogradProblem& problem = *plan.problem;
  const Patches<const float> patches(x, problem.height, problem.width, problem.channels, plan.p);
  const float* in[kMaxTile * kMaxTile];
  float* out[kMaxTile * kMaxTile] = {};
  for (std::size_t l = 0; l < plan.positions.size(); ++l)
    out[plan.positions[l].xi] = work.v.data() + work.v_at[l];
  TileWalk tile(plan, first);
  for (std::int64_t t = 0; t < count; ++t, tile.next()) {
    patches.locate(tile.image, tile.top - problem.pad_top, tile.left - problem.pad_left, work.zeros.data(),
                   in);
    transform<kLanes, simd::InputF23, false>(plan.factors.fast, plan.input, in, out, nullptr,
                                             problem.channels);
    for (const PackedPosition& position : plan.positions) out[position.xi] += plan.padded_channels;
  }
}

template <int kLanes>
[[gnu::always_inline]] inline void multiply(const Plan& plan, std::int64_t count, Workspace& work) {
  using Vec = typename simd::VecOf<kLanes>::type;
  for (std::size_t l = 0; l < plan.positions.size(); ++l) {
    const PackedPosition& position = plan.positions[l];
    const simd::GemmArgs args{work.v.data() + work.v_at[l],
                              plan.padded_channels,
                              1,
                              position.by_channel.data(),
                              position.padded,
                              work.m.data() + work.m_at[l],
                              position.padded,
                              plan.problem->channels,
                              false};
    simd::gemm<Vec>(args, count, position.padded);
  }
}

template <int kLanes>
[[gnu::always_inline]] inline void transform_output(const Plan& plan, const float* bias, float* y,
                                                    std::int64_t first, std::int64_t count, Workspace& work) {
  const WinogradProblem& problem = *plan.problem;
  const Patches<float> patches(y, problem.out_h, problem.out_w, problem.filters, plan.grid.m);
  const float* in[kMaxTile * kMaxTile];
  float* out[kMaxTile * kMaxTile];
  std::fill(in, in + plan.p * plan.p, work.zeros.data());
  TileWalk tile(plan, first);
  for (std::int64_t t = 0; t < count; ++t, tile.next()) {
    for (std::size_t l = 0; l < plan.positions.size(); ++l) {
      const PackedPosition& position = plan.positions[l];
      const float* m = work.m.data() + work.m_at[l] + t * position.padded;
      if (position.rows.empty()) {
        in[position.xi] = m;
        continue;
      }
      // Rows that are not kept stay zero from the workspace's start.
      float* all = work.rows.data() + position.xi * plan.padded_filters;
      for (std::int64_t j = 0; j < position.count; ++j)
        all[position.rows[static_cast<std::size_t>(j)]] = m[j];
      in[position.xi] = all;
    }
    patches.locate(tile.image, tile.top, tile.left, nullptr, out);
    transform<kLanes, simd::OutputF23, false>(plan.factors.fast, plan.output, in, out, bias, problem.filters);
  }
}

/// dM of tiles [first, first + count), in the place of M.
template <int kLanes>
[[gnu::always_inline]] inline void transform_gradient(const Plan& plan, const float* dy, std::int64_t first,
                                                      std::int64_t count, Workspace& work) {
  const WinogradProblem& problem = *plan.problem;
  const Patches<const float> patches(dy, problem.out_h, problem.out_w, problem.filters, plan.grid.m);
  const float* in[kMaxTile * kMaxTile];
  float* out[kMaxTile * kMaxTile] = {};
  TileWalk tile(plan, first);
  for (std::int64_t t = 0; t < count; ++t, tile.next()) {
    for (std::size_t l = 0; l < plan.positions.size(); ++l) {
      const PackedPosition& position = plan.positions[l];
      out[position.xi] = position.rows.empty() ? work.m.data() + work.m_at[l] + t * position.padded
                                               : work.rows.data() + position.xi * plan.padded_filters;
    }
    patches.locate(tile.image, tile.top, tile.left, work.zeros.data(), in);
    transform<kLanes, simd::OutputAdjointF23, false>(plan.factors.fast, plan.output_adjoint, in, out, nullptr,
                                                     problem.filters);
    for (std::size_t l = 0; l < plan.positions.size(); ++l) {
      const PackedPosition& position = plan.positions[l];
      if (position.rows.empty()) continue;
      float* m = work.m.data() + work.m_at[l] + t * position.padded;
      const float* all = out[position.xi];
      for (std::int64_t j = 0; j < position.count; ++j)
        m[j] = all[position.rows[static_cast<std::size_t>(j)]];
    }
  }
}

template <int kLanes>
[[gnu::always_inline]] inline void accumulate_weight_gradient(const Plan& plan, std::int64_t count,
                                                              Workspace& work) {
  using Vec = typename simd::VecOf<kLanes>::type;
  for (std::size_t l = 0; l < plan.positions.size(); ++l) {
    const PackedPosition& position = plan.positions[l];
    const simd::GemmArgs args{work.m.data() + work.m_at[l],
                              1,
                              position.padded,
                              work.v.data() + work.v_at[l],
                              plan.padded_channels,
                              work.dU.data() + work.dU_at[l],
                              plan.padded_channels,
                              count,
                              true};
    simd::gemm<Vec>(args, position.count, plan.padded_channels);
  }
}

/// dV = dM U in the place of V, then dx += B dV B^T.
template <int kLanes>
[[gnu::always_inline]] inline void scatter_input_gradient(const Plan& plan, float* dx, std::int64_t first,
                                                          std::int64_t count, Workspace& work) {
  using Vec = typename simd::VecOf<kLanes>::type;
  const WinogradProblem& problem = *plan.problem;
  for (std::size_t l = 0; l < plan.positions.size(); ++l) {
    const PackedPosition& position = plan.positions[l];
    const simd::GemmArgs args{
        work.m.data() + work.m_at[l], position.padded,      1,
        position.by_row.data(),       plan.padded_channels, work.v.data() + work.v_at[l],
        plan.padded_channels,         position.count,       false};
    simd::gemm<Vec>(args, count, plan.padded_channels);
  }
  const Patches<float> patches(dx, problem.height, problem.width, problem.channels, plan.p);
  const float* in[kMaxTile * kMaxTile];
  float* out[kMaxTile * kMaxTile];
  std::fill(in, in + plan.p * plan.p, work.zeros.data());
  TileWalk tile(plan, first);
  for (std::int64_t t = 0; t < count; ++t, tile.next()) {
    for (std::size_t l = 0; l < plan.positions.size(); ++l) {
      in[plan.positions[l].xi] = work.v.data() + work.v_at[l] + t * plan.padded_channels;
    }
    patches.locate(tile.image, tile.top - problem.pad_top, tile.left - problem.pad_left, nullptr, out);
    transform<kLanes, simd::InputAdjointF23, true>(plan.factors.fast, plan.input_adjoint, in, out, nullptr,
                                                   problem.channels);
  }
}

/// What the kernels read and write, for images [first, last).
struct Operands {
  const float* x = nullptr;
  const float* bias = nullptr;
  float* y = nullptr;
  const float* dy = nullptr;
  float* dx = nullptr;
  bool want_dU = false;
};

template <int kLanes>
[[gnu::always_inline]] inline void forward_images(const Plan& plan, const Operands& data, std::int64_t first,
                                                  std::int64_t last, Workspace& work) {
  const std::int64_t end = last * plan.grid.count();
  for (std::int64_t t = first * plan.grid.count(); t < end; t += plan.block) {
    const std::int64_t count = std::min(plan.block, end - t);
    transform_input<kLanes>(plan, data.x, t, count, work);
    multiply<kLanes>(plan, count, work);
    transform_output<kLanes>(plan, data.bias, data.y, t, count, work);
  }
}

template <int kLanes>
[[gnu::always_inline]] inline void backward_images(const Plan& plan, const Operands& data, std::int64_t first,
                                                   std::int64_t last, Workspace& work) {
  const std::int64_t end = last * plan.grid.count();
  for (std::int64_t t = first * plan.grid.count(); t < end; t += plan.block) {
    const std::int64_t count = std::min(plan.block, end - t);
    transform_gradient<kLanes>(plan, data.dy, t, count, work);
    if (data.want_dU) {
      transform_input<kLanes>(plan, data.x, t, count, work);
      accumulate_weight_gradient<kLanes>(plan, count, work);
    }
    if (data.dx != nullptr) scatter_input_gradient<kLanes>(plan, data.dx, t, count, work);
  }
}

using RangeFunction = void (*)(const Plan&, const Operands&, std::int64_t, std::int64_t, Workspace&);

void forward_generic(const Plan& plan, const Operands& data, std::int64_t first, std::int64_t last,
                     Workspace& work) {
  forward_images<4>(plan, data, first, last, work);
}
void backward_generic(const Plan& plan, const Operands& data, std::int64_t first, std::int64_t last,
                      Workspace& work) {
  backward_images<4>(plan, data, first, last, work);
}

struct Isa {
  const char* name;
  std::int64_t lanes;
  RangeFunction forward, backward;
};

#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] void forward_avx2(const Plan& plan, const Operands& data, std::int64_t first,
                                              std::int64_t last, Workspace& work) {
  forward_images<8>(plan, data, first, last, work);
}
[[gnu::target("avx2,fma")]] void backward_avx2(const Plan& plan, const Operands& data, std::int64_t first,
                                               std::int64_t last, Workspace& work) {
  backward_images<8>(plan, data, first, last, work);
}
[[gnu::target("avx512f,avx2,fma")]] void forward_avx512(const Plan& plan, const Operands& data,
                                                        std::int64_t first, std::int64_t last,
                                                        Workspace& work) {
  forward_images<16>(plan, data, first, last, work);
}
[[gnu::target("avx512f,avx2,fma")]] void backward_avx512(const Plan& plan, const Operands& data,
                                                         std::int64_t first, std::int64_t last,
                                                         Workspace& work) {
  backward_images<16>(plan, data, first, last, work);
}

#endif

/// What this machine runs, best first.
const std::vector<Isa>& isas() {
  static const std::vector<Isa> all = [] {
    std::vector<Isa> found;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) found.push_back({"avx512", 16, forward_avx512, backward_avx512});
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
      found.push_back({"avx2", 8, forward_avx2, backward_avx2});
    }
#endif
    found.push_back({"generic", 4, forward_generic, backward_generic});
    return found;
  }();
  return all;
}

std::atomic<std::size_t> chosen_isa{0};

const Isa& isa() {
  return isas()[chosen_isa];
}

/// Adds one thread's weight gradient into dU [p*p, K, C].
void add_weight_gradient(const Plan& plan, const Workspace& work, float* dU) {
  const std::int64_t K = plan.problem->filters, C = plan.problem->channels;
  for (std::size_t l = 0; l < plan.positions.size(); ++l) {
    const PackedPosition& position = plan.positions[l];
    for (std::int64_t j = 0; j < position.count; ++j) {
      const std::int64_t k = position.rows.empty() ? j : position.rows[static_cast<std::size_t>(j)];
      const float* source = work.dU.data() + work.dU_at[l] + j * plan.padded_channels;
      float* target = dU + (position.xi * K + k) * C;
      for (std::int64_t c = 0; c < C; ++c) target[c] += source[c] * position.factor;
    }
  }
}

/// Rows that were carried along only to fill vectors get no gradient.
void clear_other_rows(const Plan& plan, const std::vector<LivePosition>& live, float* dU) {
  const std::int64_t K = plan.problem->filters, C = plan.problem->channels;
  for (const LivePosition& position : live) {
    std::size_t next = 0;
    for (std::int64_t k = 0; k < K; ++k) {
      if (next < position.rows.size() && position.rows[next] == k) {
        ++next;
      } else {
        std::fill_n(dU + (position.xi * K + k) * C, C, 0.0F);
      }
    }
  }
}

std::int64_t thread_count(const WinogradProblem& problem, int threads) {
  return std::clamp<std::int64_t>(problem.batch, 1, std::max(1, threads));
}

}  // namespace

std::vector<LivePosition> live_positions(const winograd::Mask& mask) {
  std::vector<LivePosition> live;
  for (int xi = 0; xi < mask.positions; ++xi) {
    LivePosition position{xi, {}};
    for (std::int64_t k = 0; k < mask.rows; ++k) {
      bool kept = false;
      for (std::int64_t c = 0; c < mask.columns && !kept; ++c) kept = mask.weight_kept(xi, k, c);
      if (kept) position.rows.push_back(k);
    }
    if (!position.rows.empty()) live.push_back(std::move(position));
  }
  return live;
}

void winograd_forward(const WinogradProblem& problem, const std::vector<LivePosition>& live, int threads,
                      const float* x, const float* U, const float* bias, float* y) {
  Plan plan;
  make_plan(plan, problem, live, U, isa().lanes, Pass::forward);
  Operands data;
  data.x = x;
  data.bias = bias;
  data.y = y;
  const std::int64_t parts = thread_count(problem, threads);
  parallel_for(parts, static_cast<int>(parts), [&](std::int64_t part, int) {
    Workspace work(plan, false);
    isa().forward(plan, data, problem.batch * part / parts, problem.batch * (part + 1) / parts, work);
  });
}

void winograd_backward(const WinogradProblem& problem, const std::vector<LivePosition>& live, int threads,
                       const float* x, const float* U, const float* dy, float* dx, float* dU) {
  Plan plan;
  make_plan(plan, problem, live, U, isa().lanes, Pass::backward);
  Operands data;
  data.x = x;
  data.dy = dy;
  data.dx = dx;
  data.want_dU = dU != nullptr;
  const std::int64_t parts = thread_count(problem, threads);
  std::vector<Workspace> work;
  for (std::int64_t part = 0; part < parts; ++part) work.emplace_back(plan, data.want_dU);
  const std::int64_t image = problem.height * problem.width * problem.channels;
  parallel_for(parts, static_cast<int>(parts), [&](std::int64_t part, int) {
    const std::int64_t first = problem.batch * part / parts, last = problem.batch * (part + 1) / parts;
    if (dx != nullptr) std::fill_n(dx + first * image, (last - first) * image, 0.0F);
    isa().backward(plan, data, first, last, work[static_cast<std::size_t>(part)]);
  });
  if (dU == nullptr) return;
  std::fill_n(dU, problem.algorithm->positions() * problem.filters * problem.channels, 0.0F);
  for (const Workspace& one : work) add_weight_gradient(plan, one, dU);
  clear_other_rows(plan, live, dU);
}

std::vector<std::string> winograd_isas() {
  std::vector<std::string> names;
  for (const Isa& one : isas()) names.emplace_back(one.name);
  return names;
}

void choose_winograd_isa(std::size_t index) {
  chosen_isa = std::min(index, isas().size() - 1);
}

}  // namespace wins::training

// The list of single layers (bench/layers/shapes.txt) against the float64 reference: every kernel that takes a layer.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "contender.hpp"
#include "target_scope.hpp"

namespace wins::runtime::cpu_test {
namespace {

using layers::Contender;
using layers::Errors;
using layers::Layer;

/// Larger layers run once, by the engine's choice; the largest not at all where every access is instrumented.
constexpr std::int64_t kSmall = 8'000'000;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr std::int64_t kLargest = 30'000'000;
#else
constexpr std::int64_t kLargest = 10'000'000'000;
#endif

std::vector<ConvProblem> problems(bool small) {
  auto all = layers::read_problems(WINS_SOURCE_DIR "/bench/layers/shapes.txt");
  std::erase_if(all, [&](const ConvProblem& p) { return (p.direct_macs() <= kSmall) != small || p.direct_macs() > kLargest; });
  return all;
}

bool takes_winograd(const ConvProblem& p) {
  using Pair = std::array<std::int64_t, 2>;
  return p.kernel == Pair{3, 3} && p.stride == Pair{1, 1} && p.dilation == Pair{1, 1} && p.groups == 1;
}

bool takes_strided(const ConvProblem& p) {
  using Pair = std::array<std::int64_t, 2>;
  return p.kernel == Pair{3, 3} && p.stride == Pair{2, 2} && p.dilation == Pair{1, 1} && p.groups == 1;
}

bool takes_pointwise(const ConvProblem& p) {
  using Pair = std::array<std::int64_t, 2>;
  using graph::UnaryKind;
  const bool fused = p.activation == UnaryKind::identity || p.activation == UnaryKind::relu ||
                     p.activation == UnaryKind::clip || p.activation == UnaryKind::leaky_relu;
  return fused && p.kernel == Pair{1, 1} && p.groups == 1 && p.pads == std::array<std::int64_t, 4>{} &&
         p.stride[0] == p.stride[1];
}

bool takes_stem(const ConvProblem& p) {
  using Pair = std::array<std::int64_t, 2>;
  using graph::UnaryKind;
  const bool fused = p.activation == UnaryKind::identity || p.activation == UnaryKind::relu ||
                     p.activation == UnaryKind::clip || p.activation == UnaryKind::leaky_relu;
  return fused && p.m == 0 && p.in_channels <= 4 && p.groups == 1 && p.dilation == Pair{1, 1} && !p.residual &&
         p.stride[0] == p.stride[1] && p.stride[0] <= 2 && p.kernel[0] <= 4 * p.stride[0] && p.kernel[1] <= 4 * p.stride[0] &&
         p.kernel[0] >= p.stride[0] && p.kernel[1] >= p.stride[0];
}

/// Beginnings of the names of kernels that must take the problem, whatever else does.
std::vector<std::string> expected_others(const ConvProblem& p, const std::string& target) {
  const auto winograd = [&](int m, const char* kind) {
    return "cpu:winograd_f" + std::to_string(m) + "_" + kind + "_" + target;
  };
  if (takes_pointwise(p)) return {"cpu:direct:", "cpu:pointwise_dense_" + target};
  if (p.m == 0 && takes_strided(p)) return {"cpu:direct:", "cpu:winograd_f2s2_rows_" + target};
  if (takes_strided(p)) return {"cpu:winograd_f2s2_rows_" + target};
  if (p.m == 0 && !takes_winograd(p)) return {"cpu:direct:"};
  if (p.m == 0) return {"cpu:direct:", winograd(2, "rows"), winograd(4, "rows"), winograd(6, "rows")};
  if (p.axis == winograd::Axis::element && !p.kept.empty()) return {winograd(p.m, "rows"), winograd(p.m, "csr")};
  return {winograd(p.m, "rows")};
}

std::vector<std::string> expected_kernels(const ConvProblem& p, const std::string& target) {
  std::vector<std::string> names = expected_others(p, target);
  if (takes_stem(p)) names.push_back("cpu:stem_f4_" + target);
  return names;
}

bool equal_bits(const Tensor& a, const Tensor& b) {
  return a.byte_size() == b.byte_size() && std::memcmp(a.bytes(), b.bytes(), a.byte_size()) == 0;
}

/// Within the error bound, and the same bits again.
void check(const ConvProblem& problem, Contender& contender, const Tensor& reference) {
  SCOPED_TRACE(contender.kernel());
  const Tensor output = contender.run();
  const Errors errors = layers::errors_of(output, reference), bound = layers::error_bound(problem, contender.kernel());
  EXPECT_LE(errors.relative_l2, bound.relative_l2);
  EXPECT_LE(errors.max, bound.max);
  for (int again = 0; again < 2; ++again) EXPECT_TRUE(equal_bits(contender.run(), output));
}

/// Every kernel of the list on one layer; returns the names of those that ran.
std::vector<std::string> check_kernels(const ConvProblem& problem, const Layer& layer, int threads,
                                       const Tensor& reference) {
  std::vector<std::string> ran;
  for (const std::string& name : layers::kernel_names(layer)) {
    Contender contender(layer, threads, name);
    if (contender.refusal()) continue;
    ran.push_back(contender.kernel());
    check(problem, contender, reference);
  }
  return ran;
}

bool is_among(const std::string& beginning, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return name.starts_with(beginning); });
}

TEST(Layers, SmallOnesByEveryKernelOnEveryTarget) {
  for (const ConvProblem& problem : problems(true)) {
    const Layer layer = layers::make_layer(problem);
    const Tensor reference = layers::reference_output(layer);
    for (const Target& target : targets_here()) {
      const TargetScope scope(target.bit);
      for (int threads = 1; threads <= 4; ++threads) {
        SCOPED_TRACE(text_of(problem) + " " + target.name + " threads " + std::to_string(threads));
        const auto ran = check_kernels(problem, layer, threads, reference);
        for (const std::string& name : expected_kernels(problem, target.name)) {
          EXPECT_TRUE(is_among(name, ran)) << name << " did not run";
        }
        EXPECT_TRUE(is_among(Contender(layer, threads).kernel(), ran)) << "the engine's choice is none of these";
      }
    }
  }
}

TEST(Layers, LargeOnesByTheEnginesChoice) {
  const std::string target = targets_here().back().name;
  for (const ConvProblem& problem : problems(false)) {
    SCOPED_TRACE(text_of(problem));
    const Layer layer = layers::make_layer(problem);
    Contender contender(layer, 2);
    const auto expected = expected_kernels(problem, target);
    EXPECT_TRUE(std::any_of(expected.begin(), expected.end(), [&](const std::string& name) {
      return contender.kernel().starts_with(name);
    })) << contender.kernel();
    check(problem, contender, layers::reference_output(layer));
  }
}

}  // namespace
}  // namespace wins::runtime::cpu_test

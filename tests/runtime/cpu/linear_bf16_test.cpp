// Fully connected layers with weights in bfloat16: exact where the weights are, close where not.
#include "net.hpp"
#include "target_scope.hpp"

namespace wins::runtime::cpu_test {
namespace {

/// Rounding 24 bits of precision to 8 costs up to 2^-9 of a weight; the mean over a row is smaller.
constexpr double kRounded = 3e-3;

struct LinearCase {
  std::int64_t rows, inputs, outputs;
};
const std::vector<LinearCase> kCases{{1, 512, 1000}, {8, 96, 64}, {7, 33, 5}, {1, 1, 1}, {13, 100, 131}, {2, 17, 64}};

Result run_gemm(const LinearCase& t, const Tensor& weights, bool transposed) {
  Net net(wins::Shape{t.rows, t.inputs});
  net.options.weight_storage = WeightStorage::bf16;
  net.options.force_kernel = "cpu:linear_bf16";
  Gemm gemm;
  gemm.trans_b = transposed;
  gemm.alpha = 0.5F;
  gemm.beta = 2;
  gemm.activation = {UnaryKind::relu, 0, 0};
  return net.run(gemm, {net.x, net.graph.add_constant("w", weights), net.constant({t.outputs}, 4)}, kRounded);
}

/// Small integers are bfloat16 numbers.
Tensor integers(const wins::Shape& shape) {
  Tensor result = random_normal(shape, 6, 4);
  for (float& value : result.mutable_data<float>()) value = std::round(value);
  return result;
}

TEST(LinearBf16, RoundedWeightsOnEveryTarget) {
  for (const Target& target : targets_here()) {
    const TargetScope scope(target.bit);
    for (const LinearCase& t : kCases) {
      for (const bool transposed : {false, true}) {
        const wins::Shape shape = transposed ? wins::Shape{t.outputs, t.inputs} : wins::Shape{t.inputs, t.outputs};
        expect_kernel(run_gemm(t, random_normal(shape, 5), transposed), std::string("cpu:linear_bf16_") + target.name);
      }
    }
  }
}

TEST(LinearBf16, WeightsThatFitAreNotRounded) {
  for (const LinearCase& t : kCases) {
    const Result result = run_gemm(t, integers({t.outputs, t.inputs}), true);
    EXPECT_LE(result.relative_l2, 1e-6);
  }
}

TEST(LinearBf16, OffUnlessAskedFor) {
  Net net(wins::Shape{1, 64});
  const Result result = net.run(MatMul{}, {net.x, net.constant({64, 10})});
  EXPECT_FALSE(result.layer("op").kernel.starts_with("cpu:linear_bf16")) << result.layer("op").kernel;
}

}  // namespace
}  // namespace wins::runtime::cpu_test

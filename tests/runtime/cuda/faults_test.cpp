// What goes wrong on a GPU: each gives one clear error, and leaves sessions usable and memory free where CUDA allows.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <limits>

#include "device.hpp"
#include "operator_net.hpp"
#include "wins/base/exception.hpp"

namespace wins::runtime::cuda_test {
namespace {

using testing::HasSubstr;

template <class Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

SessionOptions cuda_options(Precision precision = Precision::fp32) {
  SessionOptions options;
  options.backend = "cuda";
  options.precision = precision;
  return options;
}

/// `count` values that all live until their sum is made: abs(x) each.
Graph many_values(const wins::Shape& shape, int count) {
  Graph graph;
  graph.inputs = {graph.add_value("x", DType::f32, shape)};
  std::vector<ValueId> values;
  for (int i = 0; i < count; ++i) values.push_back(graph.add_node("abs" + std::to_string(i), Unary{{UnaryKind::abs, 0, 0}}, {graph.inputs[0]}));
  ValueId sum = values[0];
  for (int i = 1; i < count; ++i) {
    sum = graph.add_node("sum" + std::to_string(i), Binary{BinaryKind::add}, {sum, values[static_cast<std::size_t>(i)]});
  }
  graph.outputs = {sum};
  return graph;
}

Graph one_convolution(Tensor weights) {
  Graph graph;
  graph.inputs = {graph.add_value("x", DType::f32, wins::Shape{1, weights.dim(1), 12, 12})};
  Conv conv;
  conv.window.kernel = {3, 3};
  conv.window.pads = {1, 1, 1, 1};
  graph.outputs = {graph.add_node("the_conv", conv, {graph.inputs[0], graph.add_constant("w", std::move(weights))})};
  return graph;
}

std::size_t free_memory() {
  std::size_t free = 0, total = 0;
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  return free;
}

// ---- Without a GPU

TEST(CudaReasons, NameDriverAndCapability) {
  using namespace cuda;
  EXPECT_EQ(driver_reason(cudaErrorInsufficientDriver, 0, 13000), "there is no NVIDIA driver");
  EXPECT_EQ(driver_reason(cudaErrorInsufficientDriver, 12020, 13000), "the NVIDIA driver is too old: it has CUDA 12.2, this build needs 13.0");
  EXPECT_THAT(driver_reason(cudaErrorNoDevice, 13000, 13000), HasSubstr("no CUDA-capable device"));
  EXPECT_EQ(capability_reason("Old GPU", 7, 5), "Old GPU has compute capability 7.5, 8.0 is needed");
  EXPECT_EQ(capability_reason("A100", 8, 0), "");
  EXPECT_EQ(capability_reason("B200", 10, 0), "");
}

TEST(CudaReasons, TellErrorsThatEndTheContextFromOthers) {
  EXPECT_TRUE(cuda::loses_context(cudaErrorIllegalAddress));
  EXPECT_TRUE(cuda::loses_context(cudaErrorLaunchFailure));
  EXPECT_FALSE(cuda::loses_context(cudaErrorMemoryAllocation));
  EXPECT_FALSE(cuda::loses_context(cudaErrorInvalidValue));
}

TEST(CudaReasons, AMachineThatCannotRunSaysSoInOneLine) {
  if (unusable().empty()) GTEST_SKIP() << "there is a GPU";
  EXPECT_THAT(unusable(), HasSubstr("backend 'cuda' cannot be used: "));
  EXPECT_EQ(unusable().find('\n'), std::string::npos);
}

// ---- On a GPU

class CudaFaults : public testing::Test {
 protected:
  void SetUp() override {
    if (!unusable().empty()) GTEST_SKIP() << unusable();
  }
};

TEST_F(CudaFaults, APlanLargerThanTheGpuIsRefusedByItsShapes) {
  Session session = Session::open(many_values({-1, 16, 4096, 4096}, 40), cuda_options());
  const std::string error = error_of([&] { session.plan({{7, 16, 4096, 4096}}); });
  EXPECT_THAT(error, HasSubstr("7x16x4096x4096"));
  EXPECT_THAT(error, HasSubstr("the GPU's memory"));
  session.plan({{1, 16, 4096, 4096}});
}

/// What the driver takes once for code and for its own tables, in pieces of 2 MB; a value of the runs below has 64 MB.
constexpr std::size_t kDriverBytes = 16U << 20;

/// A session whose runs fail for want of memory, and then do not.
void run_out_of_memory(Session& other, const Tensor& small, const Tensor& large) {
  const Tensor expected = other.run({small}).at(0);
  Session session = Session::open(many_values({-1, 16, -1, -1}, 4), cuda_options());
  void* hog = nullptr;
  ASSERT_EQ(cudaMalloc(&hog, free_memory() - (200U << 20)), cudaSuccess);
  const std::size_t left = free_memory();
  for (int i = 0; i < 3; ++i) {
    const std::string error = error_of([&] { session.run({large}); });
    EXPECT_THAT(error, HasSubstr("input 16x16x256x256"));
    EXPECT_THAT(error, HasSubstr("out of memory"));
    EXPECT_THAT(error, HasSubstr("MB are free"));
  }
  EXPECT_LE(left - std::min(left, free_memory()), kDriverBytes) << "a run that failed keeps memory";
  EXPECT_EQ(max_abs_difference(other.run({small}).at(0), expected), 0) << "another session suffers";
  EXPECT_LE(relative_l2(session.run({small}).at(0), ref::run(session.graph(), {small}, ref::Precision::float64).at(0)), 1e-6);
  ASSERT_EQ(cudaFree(hog), cudaSuccess);
  EXPECT_LE(relative_l2(session.run({large}).at(0), ref::run(session.graph(), {large}, ref::Precision::float64).at(0)), 1e-6);
}

TEST_F(CudaFaults, WithoutMemoryARunFailsAndALaterOneSucceeds) {
  const Tensor large = random_normal({16, 16, 256, 256}, 1), small = random_normal({1, 16, 16, 16}, 2);
  Session other = Session::open(many_values({-1, 16, -1, -1}, 3), cuda_options());
  run_out_of_memory(other, small, large);
  // What CUDA sets up once, for streams and graphs, is there now: a second time must cost nothing.
  const std::size_t before = free_memory();
  run_out_of_memory(other, small, large);
  EXPECT_LE(before - std::min(before, free_memory()), kDriverBytes) << "a session that is closed keeps memory";
}

TEST_F(CudaFaults, WeightsThatAreNoNumbersNameTheirLayer) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const char* kernel : {"", "cuda:winograd_fused", "cuda:direct", "cuda:implicit"}) {
      for (const PrecisionCase& precision : kPrecisions) {
        Tensor weights = random_normal({16, 16, 3, 3}, 3);
        weights.mutable_data<float>()[100] = bad;
        SessionOptions options = cuda_options(precision.precision);
        options.force_kernel = kernel;
        const std::string error = error_of([&] { Session::open(one_convolution(weights), options); });
        EXPECT_THAT(error, HasSubstr("the_conv: ")) << kernel << " " << precision.name;
        EXPECT_THAT(error, HasSubstr("weight is")) << kernel << " " << precision.name;
      }
    }
  }
}

TEST_F(CudaFaults, WeightsThatFloat16CannotHoldNameTheirLayer) {
  Tensor weights = random_normal({16, 16, 3, 3}, 3);
  weights.mutable_data<float>()[100] = 3e5F;
  // Not the slow loops, which keep weights in float32.
  for (const char* kernel : {"cuda:winograd_fused", "cuda:implicit", "cuda:cudnn"}) {
    SessionOptions options = cuda_options(Precision::fp16);
    options.force_kernel = kernel;
    const std::string error = error_of([&] { Session::open(one_convolution(weights), options); });
    EXPECT_THAT(error, HasSubstr("the_conv: ")) << kernel;
    EXPECT_THAT(error, HasSubstr("does not fit float16")) << kernel;
    options.precision = Precision::bf16;
    EXPECT_EQ(error_of([&] { Session::open(one_convolution(weights), options); }), "no error") << kernel;
  }
}

TEST_F(CudaFaults, ShapesThatNoKernelTakesAreListedWithTheReason) {
  Session session = Session::open(many_values({-1, 16, -1, -1}, 2), cuda_options());
  const std::string error = error_of([&] { session.plan({{2, 16, 8192, 8192}}); });  // 2^31 elements, 8.6 GB
  EXPECT_THAT(error, HasSubstr("2^31"));
  EXPECT_THAT(error, testing::AnyOf(HasSubstr("abs0"), HasSubstr("x: ")));
  session.plan({{1, 16, 8, 8}});
}

TEST_F(CudaFaults, PointersThatAreNoMemoryOfTheGpuAreRefused) {
  Session session = Session::open(many_values({1, 16, 8, 8}, 2), cuda_options());
  constexpr std::size_t kBytes = 16 * 8 * 8 * sizeof(float);
  void* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, kBytes + 16), cudaSuccess);
  ASSERT_EQ(cudaMemset(memory, 0, kBytes), cudaSuccess);
  auto* device = static_cast<float*>(memory);
  const auto enqueue = [&](const void* in, void* out) { session.enqueue({{1, 16, 8, 8}}, {in}, {out}, nullptr); };
  EXPECT_THAT(error_of([&] { enqueue(nullptr, device); }), HasSubstr("an input is not in memory of the GPU"));
  EXPECT_THAT(error_of([&] { enqueue(device, nullptr); }), HasSubstr("an output is not in memory of the GPU"));
  EXPECT_THAT(error_of([&] { enqueue(device + 1, device); }), HasSubstr("not 16-byte aligned"));
  EXPECT_EQ(error_of([&] { enqueue(device, device); }), "no error");
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  cudaFree(memory);
}

/// In a process of its own: a run over memory that was freed. Ends with 0 when everything after it was as it should be.
void fault_and_go_on() {
  const wins::Shape shape{4, 16, 512, 512};  // 64 MB: memory of its own, unmapped when freed
  const std::size_t bytes = static_cast<std::size_t>(element_count(shape)) * sizeof(float);
  void *in = nullptr, *out = nullptr;
  if (cudaMalloc(&in, bytes) != cudaSuccess || cudaMalloc(&out, bytes) != cudaSuccess || cudaMemset(in, 0, bytes) != cudaSuccess) std::exit(2);
  {
    Session broken = Session::open(many_values(shape, 2), cuda_options()), other = Session::open(many_values({1, 16, 8, 8}, 2), cuda_options());
    const Tensor x = random_normal({1, 16, 8, 8}, 4);
    other.run({x});
    broken.enqueue({shape}, {in}, {out}, nullptr);
    if (cudaDeviceSynchronize() != cudaSuccess) std::exit(3);
    cudaFree(in);
    broken.enqueue({shape}, {in}, {out}, nullptr);
    if (cudaDeviceSynchronize() == cudaSuccess) std::exit(4);
    const std::string run = error_of([&] { other.run({x}); });
    std::fprintf(stderr, "run: %s\n", run.c_str());
    if (run.find("start it again") == std::string::npos) std::exit(5);
    const std::string open = error_of([&] { Session::open(many_values({1, 16, 8, 8}, 2), cuda_options()); });
    std::fprintf(stderr, "open: %s\n", open.c_str());
    if (open.find("cannot be used") == std::string::npos || open.find("start it again") == std::string::npos) std::exit(6);
  }
  SessionOptions host;
  if (Session::open(many_values({1, 16, 8, 8}, 2), host).run({random_normal({1, 16, 8, 8}, 4)}).size() != 1) std::exit(7);
  std::fflush(nullptr);
  std::_Exit(0);
}

TEST_F(CudaFaults, AnIllegalAccessEndsTheGpuForThisProcessAndSaysSo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // CUDA does not live through a fork
  EXPECT_EXIT(fault_and_go_on(), testing::ExitedWithCode(0), "start it again");
}

}  // namespace
}  // namespace wins::runtime::cuda_test

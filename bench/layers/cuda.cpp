// Times single layers on the GPU, every kernel that takes them, and compares their results with those of the plain loops.
//
// Columns, with tabs: precision, problem, kernel, microseconds, predicted, relative L2 difference to the plain loops.
#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <exception>
#include <random>

#include "captured_run.hpp"
#include "event.hpp"
#include "kernel.hpp"
#include "layer_case.hpp"
#include "wins/base/error.hpp"

namespace wins::layers {
namespace {

using namespace runtime::cuda;
using runtime::ConvProblem;

struct Options {
  std::vector<std::string> files, precisions{"fp32", "tf32", "fp16", "bf16"};
  int micro_seconds = 1500;
  bool cuts = false;
};

Operand operand_of(const std::string& precision) {
  if (precision == "fp16") return Operand::f16;
  if (precision == "bf16") return Operand::bf16;
  return precision == "tf32" ? Operand::tf32 : Operand::f32;
}

/// Microseconds of one run among many in a CUDA graph, the median of three.
template <class Enqueue>
double time_in_graph(cudaStream_t stream, double budget, const Enqueue& enqueue) {
  enqueue();
  const double once = time_on_stream(stream, enqueue);
  const int runs = static_cast<int>(std::clamp(budget / once, 1.0, 50.0));
  CapturedRun many;
  many.capture(stream, {}, [&] {
    for (int i = 0; i < runs; ++i) enqueue();
  });
  many.launch(stream);
  double times[3];
  for (double& us : times) us = time_on_stream(stream, [&] { many.launch(stream); }) / runs;
  std::sort(std::begin(times), std::end(times));
  return times[1];
}

/// Random numbers in the storage type, a million repeated; channels that only fill a unit hold some too, which the packed
/// weights multiply by zero.
DeviceBuffer random_buffer(std::size_t elements, Operand operand, float deviation) {
  static const std::vector<float> numbers = [] {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    std::vector<float> values((std::size_t{1} << 20) + 17);
    for (float& value : values) value = normal(random);
    return values;
  }();
  const auto bytes = static_cast<std::size_t>(storage_bytes(operand));
  const std::size_t count = std::min(elements, numbers.size());
  std::vector<std::byte> values(count * bytes);
  for (std::size_t i = 0; i < count; ++i) {
    const float value = numbers[i] * deviation;
    const std::uint32_t bits = bytes == 4 ? std::bit_cast<std::uint32_t>(value) : operand_bits(value, operand, 0);
    std::memcpy(&values[i * bytes], &bits, bytes);
  }
  DeviceBuffer buffer(elements * bytes);
  for (std::size_t at = 0; at < elements; at += count) {
    check(cudaMemcpy(static_cast<std::byte*>(buffer.data()) + at * bytes, values.data(), std::min(count, elements - at) * bytes, cudaMemcpyHostToDevice), "data");
  }
  return buffer;
}

std::vector<float> read_back(const DeviceBuffer& buffer, Operand operand) {
  const auto bytes = static_cast<std::size_t>(storage_bytes(operand));
  std::vector<float> values(buffer.size() / bytes);
  std::vector<std::uint16_t> halves(bytes == 2 ? values.size() : 0);
  check(cudaMemcpy(bytes == 2 ? static_cast<void*>(halves.data()) : values.data(), buffer.data(), buffer.size(), cudaMemcpyDeviceToHost), "data");
  for (std::size_t i = 0; i < halves.size(); ++i) values[i] = operand == Operand::f16 ? from_float16(halves[i]) : from_bfloat16(halves[i]);
  return values;
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    error += (x - y) * (x - y);
    norm += y * y;
  }
  return std::sqrt(error / norm);
}

/// A layer in one precision, with its data on the device.
class Bench {
 public:
  Bench(const graph::Graph& graph, const std::string& precision, double budget)
      : graph_(graph), env_{graph_, options_, operand_of(precision), weights_, libraries_}, problem_{env_, graph_.nodes.at(0), {}, {}}, budget_(budget) {
    for (std::size_t i = 0; i < problem_.node.inputs.size(); ++i) {
      problem_.inputs.push_back(problem_.has_input(i) ? layout_of(problem_.input_shape(i), env_.unit()) : Layout{});
      const bool read = problem_.has_input(i) && problem_.constant(i) == nullptr;
      buffers_.push_back(read ? random_buffer(static_cast<std::size_t>(extent_of(problem_.inputs[i])), env_.operand, i == 0 ? 1.0F : 0.1F) : DeviceBuffer());
    }
    problem_.outputs.push_back(layout_of(problem_.output_shape(), env_.unit()));
    output_ = DeviceBuffer(static_cast<std::size_t>(extent_of(problem_.outputs[0]) * env_.element_bytes()));
  }

  const Problem& problem() const { return problem_; }
  /// For the runs and predictions that follow.
  void cut(const std::string& variant) { problem_.variant = variant; }
  Operand operand() const { return env_.operand; }

  struct Result {
    std::string name;
    double us = 0;
    std::vector<float> values;
  };
  Result run(const Kernel& kernel, bool timed, bool compared) {
    const Implementation implementation = kernel.build(problem_);
    const DeviceBuffer workspace(std::max<std::size_t>(implementation.workspace_bytes, 16));
    std::vector<const void*> inputs;
    for (const DeviceBuffer& buffer : buffers_) inputs.push_back(buffer.data());
    void* output = output_.data();
    const auto enqueue = [&] { implementation.step({inputs.data(), &output, workspace.data(), stream_.get()}); };
    check(cudaMemsetAsync(output, 0xff, output_.size(), stream_.get()), "memory");
    enqueue();
    check(cudaStreamSynchronize(stream_.get()), "a run");
    Result result{implementation.name, 0, {}};
    if (compared) result.values = read_back(output_, env_.operand);
    if (timed) result.us = time_in_graph(stream_.get(), budget_, enqueue);
    return result;
  }

 private:
  const graph::Graph& graph_;
  runtime::SessionOptions options_;
  runtime::SharedWeights weights_;
  Libraries libraries_;
  Environment env_;
  Problem problem_;
  std::vector<DeviceBuffer> buffers_;
  DeviceBuffer output_;
  Stream stream_;
  double budget_;
};

/// Larger outputs are timed without being compared.
constexpr std::int64_t kLargestCompared = 4'000'000;

void bench(const ConvProblem& problem, const std::string& precision, const Options& options) {
  const graph::Graph graph = make_graph(problem);
  Bench bench(graph, precision, options.micro_seconds);
  const std::vector<Kernel> kernels = kernels_for(graph.nodes.at(0).op);
  std::vector<float> reference;
  const bool compared = element_count(bench.problem().output_shape()) <= kLargestCompared;
  for (const Kernel& kernel : kernels) {
    if (compared && kernel.name.starts_with("cuda:direct") && !kernel.refuse(bench.problem())) reference = bench.run(kernel, false, true).values;
  }
  for (const Kernel& kernel : kernels) {
    if (kernel.name.starts_with("cuda:direct") || kernel.refuse(bench.problem())) continue;
    const bool all = options.cuts && kernel.variants != nullptr;
    for (const std::string& variant : all ? kernel.variants(bench.problem()) : std::vector<std::string>{""}) {
      bench.cut(variant);
      try {
        const auto result = bench.run(kernel, true, compared);
        fmt::print("{}\t{}\t{}\t{:.2f}\t{:.2f}\t{:.1e}\n", precision, text_of(problem), result.name, result.us, kernel.predict(bench.problem()),
                   compared ? difference(result.values, reference) : 0.0);
      } catch (const Unsupported& unsupported) {
        fmt::print("{}\t{}\t{}: {}\n", precision, text_of(problem), kernel.name, unsupported.reason);
      }
    }
    bench.cut("");
  }
  std::fflush(stdout);
}

int parse_and_run(int argc, char** argv) {
  Options options;
  CLI::App app{"Single layers on the GPU: every kernel timed, and compared with plain loops"};
  app.add_option("files", options.files, "files of problems, one a line")->required();
  app.add_option("--precision", options.precisions, "fp32, tf32, fp16, bf16; default: all")->check(CLI::IsMember({"fp32", "tf32", "fp16", "bf16"}));
  app.add_option("--time", options.micro_seconds, "microseconds a kernel is run for")->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_flag("--cuts", options.cuts, "kernels that can cut their work in several ways: each of these, to fit their predictions to");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  fmt::print("# {}\n", device().name);
  for (const std::string& file : options.files) {
    for (const ConvProblem& problem : read_problems(file)) {
      for (const std::string& precision : options.precisions) bench(problem, precision, options);
    }
  }
  return 0;
}

}  // namespace
}  // namespace wins::layers

int main(int argc, char** argv) {
  try {
    return wins::layers::parse_and_run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_layers_cuda: {}\n", error.what());
    return 2;
  }
}

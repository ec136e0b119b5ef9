// The CPU backend: compiles a graph to steps on one arena, and runs them.
#include "wins/runtime/backend.hpp"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "aligned.hpp"
#include "compile.hpp"
#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"

namespace wins::runtime {
namespace {

using namespace cpu;

/// oneDNN takes the team size from OpenMP; this sets it for the calling thread alone.
class TeamSize {
 public:
  explicit TeamSize(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~TeamSize() { omp_set_num_threads(before_); }
  TeamSize(const TeamSize&) = delete;
  TeamSize& operator=(const TeamSize&) = delete;

 private:
  int before_;
};

class CpuExecutable : public Executable {
 public:
  CpuExecutable(Program program, int threads, std::shared_ptr<WeightCache> weights)
      : program_(std::move(program)), threads_(threads), weights_(std::move(weights)) {}

  std::vector<Tensor> run(const std::vector<Tensor>& inputs) override {
    const TeamSize team(threads_);
    point_to(inputs);
    for (std::size_t s = 0; s < program_.steps.size(); ++s) run_step(s);
    return collect();
  }

  const Plan& plan() const override { return program_.plan; }

  std::vector<double> run_timed(const std::vector<Tensor>& inputs, std::vector<Tensor>& outputs) override {
    using Clock = std::chrono::steady_clock;
    const TeamSize team(threads_);
    point_to(inputs);
    std::vector<double> times(program_.plan.layers.size(), 0);
    for (std::size_t s = 0; s < program_.steps.size(); ++s) {
      const auto start = Clock::now();
      run_step(s);
      times[program_.steps[s].line] += std::chrono::duration<double, std::micro>(Clock::now() - start).count();
    }
    outputs = collect();
    return times;
  }

 private:
  static AlignedFloats allocate(std::size_t bytes) {
    AlignedFloats memory(static_cast<std::int64_t>(bytes / sizeof(float)) + 16);
    std::fill_n(memory.data(), memory.size(), 0.0F);
    return memory;
  }

  void prepare() {
    arena_ = allocate(program_.plan.arena_bytes);
    workspace_ = allocate(program_.plan.workspace_bytes);
    auto* base = reinterpret_cast<std::byte*>(arena_.data());
    for (Buffer& buffer : program_.buffers) {
      void* at = base + buffer.offset;
      if (buffer.constant && buffer.constant->defined())
        at = const_cast<std::byte*>(buffer.constant->bytes());  // only read
      pointers_.push_back(at);
    }
    ready_ = true;
  }

  void point_to(const std::vector<Tensor>& inputs) {
    if (!ready_) prepare();
    for (std::size_t b = 0; b < program_.buffers.size(); ++b) {
      const Buffer& buffer = program_.buffers[b];
      if (!buffer.graph_input) continue;
      const Tensor& input = inputs.at(*buffer.graph_input);
      // A step may read one image of it.
      require(input.byte_size() >= buffer.parent_offset + buffer.bytes,
              "cpu: input {} has {} bytes, the plan expects {}", *buffer.graph_input, input.byte_size(), buffer.bytes);
      pointers_[b] = const_cast<std::byte*>(input.bytes()) + buffer.parent_offset;  // steps never write to inputs
    }
  }

  void run_step(std::size_t s) {
    const PlannedStep& planned = program_.steps[s];
    input_pointers_.clear();
    output_pointers_.clear();
    for (const std::size_t b : planned.inputs)
      input_pointers_.push_back(b == kNoBuffer ? nullptr : pointers_[b]);
    for (const std::size_t b : planned.outputs)
      output_pointers_.push_back(b == kNoBuffer ? nullptr : pointers_[b]);
    planned.step->run({input_pointers_.data(), output_pointers_.data(), workspace_.data()});
  }

  std::vector<Tensor> collect() const {
    std::vector<Tensor> outputs;
    for (const GraphOutput& output : program_.outputs) {
      Tensor tensor(output.dtype, output.shape);
      if (tensor.byte_size() > 0)
        std::memcpy(tensor.mutable_bytes(), pointers_[output.buffer], tensor.byte_size());
      outputs.push_back(std::move(tensor));
    }
    return outputs;
  }

  Program program_;
  int threads_;
  std::shared_ptr<WeightCache> weights_;
  AlignedFloats arena_, workspace_;
  std::vector<void*> pointers_;  // of the buffers
  std::vector<const void*> input_pointers_;
  std::vector<void*> output_pointers_;
  bool ready_ = false;
};

class CpuBackend : public Backend {
 public:
  std::string name() const override { return "cpu"; }
  std::string unavailable() const override { return {}; }
  std::shared_ptr<WeightCache> make_cache() const override { return std::make_shared<WeightStore>(); }

  std::unique_ptr<Executable> compile(const graph::Graph& graph, const SessionOptions& options,
                                      const std::shared_ptr<WeightCache>& cache) const override {
    const auto store = std::dynamic_pointer_cast<WeightStore>(cache);
    require(store != nullptr, "cpu: the weight cache belongs to another backend");
    const int threads = options.threads > 0 ? options.threads : default_threads();
    const TeamSize team(threads);
    const WinogradKernels& winograd = winograd_kernels();
    const Environment environment{
        graph, options, threads, std::max(8, winograd.lanes), winograd, machine(winograd.lanes), *store};
    return std::make_unique<CpuExecutable>(compile_program(environment), threads, cache);
  }
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend() {
  return std::make_unique<CpuBackend>();
}

}  // namespace wins::runtime

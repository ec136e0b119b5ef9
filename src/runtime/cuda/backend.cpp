// The CUDA backend: compiles a graph to steps on one arena, and runs them as one CUDA graph.
#include "wins/runtime/backend.hpp"

#include <algorithm>

#include "captured_run.hpp"
#include "compile.hpp"
#include "device.hpp"
#include "event.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/weight_store.hpp"

namespace wins::runtime {
namespace {

using namespace cuda;

Operand operand_of(Precision precision) {
  switch (precision) {
    case Precision::fp32: return Operand::f32;
    case Precision::tf32: return Operand::tf32;
    case Precision::fp16: return Operand::f16;
    case Precision::bf16: return Operand::bf16;
  }
  return Operand::f32;
}

class CudaExecutable : public Executable {
 public:
  CudaExecutable(Program program, std::shared_ptr<Libraries> libraries, std::shared_ptr<WeightCache> weights)
      : program_(std::move(program)), libraries_(std::move(libraries)), weights_(std::move(weights)) {}

  /// Work of `enqueue` may be on its way in a stream of the caller's.
  ~CudaExecutable() override { cudaEventSynchronize(done_.get()); }

  std::vector<Tensor> run(const std::vector<Tensor>& inputs) override {
    if (!ready_) prepare();
    wait_for_last(stream_.get());
    if (!own_.is_for({})) {
      copy_in(inputs);
      warm_up();
      own_.capture(stream_.get(), {}, [this] { enqueue_all(); });
    }
    copy_in(inputs);  // a run may reuse the memory of its inputs
    own_.launch(stream_.get());
    return collect();
  }

  void enqueue(const std::vector<const void*>& inputs, const std::vector<void*>& outputs, void* stream) override {
    if (!ready_) prepare();
    const auto target = static_cast<cudaStream_t>(stream);
    wait_for_last(target);
    std::vector<const void*> key(inputs);
    key.insert(key.end(), outputs.begin(), outputs.end());
    if (!callers_.is_for(key)) record(inputs, outputs, std::move(key), target);
    callers_.launch(target);
    done_.record(target);
  }

  const Plan& plan() const override { return program_.plan; }

  std::vector<double> run_timed(const std::vector<Tensor>& inputs, std::vector<Tensor>& outputs) override {
    if (!ready_) prepare();
    wait_for_last(stream_.get());
    if (!warm_) {
      copy_in(inputs);
      warm_up();
    }
    std::vector<Event> events(program_.steps.size() + 1);
    const auto enqueue_timed = [&](auto record) {
      record(events[0]);
      for (std::size_t s = 0; s < program_.steps.size(); ++s) {
        run_step(s);
        record(events[s + 1]);
      }
    };
    CapturedRun timed;
    try {
      // A graph too: steps enqueued one by one may be shorter than the host takes for each.
      timed.capture(stream_.get(), {}, [&] { enqueue_timed([&](const Event& event) { event.record_in_graph(stream_.get()); }); });
    } catch (const Error&) {
      cudaGetLastError();  // a driver whose graphs do not hold this; a step that fails does so again below
    }
    copy_in(inputs);  // a run may reuse the memory of its inputs
    if (timed.is_for({})) {
      timed.launch(stream_.get());
    } else {
      enqueue_timed([&](const Event& event) { event.record(stream_.get()); });
    }
    outputs = collect();
    std::vector<double> times;
    for (std::size_t s = 0; s < program_.steps.size(); ++s) times.push_back(events[s + 1].microseconds_since(events[s]));
    return times;
  }

 private:
  /// Shapes of the inputs, for messages.
  std::string shapes() const {
    std::string text;
    for (const HostValue& input : program_.inputs) text += (text.empty() ? "" : ", ") + to_string(input.shape);
    return text;
  }

  void prepare() {
    try {
      arena_ = DeviceBuffer(program_.plan.arena_bytes);
      workspace_ = DeviceBuffer(program_.plan.workspace_bytes);
    } catch (const Error& error) {
      fail("input {}: {}", shapes(), error.what());
    }
    // Reads of what nothing wrote must not depend on what was there before.
    check(cudaMemsetAsync(arena_.data(), 0, arena_.size(), stream_.get()), "memory");
    check(cudaStreamSynchronize(stream_.get()), "memory");
    for (const Buffer& buffer : program_.buffers) {
      auto* at = static_cast<std::byte*>(arena_.data()) + buffer.offset;
      pointers_.push_back(buffer.constant ? buffer.constant->data() : at);
    }
    ready_ = true;
  }

  /// One arena: runs follow each other, in whatever streams.
  void wait_for_last(cudaStream_t stream) const { check(cudaStreamWaitEvent(stream, done_.get(), 0), "the last run"); }

  /// Once without a graph: libraries set themselves up, and allocate.
  void warm_up() {
    if (warm_) return;
    enqueue_all();
    check(cudaStreamSynchronize(stream_.get()), "the first run");
    warm_ = true;
  }

  /// Captures a run over the caller's memory, whose contents other streams may still write.
  void record(const std::vector<const void*>& inputs, const std::vector<void*>& outputs, std::vector<const void*> key, cudaStream_t stream) {
    for (std::size_t i = 0; i < inputs.size(); ++i) check_pointer(inputs[i], program_.inputs[i].shape, "input");
    for (std::size_t i = 0; i < outputs.size(); ++i) check_pointer(outputs[i], program_.outputs[i].shape, "output");
    const std::vector<void*> own = pointers_;
    for (std::size_t i = 0; i < inputs.size(); ++i) pointers_[program_.inputs[i].buffer] = const_cast<void*>(inputs[i]);  // only read
    for (std::size_t i = 0; i < outputs.size(); ++i) pointers_[program_.outputs[i].buffer] = outputs[i];
    try {
      check(cudaStreamSynchronize(stream), "the stream");
      warm_up();
      callers_.capture(stream_.get(), std::move(key), [this] { enqueue_all(); });
    } catch (...) {
      pointers_ = own;
      throw;
    }
    pointers_ = own;
  }

  /// A kernel that reads what is no memory costs the process its GPU.
  static void check_pointer(const void* pointer, const Shape& shape, const char* what) {
    if (element_count(shape) == 0) return;
    require(reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0, "an {} in device memory is not 16-byte aligned", what);
    cudaPointerAttributes attributes{};
    check(cudaPointerGetAttributes(&attributes, pointer), "the memory of an input or output");
    require(attributes.type != cudaMemoryTypeUnregistered, "an {} is not in memory of the GPU", what);
  }

  void copy_in(const std::vector<Tensor>& inputs) {
    for (std::size_t i = 0; i < program_.inputs.size(); ++i) {
      const Tensor& input = inputs.at(i);
      check(cudaMemcpyAsync(pointers_[program_.inputs[i].buffer], input.bytes(), input.byte_size(), cudaMemcpyHostToDevice, stream_.get()),
            "copy of the inputs");
    }
  }

  void run_step(std::size_t s) {
    const PlannedStep& planned = program_.steps[s];
    input_pointers_.clear();
    output_pointers_.clear();
    for (const std::size_t b : planned.inputs) input_pointers_.push_back(b == kNoBuffer ? nullptr : pointers_[b]);
    for (const std::size_t b : planned.outputs) output_pointers_.push_back(b == kNoBuffer ? nullptr : pointers_[b]);
    try {
      planned.step({input_pointers_.data(), output_pointers_.data(), workspace_.data(), stream_.get(), planned.ahead});
    } catch (const Error& error) {
      fail("{}: {}", program_.plan.layers[s].node, error.what());
    }
  }

  void enqueue_all() {
    for (std::size_t s = 0; s < program_.steps.size(); ++s) run_step(s);
  }

  std::vector<Tensor> collect() {
    std::vector<Tensor> outputs;
    for (const HostValue& host : program_.outputs) {
      Tensor tensor(DType::f32, host.shape);
      if (tensor.byte_size() > 0) {
        check(cudaMemcpyAsync(tensor.mutable_bytes(), pointers_[host.buffer], tensor.byte_size(), cudaMemcpyDeviceToHost, stream_.get()),
              "copy of the outputs");
      }
      outputs.push_back(std::move(tensor));
    }
    check(cudaStreamSynchronize(stream_.get()), "a run");
    return outputs;
  }

  Program program_;
  std::shared_ptr<Libraries> libraries_;
  std::shared_ptr<WeightCache> weights_;
  Stream stream_;
  DeviceBuffer arena_, workspace_;
  std::vector<void*> pointers_;  // of the buffers
  std::vector<const void*> input_pointers_;
  std::vector<void*> output_pointers_;
  CapturedRun own_, callers_;
  Event done_;  // of the last run in a caller's stream
  bool ready_ = false, warm_ = false;
};

class CudaBackend : public Backend {
 public:
  std::string name() const override { return "cuda"; }
  std::string unavailable() const override { return why_unusable(); }
  std::shared_ptr<WeightCache> make_cache() const override { return std::make_shared<WeightStore>(); }
  std::size_t memory_bytes() const override { return device_memory(); }

  std::unique_ptr<Executable> compile(const graph::Graph& graph, const SessionOptions& options,
                                      const std::shared_ptr<WeightCache>& cache) const override {
    const auto store = std::dynamic_pointer_cast<WeightStore>(cache);
    require(store != nullptr, "cuda: the weight cache belongs to another backend");
    const auto libraries = std::make_shared<Libraries>();
    const Environment environment{graph, options, operand_of(options.precision), *store, *libraries};
    return std::make_unique<CudaExecutable>(compile_program(environment, store->decisions()), libraries, cache);
  }
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend() { return std::make_unique<CudaBackend>(); }

}  // namespace wins::runtime

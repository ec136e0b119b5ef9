// The C interface: no exception leaves this file.
#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "options.hpp"
#include "wins/base/error.hpp"
#include "wins/capi/wins.h"
#include "wins/graph/shapes.hpp"
#include "wins/onnx/onnx.hpp"
#include "wins/runtime/session.hpp"
#include "wins/version.hpp"

struct wins_model {
  wins::runtime::Session session;
};

namespace {

using wins::DType;
using wins::fail;
using wins::require;
using wins::Shape;
using wins::Tensor;

thread_local std::string last_error;
thread_local std::string plan_text;

static_assert(static_cast<int>(DType::f32) == WINS_F32 && static_cast<int>(DType::f64) == WINS_F64);
static_assert(static_cast<int>(DType::i64) == WINS_I64 && static_cast<int>(DType::i32) == WINS_I32);
static_assert(static_cast<int>(DType::u8) == WINS_U8 && static_cast<int>(DType::boolean) == WINS_BOOL);

void keep_error(const char* text) noexcept {
  try {
    last_error = text;
  } catch (...) {
    last_error.clear();
  }
}

/// Runs `body`; an exception becomes the last error and WINS_ERROR.
template <class Body>
int guarded(const Body& body) noexcept {
  try {
    body();
    return WINS_OK;
  } catch (const std::bad_alloc&) {
    keep_error("out of memory");
  } catch (const std::exception& error) {
    keep_error(error.what());
  } catch (...) {
    keep_error("unknown failure");
  }
  return WINS_ERROR;
}

const wins::graph::Graph& graph_of(const wins_model* model) {
  require(model != nullptr, "model is NULL");
  return model->session.graph();
}

Shape shape_of(const wins_tensor& tensor) {
  require(tensor.rank >= 0 && tensor.rank <= WINS_MAX_RANK, "rank {} is not in 0..{}", tensor.rank, WINS_MAX_RANK);
  return {tensor.shape, tensor.shape + tensor.rank};
}

std::vector<Shape> shapes_of(const wins_tensor* tensors, std::size_t count) {
  require(tensors != nullptr || count == 0, "inputs is NULL");
  std::vector<Shape> shapes;
  for (std::size_t i = 0; i < count; ++i) shapes.push_back(shape_of(tensors[i]));
  return shapes;
}

void describe(DType dtype, const std::optional<Shape>& shape, wins_tensor& info) {
  info = wins_tensor{};
  info.dtype = static_cast<std::int32_t>(dtype);
  info.rank = -1;
  if (!shape) return;
  require(shape->size() <= WINS_MAX_RANK, "rank {} is over {}", shape->size(), WINS_MAX_RANK);
  info.rank = static_cast<std::int32_t>(shape->size());
  std::copy(shape->begin(), shape->end(), info.shape);
}

Tensor import_tensor(const wins_tensor& from, std::size_t index) {
  require(from.dtype >= WINS_F32 && from.dtype <= WINS_BOOL, "input {}: unknown dtype {}", index, from.dtype);
  const Shape shape = shape_of(from);
  const auto dtype = static_cast<DType>(from.dtype);
  const std::int64_t count = wins::element_count(shape);
  require(from.data != nullptr || count == 0, "input {}: data is NULL", index);
  // Checked before anything of that size is allocated.
  const std::size_t room = from.bytes / wins::size_of(dtype);
  require(static_cast<std::uint64_t>(count) <= room, "input {}: {} bytes are too few for shape {}", index, from.bytes,
          wins::to_string(shape));
  Tensor tensor(dtype, shape);
  if (count > 0) std::memcpy(tensor.mutable_bytes(), from.data, tensor.byte_size());
  return tensor;
}

void check_outputs(const wins_model* model, const wins_tensor* outputs, std::size_t count) {
  const std::size_t wanted = graph_of(model).outputs.size();
  require(outputs != nullptr, "outputs is NULL");
  require(count == wanted, "the network has {} outputs, room for {} was given", wanted, count);
}

/// nullptr when there is no such id.
const char* name_in(const wins_model* model, const std::vector<wins::graph::ValueId>& ids, std::size_t index) {
  if (index >= ids.size()) return nullptr;
  return model->session.graph().value(ids[index]).name.c_str();
}

}  // namespace

extern "C" {

const char* wins_version(void) { return wins::kVersion; }

int wins_abi(void) { return WINS_ABI; }

const char* wins_last_error(void) { return last_error.c_str(); }

int wins_open(const char* path, const char* options, wins_model** model) {
  if (model != nullptr) *model = nullptr;
  return guarded([&] {
    require(path != nullptr, "path is NULL");
    require(model != nullptr, "model is NULL");
    const auto parsed = wins::capi::parse_options(options != nullptr ? options : "");
    *model = new wins_model{wins::runtime::Session::open(wins::onnx::load(path), parsed)};
  });
}

void wins_free(wins_model* model) { delete model; }

size_t wins_input_count(const wins_model* model) {
  return model != nullptr ? model->session.graph().inputs.size() : 0;
}

size_t wins_output_count(const wins_model* model) {
  return model != nullptr ? model->session.graph().outputs.size() : 0;
}

const char* wins_input_name(const wins_model* model, size_t index) {
  return model != nullptr ? name_in(model, model->session.graph().inputs, index) : nullptr;
}

const char* wins_output_name(const wins_model* model, size_t index) {
  return model != nullptr ? name_in(model, model->session.graph().outputs, index) : nullptr;
}

int wins_describe_input(const wins_model* model, size_t index, wins_tensor* info) {
  return guarded([&] {
    const wins::graph::Graph& graph = graph_of(model);
    require(info != nullptr, "info is NULL");
    require(index < graph.inputs.size(), "there is no input {}", index);
    const wins::graph::Value& value = graph.value(graph.inputs[index]);
    describe(value.dtype, value.shape, *info);
  });
}

int wins_describe_output(const wins_model* model, size_t index, wins_tensor* info) {
  return guarded([&] {
    const wins::graph::Graph& graph = graph_of(model);
    require(info != nullptr, "info is NULL");
    require(index < graph.outputs.size(), "there is no output {}", index);
    const wins::graph::Value& value = graph.value(graph.outputs[index]);
    describe(value.dtype, value.shape, *info);
  });
}

int wins_output_shapes(wins_model* model, const wins_tensor* inputs, size_t input_count, wins_tensor* outputs,
                       size_t output_count) {
  return guarded([&] {
    check_outputs(model, outputs, output_count);
    const std::vector<Shape> shapes = shapes_of(inputs, input_count);
    model->session.plan(shapes);  // checks them against the inputs
    const wins::graph::Graph graph = wins::graph::specialize(model->session.graph(), shapes);
    for (std::size_t i = 0; i < output_count; ++i) {
      const wins::graph::Value& value = graph.value(graph.outputs[i]);
      describe(value.dtype, value.shape, outputs[i]);
      outputs[i].bytes = static_cast<std::size_t>(wins::element_count(value.shape.value())) * size_of(value.dtype);
    }
  });
}

int wins_run(wins_model* model, const wins_tensor* inputs, size_t input_count, wins_tensor* outputs,
             size_t output_count) {
  return guarded([&] {
    check_outputs(model, outputs, output_count);
    require(inputs != nullptr || input_count == 0, "inputs is NULL");
    std::vector<Tensor> tensors;
    for (std::size_t i = 0; i < input_count; ++i) tensors.push_back(import_tensor(inputs[i], i));
    const std::vector<Tensor> results = model->session.run(tensors);
    for (std::size_t i = 0; i < output_count; ++i) {
      require(outputs[i].data != nullptr, "output {}: data is NULL", i);
      require(outputs[i].bytes >= results[i].byte_size(), "output {}: {} bytes are too few for shape {}", i,
              outputs[i].bytes, wins::to_string(results[i].shape()));
    }
    for (std::size_t i = 0; i < output_count; ++i) {
      const wins_tensor room = outputs[i];
      describe(results[i].dtype(), results[i].shape(), outputs[i]);
      outputs[i].data = room.data;
      outputs[i].bytes = room.bytes;
      std::memcpy(room.data, results[i].bytes(), results[i].byte_size());
    }
  });
}

int wins_enqueue(wins_model* model, const wins_tensor* inputs, size_t input_count, const wins_tensor* outputs,
                 size_t output_count, void* stream) {
  return guarded([&] {
    check_outputs(model, outputs, output_count);
    const std::vector<Shape> shapes = shapes_of(inputs, input_count);
    const wins::graph::Graph graph = wins::graph::specialize(model->session.graph(), shapes);
    std::vector<const void*> from;
    std::vector<void*> to;
    const auto check = [](const char* what, std::size_t i, const wins_tensor& tensor, const Shape& shape) {
      require(tensor.data != nullptr, "{} {}: data is NULL", what, i);
      require(tensor.dtype == WINS_F32, "{} {}: dtype {} is not float32", what, i, tensor.dtype);
      require(tensor.bytes / sizeof(float) >= static_cast<std::uint64_t>(wins::element_count(shape)),
              "{} {}: {} bytes are too few for shape {}", what, i, tensor.bytes, wins::to_string(shape));
    };
    for (std::size_t i = 0; i < input_count; ++i) {
      check("input", i, inputs[i], shapes[i]);
      from.push_back(inputs[i].data);
    }
    for (std::size_t i = 0; i < output_count; ++i) {
      check("output", i, outputs[i], graph.value(graph.outputs[i]).shape.value());
      to.push_back(outputs[i].data);
    }
    model->session.enqueue(shapes, from, to, stream);
  });
}

const char* wins_plan_text(wins_model* model, const wins_tensor* inputs, size_t input_count) {
  const int status = guarded([&] {
    require(model != nullptr, "model is NULL");
    plan_text = model->session.plan(shapes_of(inputs, input_count)).text();
  });
  return status == WINS_OK ? plan_text.c_str() : nullptr;
}

}  // extern "C"

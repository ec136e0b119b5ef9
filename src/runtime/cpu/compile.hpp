// From a specialised graph to steps and buffers.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "kernel.hpp"
#include "wins/runtime/buffer_uses.hpp"

namespace wins::runtime::cpu {

/// One value in one layout.
struct Buffer {
  std::size_t bytes = 0;
  std::size_t offset = 0;                  ///< in the arena
  std::optional<std::size_t> graph_input;  ///< memory of the caller, from `parent_offset` on
  std::optional<Tensor> constant;
  std::size_t parent = kNoBuffer;  ///< the buffer that it is a part of
  std::size_t parent_offset = 0;                      ///< bytes
};

/// A kernel with its buffers, or a reorder between two layouts of one value.
struct PlannedStep {
  std::shared_ptr<Step> step;
  std::vector<std::size_t> inputs, outputs;  ///< buffers; kNoBuffer for inputs that are not read
  int in_place = -1;
  std::size_t line = 0;  ///< of the plan
};

struct GraphOutput {
  std::size_t buffer;
  DType dtype;
  Shape shape;
};

struct Program {
  std::vector<Buffer> buffers;
  std::vector<PlannedStep> steps;
  std::vector<GraphOutput> outputs;
  Plan plan;
};

/// Throws `Error` listing every node that no kernel takes.
Program compile_program(const Environment& environment);

}  // namespace wins::runtime::cpu

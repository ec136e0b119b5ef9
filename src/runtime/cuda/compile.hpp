// From a specialised graph to steps and buffers.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "kernel.hpp"
#include "wins/runtime/buffer_uses.hpp"
#include "wins/runtime/decisions.hpp"

namespace wins::runtime::cuda {

/// Memory of one value.
struct Buffer {
  std::size_t bytes = 0;
  std::size_t offset = 0;                                ///< in the arena
  std::shared_ptr<const DeviceBuffer> constant;
  std::size_t parent = kNoBuffer;                        ///< the buffer that it is a part of
  std::size_t parent_offset = 0;                         ///< bytes
};

struct PlannedStep {
  Step step;
  std::vector<std::size_t> inputs, outputs;  ///< buffers; kNoBuffer for inputs that are not read
  std::vector<std::shared_ptr<const DeviceBuffer>> weights = {};  ///< Implementation::weights
  bool asks_ahead = false;
  WeightsAhead ahead = {};  ///< where it asks
};

/// float32, row-major: what goes to and from the host.
struct HostValue {
  std::size_t buffer;
  Shape shape;
};

struct Program {
  std::vector<Buffer> buffers;
  std::vector<PlannedStep> steps;
  std::vector<HostValue> inputs, outputs;
  Plan plan;
};

/// Throws `Error` listing every node that no kernel takes.
Program compile_program(const Environment& environment, Decisions& decisions);

}  // namespace wins::runtime::cuda

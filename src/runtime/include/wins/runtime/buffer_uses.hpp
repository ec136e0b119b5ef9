// Buffers of a program, and when its steps use them: the same for every backend that compiles to steps.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "wins/runtime/session.hpp"

namespace wins::runtime {

inline constexpr std::size_t kNoBuffer = static_cast<std::size_t>(-1);

/// Steps of the first and of the last use of each buffer; of one with parts, over all of them. Where nothing uses it, `first` is kNoBuffer.
struct BufferUses {
  std::vector<std::size_t> first, last;
};

/// `Program` has `buffers`, each with the `parent` that it is a part of (or kNoBuffer), and `steps` with their `inputs` and `outputs`
/// among them; `outputs` with a `buffer` each are used behind the last step.
template <class Program>
BufferUses find_uses(const Program& program) {
  const auto& buffers = program.buffers;
  BufferUses uses{std::vector<std::size_t>(buffers.size(), kNoBuffer), std::vector<std::size_t>(buffers.size(), 0)};
  const auto use = [&](std::size_t buffer, std::size_t step) {
    for (std::size_t b = buffer; b != kNoBuffer; b = buffers[b].parent) {
      uses.first[b] = std::min(uses.first[b], step);
      uses.last[b] = std::max(uses.last[b], step);
    }
  };
  for (std::size_t s = 0; s < program.steps.size(); ++s) {
    for (const auto* of : {&program.steps[s].outputs, &program.steps[s].inputs}) {
      for (const std::size_t b : *of) use(b, s);
    }
  }
  for (const auto& output : program.outputs) use(output.buffer, program.steps.size());
  return uses;
}

/// What the lines of a plan need together, on an arena of so many bytes.
inline void complete(Plan& plan, std::size_t arena_bytes) {
  plan.arena_bytes = arena_bytes;
  for (const LayerPlan& line : plan.layers) {
    plan.workspace_bytes = std::max(plan.workspace_bytes, line.workspace_bytes);
    plan.weight_bytes += line.weight_bytes;
  }
}

}  // namespace wins::runtime

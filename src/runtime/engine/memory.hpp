// How much memory a plan may take.
#pragma once

#include <cstddef>
#include <string>

#include "wins/graph/graph.hpp"
#include "wins/runtime/backend.hpp"

namespace wins::runtime {

struct MemoryLimit {
  std::size_t bytes = 0;
  std::string name;  ///< for messages: "the memory limit", "this machine's memory", "the GPU's memory"
};
/// `options.memory_limit`, else the memory of the backend's device, else the machine's (this process's control group counts).
MemoryLimit memory_limit(const SessionOptions& options, const Backend& backend);

/// Throws `Error` when some node's own activations alone exceed the limit: called before anything
/// is allocated. `graph` is specialised.
void check_largest_node(const graph::Graph& graph, const MemoryLimit& limit);

/// Throws `Error` when activations + workspace of the plan exceed the limit. `shapes` names the
/// inputs in the message.
void check_plan(const Plan& plan, const MemoryLimit& limit, const std::string& shapes);

}  // namespace wins::runtime

// How much memory a plan may take.
#pragma once

#include <cstddef>
#include <string>

#include "wins/graph/graph.hpp"
#include "wins/runtime/session.hpp"

namespace wins::runtime {

/// `options.memory_limit`, or the machine's memory (this process's control group counts) without one.
struct MemoryLimit {
  std::size_t bytes = 0;
  std::string name;  ///< for messages: "the memory limit", "this machine's memory"
};
MemoryLimit memory_limit(const SessionOptions& options);

/// Throws `Error` when some node's own activations alone exceed the limit: called before anything
/// is allocated. `graph` is specialised.
void check_largest_node(const graph::Graph& graph, const MemoryLimit& limit);

/// Throws `Error` when activations + workspace of the plan exceed the limit. `shapes` names the
/// inputs in the message.
void check_plan(const Plan& plan, const MemoryLimit& limit, const std::string& shapes);

}  // namespace wins::runtime

#include "memory.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <set>

#include "wins/base/error.hpp"

namespace wins::runtime {
namespace {

std::string mib(std::size_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1024.0 * 1024.0));
}

std::size_t physical_bytes() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page <= 0) return std::numeric_limits<std::size_t>::max();
  return static_cast<std::size_t>(pages) * static_cast<std::size_t>(page);
}

/// The limit of the control group (version 2, then 1); "max" or no file means none.
std::size_t control_group_bytes() {
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream file(path);
    std::size_t bytes = 0;
    if (file >> bytes) return bytes;
  }
  return std::numeric_limits<std::size_t>::max();
}

}  // namespace

MemoryLimit memory_limit(const SessionOptions& options, const Backend& backend) {
  if (options.memory_limit > 0) return {options.memory_limit, "the memory limit"};
  if (const std::size_t bytes = backend.memory_bytes(); bytes > 0) return {bytes, "the GPU's memory"};
  return {std::min(physical_bytes(), control_group_bytes()), "this machine's memory"};
}

void check_largest_node(const graph::Graph& graph, const MemoryLimit& limit) {
  for (const graph::Node& node : graph.nodes) {
    std::set<graph::ValueId> ids(node.inputs.begin(), node.inputs.end());
    ids.insert(node.outputs.begin(), node.outputs.end());
    double bytes = 0;
    for (const graph::ValueId id : ids) {
      if (id == graph::kNone || graph.value(id).constant || !graph.value(id).shape) continue;
      bytes += static_cast<double>(element_count(*graph.value(id).shape)) *
               static_cast<double>(size_of(graph.value(id).dtype));
    }
    require(bytes <= static_cast<double>(limit.bytes), "node '{}': its activations need {:.1f} MiB, more than {} ({})",
            node.name, bytes / (1024.0 * 1024.0), limit.name, mib(limit.bytes));
  }
}

void check_plan(const Plan& plan, const MemoryLimit& limit, const std::string& shapes) {
  const std::size_t bytes = plan.arena_bytes + plan.workspace_bytes;
  require(bytes <= limit.bytes, "the plan for input {} needs {} (activations {}, workspace {}), more than {} ({})",
          shapes, mib(bytes), mib(plan.arena_bytes), mib(plan.workspace_bytes), limit.name, mib(limit.bytes));
}

}  // namespace wins::runtime

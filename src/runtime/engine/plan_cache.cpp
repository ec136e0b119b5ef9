#include "plan_cache.hpp"

#include <algorithm>

#include "inputs.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::runtime {

std::unique_ptr<Executable> ShapePlan::take() {
  const std::lock_guard lock(mutex_);
  if (!idle_.empty()) {
    auto executable = std::move(idle_.back());
    idle_.pop_back();
    return executable;
  }
  const MemoryLimit limit = memory_limit(source_.options, *source_.backend);
  if (!ready_) {
    graph::Graph specialised = graph::specialize(source_.graph, shapes_);
    check_largest_node(specialised, limit);
    specialised_ = std::move(specialised);
    ready_ = true;
  }
  const std::lock_guard compiling(*source_.compiling);
  auto executable = source_.backend->compile(specialised_, source_.options, source_.weights);
  check_plan(executable->plan(), limit, shapes_text(shapes_));
  return executable;
}

void ShapePlan::give_back(std::unique_ptr<Executable> executable) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(executable));
}

std::shared_ptr<ShapePlan> PlanCache::find(const std::vector<Shape>& shapes) {
  const std::lock_guard lock(mutex_);
  const auto known = std::find_if(plans_.begin(), plans_.end(), [&](const auto& p) { return p->shapes() == shapes; });
  if (known != plans_.end()) {
    plans_.splice(plans_.begin(), plans_, known);
    return plans_.front();
  }
  plans_.push_front(std::make_shared<ShapePlan>(source_, shapes));
  if (plans_.size() > kPlans) plans_.pop_back();
  return plans_.front();
}

}  // namespace wins::runtime

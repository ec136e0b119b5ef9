// Compiled plans by input shape: the last few, each with a pool of executables.
#pragma once

#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "memory.hpp"
#include "wins/runtime/backend.hpp"

namespace wins::runtime {

/// What one Session compiles from.
struct Source {
  graph::Graph graph;  ///< optimised, not specialised
  SessionOptions options;
  std::shared_ptr<const Backend> backend;
  std::shared_ptr<WeightCache> weights;
  /// Held while compiling: the weight cache belongs to one compilation at a time.
  std::unique_ptr<std::mutex> compiling = std::make_unique<std::mutex>();
};

/// The network for one set of input shapes. Thread-safe.
class ShapePlan {
 public:
  ShapePlan(const Source& source, std::vector<Shape> shapes) : source_(source), shapes_(std::move(shapes)) {}

  const std::vector<Shape>& shapes() const { return shapes_; }

  /// An executable that nobody uses, compiled when all are busy. Throws `Error` as
  /// `Backend::compile` and the memory checks do; a later call then tries again.
  std::unique_ptr<Executable> take();
  void give_back(std::unique_ptr<Executable> executable);

 private:
  const Source& source_;
  const std::vector<Shape> shapes_;
  std::mutex mutex_;
  graph::Graph specialised_;  // filled by the first take()
  bool ready_ = false;
  std::vector<std::unique_ptr<Executable>> idle_;
};

/// Takes an executable on construction and gives it back at the end of the scope; one whose run threw is
/// dropped: it may be half set up, and hold memory.
class Lease {
 public:
  explicit Lease(std::shared_ptr<ShapePlan> plan) : plan_(std::move(plan)), executable_(plan_->take()) {}
  ~Lease() {
    if (std::uncaught_exceptions() == exceptions_) plan_->give_back(std::move(executable_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Executable* operator->() const { return executable_.get(); }

 private:
  std::shared_ptr<ShapePlan> plan_;
  std::unique_ptr<Executable> executable_;
  const int exceptions_ = std::uncaught_exceptions();
};

/// The most recently used plans. Thread-safe; a plan that is dropped lives until its runs end.
class PlanCache {
 public:
  /// `source` must outlive the cache and its plans.
  explicit PlanCache(const Source& source) : source_(source) {}
  std::shared_ptr<ShapePlan> find(const std::vector<Shape>& shapes);

  static constexpr std::size_t kPlans = 4;

 private:
  const Source& source_;
  std::mutex mutex_;
  std::list<std::shared_ptr<ShapePlan>> plans_;  // most recent first
};

}  // namespace wins::runtime

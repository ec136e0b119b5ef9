#include "wins/base/parallel.hpp"

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

namespace wins {

int default_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

void parallel_for(std::int64_t count, int threads,
                  const std::function<void(std::int64_t, int)>& body) {
  threads = static_cast<int>(std::clamp<std::int64_t>(count, 1, std::max(1, threads)));
  if (threads == 1) {
    for (std::int64_t i = 0; i < count; ++i) body(i, 0);
    return;
  }
  std::exception_ptr first;
  std::mutex guard;
#pragma omp parallel num_threads(threads)
  {
    // The team may be smaller than asked for (nested regions, thread limits).
    const int team = omp_get_num_threads();
    const int thread = omp_get_thread_num();
    try {
      for (std::int64_t i = count * thread / team; i < count * (thread + 1) / team; ++i) body(i, thread);
    } catch (...) {
      const std::lock_guard lock(guard);
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
}

void parallel_tasks(std::int64_t count, int threads,
                    const std::function<void(std::int64_t, int)>& body) {
  threads = static_cast<int>(std::clamp<std::int64_t>(count, 1, std::max(1, threads)));
  std::atomic<std::int64_t> next{0};
  parallel_for(threads, threads, [&](std::int64_t, int thread) {
    for (std::int64_t i = next++; i < count; i = next++) body(i, thread);
  });
}

}  // namespace wins

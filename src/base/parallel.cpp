#include "wins/base/parallel.hpp"

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define WINS_UNINSTRUMENTED __attribute__((no_sanitize("thread")))
#else
#define WINS_UNINSTRUMENTED
#endif

namespace wins {
namespace {

/// libgomp's own barriers are not instrumented. These tell the thread sanitizer what they order, and nothing more:
/// what the caller did is before every body, and every body before what the caller does next.
#ifdef __SANITIZE_THREAD__
void happens_before(char* edge) { __tsan_release(edge); }
void happens_after(char* edge) { __tsan_acquire(edge); }
#else
void happens_before(char*) {}
void happens_after(char*) {}
#endif

/// Calls `share(thread, team)` on each thread of a team. Uninstrumented, since the threads read what OpenMP
/// passes them before they can say that the fork came first.
template <class Share>
WINS_UNINSTRUMENTED void run_team(int threads, const Share& share) {
  [[maybe_unused]] char fork = 0, join = 0;
  happens_before(&fork);
#pragma omp parallel num_threads(threads)
  {
    happens_after(&fork);
    // The team may be smaller than asked for (nested regions, thread limits).
    share(omp_get_thread_num(), omp_get_num_threads());
    happens_before(&join);
  }
  happens_after(&join);
}

}  // namespace

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
  run_team(threads, [&](int thread, int team) {
    try {
      for (std::int64_t i = count * thread / team; i < count * (thread + 1) / team; ++i) body(i, thread);
    } catch (...) {
      const std::lock_guard lock(guard);
      if (!first) first = std::current_exception();
    }
  });
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

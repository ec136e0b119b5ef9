// Fork-join over a range, on the OpenMP team that oneDNN also uses (one pool, no oversubscription).
#pragma once

#include <cstdint>
#include <functional>

namespace wins {

/// Threads to use when the user gave none: the cores this process may run on.
int default_threads();

/// Calls `body(index, thread)` for every index in [0, count), contiguous ranges per thread
/// (deterministic split: thread t gets the same indices in every run with the same `threads`).
/// The first exception thrown by a body is rethrown on the caller after all threads end.
void parallel_for(std::int64_t count, int threads,
                  const std::function<void(std::int64_t index, int thread)>& body);

/// The same for uneven work: each index goes to the next free thread, so `body` must give the same
/// result on any thread and in any order.
void parallel_tasks(std::int64_t count, int threads,
                    const std::function<void(std::int64_t index, int thread)>& body);

}  // namespace wins

// What an Executable does unless its backend says otherwise.
#include "wins/base/error.hpp"
#include "wins/runtime/backend.hpp"

namespace wins::runtime {

void Executable::enqueue(const std::vector<const void*>&, const std::vector<void*>&, void*) {
  fail("this backend runs on the host: it has no device memory to run in");
}

}  // namespace wins::runtime

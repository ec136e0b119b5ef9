// Stands in for the CUDA backend in builds without it.
#include "wins/runtime/backend.hpp"

namespace wins::runtime {

std::unique_ptr<Backend> make_cuda_backend() { return nullptr; }

}  // namespace wins::runtime

// Where libtorch computes.
#pragma once

#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <string>

namespace wins::training {

/// "cpu" or "cuda". The program is linked against libtorch's CPU libraries alone; "cuda" opens
/// libtorch_cuda.so beside them (or from the loader's path). Throws `Error` saying what is missing.
at::Device open_device(const std::string& name);

/// Sets libtorch's threads; 0 = default_threads(). Returns the number.
int use_threads(int threads);

/// One line from a libtorch error.
std::string libtorch_message(const c10::Error& error);

}  // namespace wins::training

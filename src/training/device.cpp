#include "device.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <filesystem>

#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"

namespace wins::training {
namespace {

/// Loads libtorch_cuda.so, whose initialisers register the CUDA kernels. Once.
void open_cuda_library() {
  static const std::string failure = [] {
    Dl_info info{};
    std::filesystem::path beside;
    if (dladdr(reinterpret_cast<void*>(&at::get_num_threads), &info) != 0 && info.dli_fname != nullptr) {
      beside = std::filesystem::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
    }
    if (!beside.empty() && dlopen(beside.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return std::string();
    if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr) return std::string();
    const char* reason = dlerror();
    return std::string(reason != nullptr ? reason : "unknown reason");
  }();
  require(failure.empty(), "--device cuda: libtorch's CUDA library does not load: {}", failure);
}

}  // namespace

at::Device open_device(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  require(name == "cuda", "--device {}: cpu or cuda was expected", name);
  open_cuda_library();
  bool present = false;
  try {
    present = at::globalContext().hasCUDA();
    if (present) at::globalContext().lazyInitDevice(at::kCUDA);
  } catch (const c10::Error& error) {
    fail("--device cuda: {}", libtorch_message(error));
  }
  require(present, "--device cuda: libtorch finds no usable CUDA device");
  // float32 means float32: no silent TF32.
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
  return {at::kCUDA, 0};
}

int use_threads(int threads) {
  const int count = threads > 0 ? threads : default_threads();
  at::set_num_threads(count);
  return count;
}

std::string libtorch_message(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  return text.substr(0, text.find('\n'));
}

}  // namespace wins::training

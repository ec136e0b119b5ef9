#include "device.hpp"

#include "build_check.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

std::string device_name() {
  int index = 0;
  cudaDeviceProp properties{};
  if (cudaGetDevice(&index) != cudaSuccess || cudaGetDeviceProperties(&properties, index) != cudaSuccess) return "CUDA";
  return properties.name;
}

const char* lost_text(cudaError_t status) {
  return loses_context(status) ? "; this process cannot use the GPU any more: start it again" : "";
}

Device read_device() {
  int index = 0;
  check(cudaGetDevice(&index), "the current device");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "the device's properties");
  Device result;
  result.name = properties.name;
  result.major = properties.major;
  result.minor = properties.minor;
  result.processors = properties.multiProcessorCount;
  result.shared_bytes = static_cast<int>(properties.sharedMemPerBlockOptin);
  result.cache_bytes = properties.l2CacheSize;
  int memory_khz = 0, core_khz = 0;
  cudaDeviceGetAttribute(&memory_khz, cudaDevAttrMemoryClockRate, index);
  cudaDeviceGetAttribute(&core_khz, cudaDevAttrClockRate, index);
  // Two transfers a clock; 512 multiply-adds a clock and multiprocessor at least (Ampere), twice that on Hopper.
  result.bandwidth = 2.0 * memory_khz * 1e3 * (properties.memoryBusWidth / 8.0) * 1e-6;
  result.tensor_macs = core_khz * 1e-3 * result.processors * (properties.major >= 9 ? 2048 : 1024);
  return result;
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // what can be cleared is
  fail("{}: {}: {}{}", device_name(), what, cudaGetErrorString(status), lost_text(status));
}

void check(cudnnStatus_t status, const char* what) {
  require(status == CUDNN_STATUS_SUCCESS, "{}: {}: cuDNN says {}", device_name(), what, cudnnGetErrorString(status));
}

void check(cublasStatus_t status, const char* what) {
  require(status == CUBLAS_STATUS_SUCCESS, "{}: {}: cuBLAS says {}", device_name(), what, cublasLtGetStatusString(status));
}

const Device& device() {
  static const Device result = read_device();
  return result;
}

std::string driver_reason(cudaError_t status, int driver, int runtime) {
  if (status != cudaErrorInsufficientDriver) return cudaGetErrorString(status);
  if (driver == 0) return "there is no NVIDIA driver";
  return fmt::format("the NVIDIA driver is too old: it has CUDA {}.{}, this build needs {}.{}", driver / 1000, driver % 1000 / 10,
                     runtime / 1000, runtime % 1000 / 10);
}

std::string capability_reason(const std::string& name, int major, int minor) {
  if (major >= 8) return {};
  return fmt::format("{} has compute capability {}.{}, 8.0 is needed", name, major, minor);
}

bool loses_context(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable: return true;
    default: return false;
  }
}

std::string why_unusable() {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    cudaGetLastError();
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    return driver_reason(status, driver, runtime);
  }
  if (count == 0) return "there is no NVIDIA GPU";
  // Makes the context: that fails where another process has the GPU for itself, and after a fault in this one.
  if (const cudaError_t status = cudaFree(nullptr); status != cudaSuccess) {
    cudaGetLastError();
    return fmt::format("{}: {}{}", device_name(), cudaGetErrorString(status), lost_text(status));
  }
  if (std::string reason = capability_reason(device().name, device().major, device().minor); !reason.empty()) return reason;
  if (const cudaError_t status = find_device_code(); status != cudaSuccess) {
    cudaGetLastError();
    return fmt::format("this build has no code for {} (compute capability {}.{}): {}", device().name, device().major, device().minor,
                       cudaGetErrorString(status));
  }
  return {};
}

std::size_t device_memory() {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "the device's memory");
  return total;
}

DeviceBuffer::DeviceBuffer(std::size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  void* pointer = nullptr;
  const cudaError_t status = cudaMalloc(&pointer, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    std::size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    fail("{}: out of memory: {:.1f} MB cannot be had, {:.1f} of {:.1f} MB are free", device_name(), static_cast<double>(bytes) * 1e-6,
         static_cast<double>(free) * 1e-6, static_cast<double>(total) * 1e-6);
  }
  check(status, "memory");
  data_.reset(pointer);
}

DeviceBuffer::DeviceBuffer(const void* from, std::size_t bytes) : DeviceBuffer(bytes) {
  if (bytes == 0) return;
  check(cudaMemcpy(data(), from, bytes, cudaMemcpyHostToDevice), "copy to the device");
  // The copy may still be on its way, and our streams do not wait for the default one.
  check(cudaStreamSynchronize(nullptr), "copy to the device");
}

void DeviceBuffer::Free::operator()(void* pointer) const { cudaFree(pointer); }

Stream::Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream"); }
Stream::~Stream() { cudaStreamDestroy(stream_); }

Libraries::Libraries() {
  check(cudnnCreate(&dnn_), "cuDNN");
  check(cublasLtCreate(&blas_), "cuBLAS");
}
Libraries::~Libraries() {
  if (blas_ != nullptr) cublasLtDestroy(blas_);
  if (dnn_ != nullptr) cudnnDestroy(dnn_);
}

}  // namespace wins::runtime::cuda

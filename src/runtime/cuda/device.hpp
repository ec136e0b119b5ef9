// The GPU: errors, memory, streams and the libraries' handles.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <cstddef>
#include <memory>
#include <string>

namespace wins::runtime::cuda {

/// Throws `Error` naming the device and what was tried, and whether the process can go on with it.
void check(cudaError_t status, const char* what);
void check(cudnnStatus_t status, const char* what);
void check(cublasStatus_t status, const char* what);

/// Facts of the current device that kernels choose by.
struct Device {
  std::string name;
  int major = 0, minor = 0;
  int processors = 0;        ///< multiprocessors
  int shared_bytes = 0;      ///< of one block, at most
  int cache_bytes = 0;       ///< second-level cache
  double bandwidth = 0;      ///< bytes per microsecond, of the datasheet
  double tensor_macs = 0;    ///< multiply-adds per microsecond of fp16 tensor cores, about
};
/// Of the current device, read once. Throws `Error` when there is none.
const Device& device();

/// Why no network can run here; empty when it can.
std::string why_unusable();
/// Bytes, of the current device.
std::size_t device_memory();

// Its parts, which need no GPU.

/// Why CUDA finds no device; versions as CUDA counts them (13000), `driver` 0 for none.
std::string driver_reason(cudaError_t status, int driver, int runtime);
/// Why a device of this compute capability will not do; empty when it will.
std::string capability_reason(const std::string& name, int major, int minor);
/// Whether an error leaves the process without its GPU.
bool loses_context(cudaError_t status);

/// Owned device memory, 256-byte aligned.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  /// Uninitialised. Throws `Error` with the bytes asked for when there is not enough.
  explicit DeviceBuffer(std::size_t bytes);
  /// A copy of host memory.
  DeviceBuffer(const void* from, std::size_t bytes);
  void* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(void* pointer) const;
  };
  std::unique_ptr<void, Free> data_;
  std::size_t size_ = 0;
};

/// A non-blocking stream.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// Handles of one executable: they are not shared between threads.
class Libraries {
 public:
  Libraries();
  ~Libraries();
  Libraries(const Libraries&) = delete;
  Libraries& operator=(const Libraries&) = delete;
  cudnnHandle_t dnn() const { return dnn_; }
  cublasLtHandle_t blas() const { return blas_; }

 private:
  cudnnHandle_t dnn_ = nullptr;
  cublasLtHandle_t blas_ = nullptr;
};

}  // namespace wins::runtime::cuda

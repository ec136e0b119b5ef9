// TensorProto <-> Tensor, with every length checked before anything is allocated.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "proto.hpp"
#include "wins/base/tensor.hpp"

namespace wins::onnx {

/// The graph's element type for an ONNX one: float16, bfloat16 and double become float32.
/// Nothing when the graph has no such type.
std::optional<DType> graph_dtype(int onnx_type);
/// ONNX's element type for the graph's.
int onnx_dtype(DType type);
/// "float16", "string", ... for messages.
std::string onnx_type_name(int onnx_type);

/// Elements of an inline tensor. Throws `Error` (without the tensor's name: the caller adds it)
/// for an unsupported type, data that does not match the extents, or NaN.
Tensor read_tensor(const pb::TensorProto& proto);
pb::TensorProto write_tensor(const std::string& name, const Tensor& tensor);
/// Same without the data: name, type and extents.
pb::TensorProto write_tensor_head(const std::string& name, const Tensor& tensor);

/// Reads external weights. All files must lie inside the model's folder, links followed.
class ExternalData {
 public:
  /// `folder`: where the model lies. `budget`: bytes that all tensors together may take.
  ExternalData(std::filesystem::path folder, std::uintmax_t budget);
  /// Moves the data of `proto` from its file into `raw_data`. Throws `Error` (without the
  /// tensor's name) for a path outside the folder, a missing file, or a wrong offset or length.
  void inline_tensor(pb::TensorProto& proto);

 private:
  std::filesystem::path resolve(const std::string& location) const;

  std::filesystem::path folder_;
  std::uintmax_t budget_;
};

}  // namespace wins::onnx

// A model on its way to a file: messages without weights, and the weights, which are never copied.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "proto.hpp"
#include "wins/base/tensor.hpp"

namespace wins::onnx {

/// Most bytes that a protobuf message may have.
inline constexpr std::uint64_t kMaxMessage = 0x7FFF'FFFF;

/// Takes bytes in their order in the file.
using Sink = std::function<void(std::string_view)>;

struct ModelFile {
  pb::ModelProto model;         ///< its initialisers have no data
  std::vector<Tensor> weights;  ///< that data, initialiser by initialiser

  void add_initialiser(const std::string& name, const Tensor& tensor);

  /// Bytes that `serialize` gives.
  std::uint64_t size() const;
  /// The bytes of the message with the weights in their places. Throws `Error` when they are more
  /// than protobuf allows.
  void serialize(const Sink& sink) const;

  /// From here on the weights lie in another file, `location` in the model's folder; small ones
  /// stay. What that file holds goes to `sink`.
  void move_weights_out(const std::string& location, const Sink& sink);
};

}  // namespace wins::onnx

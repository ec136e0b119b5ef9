#include "model_file.hpp"

#include "tensor_io.hpp"
#include "wins/base/error.hpp"

namespace wins::onnx {
namespace {

/// Weights below this many bytes stay in the model: shapes and axes, which readers want at hand.
constexpr std::size_t kSmall = 1024;
/// Where weights start in the other file: at pages, so that it can be mapped.
constexpr std::uint64_t kPage = 4096;

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value > 127; value >>= 7) bytes += static_cast<char>((value & 127) | 128);
  bytes += static_cast<char>(value);
  return bytes;
}

/// What stands in front of `length` bytes of a message or bytes field.
std::string field(int number, std::uint64_t length) {
  constexpr int kLengthDelimited = 2;
  return varint(static_cast<std::uint64_t>(number << 3 | kLengthDelimited)) + varint(length);
}

bool is_outside(const pb::TensorProto& proto) { return proto.data_location() == pb::TensorProto::EXTERNAL; }

std::string_view bytes_of(const Tensor& tensor) {
  return {reinterpret_cast<const char*>(tensor.bytes()), tensor.byte_size()};
}

/// The message as protobuf would write it, in pieces between which the weights belong: protobuf itself
/// would need them inside its messages, and again in the serialised string.
struct Pieces {
  std::string model;                      ///< all but the graph, then the graph without initialisers
  std::vector<std::string> initialisers;  ///< each up to its data
  std::uint64_t size = 0;                 ///< of all, weights included
};

Pieces cut(const pb::ModelProto& model, const std::vector<Tensor>& weights) {
  Pieces pieces;
  pb::GraphProto graph;
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const pb::TensorProto& head = model.graph().initializer(static_cast<int>(i));
    const std::uint64_t data = is_outside(head) ? 0 : weights[i].byte_size();
    std::string text = head.SerializeAsString();
    if (!is_outside(head)) text += field(pb::TensorProto::kRawDataFieldNumber, data);
    pieces.initialisers.push_back(field(pb::GraphProto::kInitializerFieldNumber, text.size() + data) + text);
    length += pieces.initialisers.back().size() + data;
  }
  graph = model.graph();
  graph.clear_initializer();
  const std::string rest = graph.SerializeAsString();
  length += rest.size();
  pb::ModelProto around = model;
  around.clear_graph();
  pieces.model = around.SerializeAsString() + field(pb::ModelProto::kGraphFieldNumber, length) + rest;
  pieces.size = pieces.model.size() + length - rest.size();
  return pieces;
}

void set_external(pb::TensorProto& proto, const std::string& key, const std::string& value) {
  auto& entry = *proto.add_external_data();
  entry.set_key(key);
  entry.set_value(value);
}

}  // namespace

void ModelFile::add_initialiser(const std::string& name, const Tensor& tensor) {
  *model.mutable_graph()->add_initializer() = write_tensor_head(name, tensor);
  weights.push_back(tensor);
}

std::uint64_t ModelFile::size() const { return cut(model, weights).size; }

void ModelFile::serialize(const Sink& sink) const {
  const Pieces pieces = cut(model, weights);
  require(pieces.size <= kMaxMessage, "{} bytes are more than the 2 GB that one ONNX message holds", pieces.size);
  sink(pieces.model);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    sink(pieces.initialisers[i]);
    if (!is_outside(model.graph().initializer(static_cast<int>(i)))) sink(bytes_of(weights[i]));
  }
}

void ModelFile::move_weights_out(const std::string& location, const Sink& sink) {
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i].byte_size() < kSmall) continue;
    const std::uint64_t gap = (kPage - offset % kPage) % kPage;
    sink(std::string(gap, '\0'));
    sink(bytes_of(weights[i]));
    auto& proto = *model.mutable_graph()->mutable_initializer(static_cast<int>(i));
    proto.set_data_location(pb::TensorProto::EXTERNAL);
    set_external(proto, "location", location);
    set_external(proto, "offset", std::to_string(offset + gap));
    set_external(proto, "length", std::to_string(weights[i].byte_size()));
    offset += gap + weights[i].byte_size();
  }
}

}  // namespace wins::onnx

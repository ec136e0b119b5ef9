// From a checked model to a graph.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "import.hpp"
#include "node_reader.hpp"
#include "operators.hpp"
#include "tensor_io.hpp"
#include "wins/base/error.hpp"

namespace wins::onnx {
namespace {

/// Pruned layers may unpack to this many elements, or to this many times what the file holds.
constexpr std::int64_t kDenseElements = std::int64_t{1} << 24;
constexpr std::int64_t kDenseFactor = 64;

constexpr std::size_t kListedProblems = 20;

/// Everything unsupported, gathered so that one message can tell it all.
class Problems {
 public:
  void add(std::string text) {
    if (list_.size() < kListedProblems) list_.push_back(std::move(text));
    ++count_;
  }
  void fail_if_any() const {
    if (count_ == 0) return;
    if (count_ == 1) fail("cannot import {}", list_[0]);
    std::string text = fmt::format("{} things cannot be imported: {}", count_, fmt::join(list_, "; "));
    if (count_ > list_.size()) text += fmt::format("; and {} more", count_ - list_.size());
    throw Error(text);
  }

 private:
  std::vector<std::string> list_;
  std::size_t count_ = 0;
};

class Importer {
 public:
  explicit Importer(pb::ModelProto& model) : model_(model), graph_(*model.mutable_graph()) {}

  graph::Graph run() {
    for (const auto& import : model_.opset_import()) {
      if (import.domain().empty() || import.domain() == "ai.onnx") opset_ = static_cast<int>(import.version());
    }
    collect_uses();
    read_initialisers();
    for (const auto& input : graph_.input()) attempt("input '" + input.name() + "'", [&] { read_input(input); });
    for (const auto& node : graph_.node()) read_node(node);
    for (const auto& output : graph_.output()) {
      attempt("output '" + output.name() + "'",
              [&] { builder_.graph.outputs.push_back(builder_.find(output.name())); });
    }
    problems_.fail_if_any();
    require(!builder_.graph.outputs.empty(), "the graph has no outputs");
    builder_.graph.name = graph_.name();
    for (const auto& entry : model_.metadata_props()) builder_.graph.metadata[entry.key()] = entry.value();
    return std::move(builder_.graph);
  }

 private:
  template <class F>
  void attempt(const std::string& what, F&& action) {
    try {
      action();
    } catch (const Error& error) {
      problems_.add(fmt::format("{}: {}", what, error.what()));
    }
  }

  void collect_uses() {
    for (const auto& node : graph_.node()) {
      used_.insert(node.input().begin(), node.input().end());
      for (const auto& output : node.output()) builder_.reserve(output);
    }
    for (const auto& output : graph_.output()) {
      used_.insert(output.name());
      builder_.mark_output(output.name());
    }
  }

  void read_initialisers() {
    std::int64_t bytes = 0;
    for (auto& proto : *graph_.mutable_initializer()) {
      attempt("initialiser '" + proto.name() + "'", [&] {
        Tensor tensor = read_tensor(proto);
        bytes += static_cast<std::int64_t>(tensor.byte_size());
        builder_.add_constant(proto.name(), std::move(tensor));
      });
      proto = pb::TensorProto();  // unlike Clear(), gives the memory back
    }
    for (const auto& sparse : graph_.sparse_initializer()) {
      problems_.add("initialiser '" + sparse.values().name() + "': sparse tensors are not supported");
    }
    builder_.set_dense_budget(std::max(kDenseElements, kDenseFactor * bytes));
  }

  void read_input(const pb::ValueInfoProto& input) {
    if (builder_.has(input.name())) return;  // older files list initialisers here too
    require(input.type().has_tensor_type(), "only tensors are supported");
    const auto& type = input.type().tensor_type();
    const auto dtype = graph_dtype(type.elem_type());
    require(dtype.has_value(), "element type {} is not supported", onnx_type_name(type.elem_type()));
    std::optional<wins::Shape> shape;
    if (type.has_shape()) {
      shape.emplace();
      for (const auto& dim : type.shape().dim()) {
        require(!dim.has_dim_value() || dim.dim_value() >= 1, "extent {} is not positive", dim.dim_value());
        shape->push_back(dim.has_dim_value() ? dim.dim_value() : -1);
      }
    }
    builder_.graph.inputs.push_back(builder_.add(input.name(), *dtype, shape));
  }

  void read_node(const pb::NodeProto& proto) {
    const std::string shown = proto.name().empty() ? (proto.output_size() > 0 ? proto.output(0) : "") : proto.name();
    const std::string domain = proto.domain().empty() ? "" : proto.domain() + ".";
    attempt(fmt::format("node '{}' ({}{})", shown, domain, proto.op_type()), [&] {
      const Operator* op = find_operator(proto.domain(), proto.op_type());
      require(op != nullptr, "operator not supported");
      NodeReader reader(proto, opset_, used_, builder_);
      require(reader.output_count() >= 1 && !reader.output_name(0).empty(), "it has no output");
      op->read(reader);
    });
    // Whatever was refused must not let later nodes fail for want of an input.
    for (const auto& output : proto.output()) {
      if (!output.empty() && !builder_.has(output)) builder_.add(output, DType::f32);
    }
  }

  pb::ModelProto& model_;
  pb::GraphProto& graph_;
  GraphBuilder builder_;
  Problems problems_;
  std::unordered_set<std::string> used_;
  int opset_ = 0;
};

}  // namespace

graph::Graph build_graph(pb::ModelProto& model) { return Importer(model).run(); }

}  // namespace wins::onnx

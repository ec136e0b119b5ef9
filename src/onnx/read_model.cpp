// From bytes to a checked model in one domain and one opset.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <onnx/checker.h>
#include <onnx/inliner/inliner.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "import.hpp"
#include "tensor_io.hpp"
#include "wins/base/error.hpp"

namespace wins::onnx {
namespace {

/// Nodes that a file may have, local functions expanded.
constexpr std::int64_t kMaxNodes = 200'000;

pb::ModelProto parse(std::string bytes) {
  require(!bytes.empty(), "the file is empty");
  require(bytes.size() < std::numeric_limits<std::int32_t>::max(),
          "larger than 2 GB: such models keep their weights in external files");
  pb::ModelProto model;
  google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()));
  google::protobuf::io::CodedInputStream coded(&stream);
  coded.SetTotalBytesLimit(std::numeric_limits<std::int32_t>::max());
  const bool parsed = model.ParseFromCodedStream(&coded) && coded.ConsumedEntireMessage();
  require(parsed, "not an ONNX model (truncated, or not ONNX at all)");
  require(model.has_graph() && model.ir_version() > 0, "not an ONNX model (no graph)");
  return model;
}

bool is_standard(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

void require_opset(const pb::ModelProto& model) {
  std::int64_t version = 0;
  for (const auto& import : model.opset_import()) {
    if (is_standard(import.domain())) version = std::max(version, import.version());
    require(import.domain() != kWinsDomain || import.version() == kWinsVersion,
            "version {} of the operators of domain wins is not known (only {})", import.version(), kWinsVersion);
  }
  require(version != 0, "does not say which opset it uses");
  require(version >= kMinOpset && version <= kMaxOpset, "opset {} is not supported ({} to {} are)", version,
          kMinOpset, kMaxOpset);
}

void inline_external(pb::TensorProto& tensor, const std::string& what, ExternalData& external) {
  if (tensor.data_location() != pb::TensorProto::EXTERNAL) return;
  try {
    external.inline_tensor(tensor);
  } catch (const Error& error) {
    fail("{} '{}': {}", what, tensor.name(), error.what());
  }
}

void inline_external_data(pb::ModelProto& model, const std::filesystem::path& folder, std::uintmax_t budget) {
  ExternalData external(folder, budget);
  for (auto& tensor : *model.mutable_graph()->mutable_initializer()) {
    inline_external(tensor, "initialiser", external);
  }
  for (auto& node : *model.mutable_graph()->mutable_node()) {
    for (auto& attribute : *node.mutable_attribute()) {
      if (attribute.has_t()) inline_external(*attribute.mutable_t(), "constant of node " + node.name(), external);
    }
  }
}

/// ONNX's checker prints a warning for these on standard output, which belongs to our callers.
template <class Nodes>
void refuse_experimental(const Nodes& nodes) {
  for (const auto& node : nodes) {
    require(!pb::checker::check_is_experimental_op(node), "node '{}' ({}): operator not supported", node.name(),
            node.op_type());
  }
}

using FunctionKey = std::pair<std::string, std::string>;

/// Counts the nodes of the model with every local function expanded, without expanding them.
/// ONNX's checker has made sure before that functions do not call each other in a circle.
class ExpansionCounter {
 public:
  explicit ExpansionCounter(const pb::ModelProto& model) {
    for (const auto& function : model.functions()) functions_.emplace(key_of(function.domain(), function.name()), &function);
  }

  template <class Nodes>
  std::int64_t count(const Nodes& nodes, int depth = 0) {
    require(depth < 64, "local functions are nested more than 64 deep");
    std::int64_t total = 0;
    for (const auto& node : nodes) {
      total += count_call(node, depth);
      require(total <= kMaxNodes, "more than {} nodes after local functions are expanded", kMaxNodes);
    }
    return total;
  }

 private:
  static FunctionKey key_of(const std::string& domain, const std::string& name) {
    return {is_standard(domain) ? "" : domain, name};
  }

  std::int64_t count_call(const pb::NodeProto& node, int depth) {
    const auto range = functions_.equal_range(key_of(node.domain(), node.op_type()));
    if (range.first == range.second) return 1;
    const auto [known, inserted] = counted_.emplace(range.first->first, 0);
    if (!inserted) return known->second;
    std::int64_t largest = 1;
    for (auto i = range.first; i != range.second; ++i) {
      largest = std::max(largest, count(i->second->node(), depth + 1));
    }
    return counted_[range.first->first] = largest;
  }

  std::multimap<FunctionKey, const pb::FunctionProto*> functions_;
  std::map<FunctionKey, std::int64_t> counted_;
};

void inline_functions(pb::ModelProto& model) {
  ExpansionCounter(model).count(model.graph().node());
  if (model.functions().empty()) return;
  pb::inliner::FunctionIdVector native{{kWinsDomain, kWinogradConv}};
  const auto others = pb::inliner::FunctionIdSet::Create(std::move(native), true);
  pb::inliner::InlineSelectedLocalFunctions(model, *others);
}

}  // namespace

pb::ModelProto read_model(std::string bytes, const std::filesystem::path& folder, const ImportOptions& options) {
  require(bytes.size() <= options.max_bytes, "larger than the limit of {} bytes", options.max_bytes);
  const std::uintmax_t rest = options.max_bytes - bytes.size();
  pb::ModelProto model = parse(std::move(bytes));
  require_opset(model);
  require(model.graph().node_size() <= kMaxNodes, "more than {} nodes", kMaxNodes);
  inline_external_data(model, folder, rest);
  refuse_experimental(model.graph().node());
  for (const auto& function : model.functions()) refuse_experimental(function.node());
  pb::checker::check_model(model);
  inline_functions(model);
  return model;
}

}  // namespace wins::onnx

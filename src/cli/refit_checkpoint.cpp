#include "refit_checkpoint.hpp"

#include <fmt/format.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "refit_flags.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/column_mask.hpp"
#include "wins/onnx/onnx.hpp"

namespace wins::cli {
namespace {

constexpr const char* kMetadata = "wins.refit";

/// FNV-1a over eight bytes at a time: tells jobs apart, guards against nothing else.
class Digest {
 public:
  void add(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < size; i += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes + i, std::min(sizeof(word), size - i));
      value_ = (value_ ^ word) * 0x100000001b3ULL;
    }
    value_ ^= size;
  }
  template <class T>
  void add(const T& value) {
    add(&value, sizeof(value));
  }
  void add(const Tensor& tensor) { add(tensor.bytes(), tensor.byte_size()); }
  void add(const graph::Graph& graph) {
    for (const graph::Node& node : graph.nodes) {
      add(node.name.data(), node.name.size());
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        if (node.inputs[i] != graph::kNone && graph.constant_input(node, i) != nullptr) add(*graph.constant_input(node, i));
      }
      if (const auto* conv = node.as<graph::WinogradConv>()) add(conv->mask.keep.data(), conv->mask.keep.size());
    }
    const auto columns = graph.metadata.find(graph::kColumnPruning);
    if (columns != graph.metadata.end()) add(columns->second.data(), columns->second.size());
  }
  std::string text() const { return fmt::format("{:016x}", value_); }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325ULL;
};

refit::LayerFit fit_from(const Json& row) {
  refit::LayerFit fit;
  fit.layer = row.at("layer");
  fit.refitted = row.at("refitted");
  fit.reason = row.at("reason");
  fit.error_before = row.at("error_before");
  fit.error_after = row.at("error_after");
  fit.iterations = row.at("iterations");
  fit.tiles = row.at("tiles");
  return fit;
}

}  // namespace

RefitCheckpoint::RefitCheckpoint(std::string path, const graph::Graph& pruned, const graph::Graph& dense,
                                 const std::vector<Tensor>& pictures, const refit::RefitOptions& options)
    : path_(std::move(path)) {
  if (path_.empty()) return;
  Digest digest;
  digest.add(pruned);
  digest.add(dense);
  for (const Tensor& batch : pictures) digest.add(batch);
  for (const double value : {options.ridge, options.tolerance, options.tiles_per_weight}) digest.add(value);
  for (const int value : {options.max_iterations, options.activation_rounds, options.correct_residual ? 1 : 0,
                          options.all_layers ? 1 : 0, options.recalibrate ? 1 : 0})
    digest.add(value);
  digest.add(options.seed);
  digest.add(options.memory_limit);
  key_ = digest.text();
  std::error_code error;
  if (!std::filesystem::exists(path_, error)) return;
  refit::RefitResult known;
  known.graph = onnx::load(path_);
  const auto found = known.graph.metadata.find(kMetadata);
  require(found != known.graph.metadata.end(), "--refit-checkpoint {}: no state of a refit", path_);
  try {
    const Json state = Json::parse(found->second);
    require(state.at("job") == key_, "--refit-checkpoint {}: of another job (delete it, or name another file)", path_);
    for (const Json& row : state.at("layers")) known.layers.push_back(fit_from(row));
  } catch (const Json::exception& bad) {
    fail("--refit-checkpoint {}: {}", path_, bad.what());
  }
  known_ = std::move(known);
}

void RefitCheckpoint::attach(refit::RefitOptions& options) const {
  if (path_.empty()) return;
  if (known_) options.resume = &*known_;
  options.checkpoint = [this](const refit::RefitResult& result) {
    graph::Graph graph = result.graph;
    graph.metadata[kMetadata] = Json{{"job", key_}, {"layers", to_json(result.layers)}}.dump();
    onnx::save(graph, path_);
  };
}

void RefitCheckpoint::remove() const {
  std::error_code error;
  if (!path_.empty()) std::filesystem::remove(path_, error);
}

}  // namespace wins::cli

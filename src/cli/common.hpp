// What every verb shares: common flags, the JSON record of a run, model and data flags.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "wins/data/loader.hpp"
#include "wins/graph/graph.hpp"
#include "wins/runtime/session.hpp"

namespace wins::cli {

using Json = nlohmann::ordered_json;

/// Flags that every verb takes.
struct Common {
  std::string json;  ///< file for the machine-readable record; empty = none
  std::uint64_t seed = 0;
  bool quiet = false;
  int threads = 0;
  runtime::WeightStorage weight_storage = runtime::WeightStorage::f32;
  runtime::Precision precision = runtime::Precision::fp32;
  bool tune = false;
  std::string tune_cache;  ///< empty: the default file
};
void add_common(CLI::App& app, Common& common);
/// `--weight-storage`, for verbs that run a network through a backend.
void add_weight_storage(CLI::App& app, Common& common);
/// `--precision`, for the same verbs.
void add_precision(CLI::App& app, Common& common);
/// `--tune` and `--tune-cache`, for the same verbs.
void add_tuning(CLI::App& app, Common& common);

/// A progress bar over layers, made at the first call: (layers done, layers, name of the next).
std::function<void(std::size_t, std::size_t, const std::string&)> layer_progress(const std::string& label);

/// {"command", "version", "date", "host": {...}, "seed"}: the head of every record.
Json run_header(const Common& common);
/// Writes the record atomically when `--json` was given.
void write_json(const Common& common, const Json& record);

/// The command line as typed, set once by main.
void remember_command(int argc, char** argv);
const std::string& command_line();

/// Processor, cores, operating system and memory of this machine.
Json describe_host();

/// Where labelled pictures come from, and how a picture becomes input.
struct DataFlags {
  std::string path;
  std::string split;
  std::int64_t limit = 0;  ///< first pictures of a deterministic shuffle; 0 = all
  std::vector<float> mean, deviation;
  std::int64_t resize = -1;
  std::vector<std::int64_t> input_size;  ///< height, width for models with dynamic extents
};
void add_preprocess_flags(CLI::App& app, DataFlags& flags);
void add_data_flags(CLI::App& app, DataFlags& flags, const std::string& default_split, bool required);

/// The data set of the flags; `limit` applied. Throws `Error` naming the path.
class OpenedData {
 public:
  OpenedData(const DataFlags& flags, std::uint64_t seed);
  const data::Dataset& get() const { return subset_ ? *subset_ : *base_; }

 private:
  std::unique_ptr<data::Dataset> base_;
  std::unique_ptr<data::Dataset> subset_;
};

/// Preprocessing of a model: its metadata, else its input shape, overridden by flags.
/// Throws `Error` naming the flag that is missing.
data::Preprocess preprocess_for(const graph::Graph& graph, const std::string& model_name, const DataFlags& flags);

/// Copies the `wins.*` input keys of `preprocess` into the graph's metadata.
void store_preprocess(graph::Graph& graph, const data::Preprocess& preprocess);

/// "1,8,64" to numbers; throws `UsageError` naming `flag`.
std::vector<std::int64_t> parse_list(const std::string& text, const std::string& flag);
/// "3x224x224" to numbers; throws `UsageError` naming `flag`.
std::vector<std::int64_t> parse_extents(const std::string& text, const std::string& flag, std::size_t count);

runtime::SessionOptions session_options(const Common& common, const std::string& backend);

}  // namespace wins::cli

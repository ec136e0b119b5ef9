#include "common.hpp"

#include <fmt/chrono.h>
#include <fmt/core.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <numeric>
#include <random>

#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/base/parallel.hpp"
#include "wins/base/processor.hpp"
#include "wins/base/progress.hpp"
#include "wins/version.hpp"

namespace wins::cli {
namespace {

std::string g_command;

/// The instruction sets that decide which kernels run.
std::vector<std::string> instruction_sets() {
  std::vector<std::string> found;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) found.emplace_back("sse4.2");
  if (__builtin_cpu_supports("avx2")) found.emplace_back("avx2");
  if (__builtin_cpu_supports("avx512f")) found.emplace_back("avx512f");
#endif
  return found;
}

std::vector<std::int64_t> parse_numbers(const std::string& text, char separator, const std::string& flag) {
  std::vector<std::int64_t> numbers;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    std::int64_t number = 0;
    const auto [rest, error] = std::from_chars(text.data() + begin, text.data() + end, number);
    if (error != std::errc{} || rest != text.data() + end || number < 1) {
      throw UsageError(fmt::format("{}: expected positive numbers separated by '{}', got '{}'", flag, separator, text));
    }
    numbers.push_back(number);
    begin = end + 1;
  }
  return numbers;
}

}  // namespace

void add_common(CLI::App& app, Common& common) {
  app.add_option("--json", common.json, "write a machine-readable record of this run to FILE")->type_name("FILE");
  app.add_option("--seed", common.seed, "seed of everything random (default 0)");
  app.add_option("--threads", common.threads, "threads; default: the cores this process may use")
      ->check(CLI::Range(0, 1024));
  app.add_flag("--quiet", common.quiet, "no progress bars");
  app.parse_complete_callback([&common] {
    if (common.quiet) Progress::enable(false);
    if (!common.json.empty()) require_writable(common.json);
  });
}

void remember_command(int argc, char** argv) {
  g_command = "wins";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool plain = !word.empty() && word.find_first_of(" \t\n'\"$\\*?;&|<>()") == std::string::npos;
    g_command += plain ? " " + word : " '" + word + "'";
  }
}

const std::string& command_line() { return g_command; }

Json describe_host() {
  utsname system{};
  uname(&system);
  struct sysinfo memory {};
  sysinfo(&memory);
  Json host;
  host["cpu"] = processor_name();
  host["cores"] = default_threads();
  host["isa"] = instruction_sets();
  host["memory_gib"] = static_cast<double>(memory.totalram) * memory.mem_unit / (1ULL << 30);
  host["os"] = fmt::format("{} {}", system.sysname, system.release);
  return host;
}

std::function<void(std::size_t, std::size_t, const std::string&)> layer_progress(const std::string& label) {
  struct State {
    std::unique_ptr<Progress> bar;
    std::size_t shown = 0;
  };
  return [label, state = std::make_shared<State>()](std::size_t done, std::size_t layers, const std::string& name) {
    if (!state->bar) state->bar = std::make_unique<Progress>(label, static_cast<std::int64_t>(layers));
    state->bar->advance(static_cast<std::int64_t>(done - state->shown), name);
    state->shown = done;
  };
}

Json run_header(const Common& common) {
  Json header;
  header["command"] = command_line();
  header["version"] = kVersion;
  header["date"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  header["host"] = describe_host();
  header["seed"] = common.seed;
  return header;
}

void write_json(const Common& common, const Json& record) {
  if (common.json.empty()) return;
  // Layer names come from users' files and may not be UTF-8.
  write_file_atomically(common.json, record.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void add_preprocess_flags(CLI::App& app, DataFlags& flags) {
  app.add_option("--mean", flags.mean, "mean of each channel (values in [0,1]); default: stored in the model")
      ->delimiter(',');
  app.add_option("--std", flags.deviation, "deviation of each channel; default: stored in the model")->delimiter(',');
  app.add_option("--resize", flags.resize, "resize the shorter side to this before the centre crop; 0 = no crop");
  app.add_option("--input-size", flags.input_size, "HEIGHT,WIDTH for models with dynamic extents")
      ->delimiter(',')
      ->expected(2)
      ->check(CLI::Range(1, 65536));
}

void add_data_flags(CLI::App& app, DataFlags& flags, const std::string& default_split, bool required) {
  flags.split = default_split;
  auto* data = app.add_option("--data", flags.path, "IDX folder, image folder or tar archive")->type_name("PATH");
  if (required) data->required();
  app.add_option("--split", flags.split, "train or test (default " + default_split + ")");
  app.add_option("--limit", flags.limit, "use this many pictures, drawn with --seed; 0 = all")
      ->check(CLI::NonNegativeNumber);
  add_preprocess_flags(app, flags);
}

OpenedData::OpenedData(const DataFlags& flags, std::uint64_t seed)
    : base_(data::open_dataset(flags.path, flags.split)) {
  if (flags.limit <= 0 || static_cast<std::size_t>(flags.limit) >= base_->size()) return;
  std::vector<std::size_t> order(base_->size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
  order.resize(static_cast<std::size_t>(flags.limit));
  std::sort(order.begin(), order.end());
  subset_ = std::make_unique<data::Subset>(*base_, std::move(order));
}

data::Preprocess preprocess_for(const graph::Graph& graph, const std::string& model_name, const DataFlags& flags) {
  data::Preprocess preprocess = data::Preprocess::from_metadata(graph.metadata);
  require(!graph.inputs.empty(), "{}: the model has no input", model_name);
  const graph::Value& input = graph.value(graph.inputs.front());
  require(input.shape && input.shape->size() == 4, "{}: input '{}' is not a picture (N x C x H x W)", model_name,
          input.name);
  const Shape& shape = *input.shape;
  if (shape[1] > 0) preprocess.channels = shape[1];
  if (shape[2] > 0) preprocess.height = shape[2];
  if (shape[3] > 0) preprocess.width = shape[3];
  if (flags.input_size.size() == 2) {
    preprocess.height = flags.input_size[0];
    preprocess.width = flags.input_size[1];
  }
  require(preprocess.height > 0 && preprocess.width > 0,
          "{}: height and width are dynamic and not stored in the model: give --input-size H,W", model_name);
  if (!flags.mean.empty()) preprocess.mean = flags.mean;
  if (!flags.deviation.empty()) preprocess.deviation = flags.deviation;
  if (flags.resize >= 0) preprocess.resize = flags.resize;
  const auto channels = static_cast<std::size_t>(preprocess.channels);
  const auto fits = [&](const std::vector<float>& values) { return values.empty() || values.size() == channels; };
  require(fits(preprocess.mean) && fits(preprocess.deviation), "--mean and --std need {} values, one a channel",
          channels);
  const auto positive = [](float v) { return v > 0; };
  require(std::all_of(preprocess.deviation.begin(), preprocess.deviation.end(), positive),
          "--std: every value must be above 0");
  return preprocess;
}

void store_preprocess(graph::Graph& graph, const data::Preprocess& preprocess) {
  for (const auto& [key, value] : preprocess.to_metadata()) graph.metadata[key] = value;
}

std::vector<std::int64_t> parse_list(const std::string& text, const std::string& flag) {
  return parse_numbers(text, ',', flag);
}

std::vector<std::int64_t> parse_extents(const std::string& text, const std::string& flag, std::size_t count) {
  auto extents = parse_numbers(text, 'x', flag);
  if (extents.size() != count) {
    throw UsageError(fmt::format("{}: expected {} numbers joined by 'x', got '{}'", flag, count, text));
  }
  return extents;
}

void add_weight_storage(CLI::App& app, Common& common) {
  const auto set = [&common](const std::string& name) {
    common.weight_storage = name == "bf16" ? runtime::WeightStorage::bf16 : runtime::WeightStorage::f32;
  };
  app.add_option_function<std::string>(
         "--weight-storage", set, "f32 (default), or bf16: weights of fully connected, 1x1 and Winograd layers in half the memory, with 8 bits of precision")
      ->check(CLI::IsMember({"f32", "bf16"}));
}

void add_precision(CLI::App& app, Common& common) {
  const std::map<std::string, runtime::Precision> names{{"fp32", runtime::Precision::fp32},
                                                        {"tf32", runtime::Precision::tf32},
                                                        {"fp16", runtime::Precision::fp16},
                                                        {"bf16", runtime::Precision::bf16}};
  const auto set = [&common, names](const std::string& name) { common.precision = names.at(name); };
  app.add_option_function<std::string>("--precision", set, "fp32 (default); on --backend cuda also tf32, fp16 and bf16")
      ->check(CLI::IsMember(names));
}

void add_tuning(CLI::App& app, Common& common) {
  app.add_flag("--tune", common.tune, "choose kernels by timing them, for less than a second, and remember the times");
  app.add_option_function<std::string>(
         "--tune-cache",
         [&common](const std::string& file) {
           common.tune = true;
           common.tune_cache = file;
         },
         "file of measured times, with --tune; default: tuning.txt in ${XDG_CACHE_HOME:-~/.cache}/wins")
      ->type_name("FILE");
}

runtime::SessionOptions session_options(const Common& common, const std::string& backend) {
  runtime::SessionOptions options;
  options.weight_storage = common.weight_storage;
  options.precision = common.precision;
  options.backend = backend;
  options.threads = common.threads;
  options.tune = common.tune;
  options.tune_cache = common.tune_cache;
  return options;
}

}  // namespace wins::cli

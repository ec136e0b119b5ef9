#include "prune_flags.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "wins/base/error.hpp"
#include "wins/refit/row_scores.hpp"

namespace wins::cli {
namespace {

std::map<std::string, double> parse_layer_ratios(const std::vector<std::string>& items) {
  std::map<std::string, double> ratios;
  for (const std::string& item : items) {
    const auto equals = item.rfind('=');
    try {
      if (equals == std::string::npos) throw std::invalid_argument(item);
      std::size_t used = 0;
      const std::string number = item.substr(equals + 1);
      const double ratio = std::stod(number, &used);
      if (used != number.size() || !(ratio >= 0 && ratio < 1)) throw std::invalid_argument(item);
      ratios[item.substr(0, equals)] = ratio;
    } catch (const std::exception&) {
      throw UsageError(fmt::format("--layer: expected NAME=RATIO with a ratio in [0,1), got '{}'", item));
    }
  }
  return ratios;
}

/// [0, 1): CLI11's Range is closed on both sides.
const CLI::Validator kRatio(
    [](const std::string& text) -> std::string {
      double value = -1;
      if (CLI::detail::lexical_cast(text, value) && value >= 0 && value < 1) return {};
      return "ratio " + text + " is outside [0, 1)";
    },
    "RATIO");

/// Scores of gram and obs, from second moments in the network before this pruning, with tiles of `m`.
pruning::Calibration calibrate_rows(const graph::Graph& dense, int m, const Common& common, const PruneJob& job) {
  pruning::PruneConfig whole;
  whole.method = pruning::Method::dense;
  const std::vector<std::string> prunable = pruning::prunable_layers(dense, nullptr, job.config.strided);
  for (const std::string& name : job.config.exclude) {  // 1x1 convolutions are not for this
    if (std::find(prunable.begin(), prunable.end(), name) != prunable.end()) whole.exclude.push_back(name);
  }
  whole.m = m;
  whole.strided = job.config.strided;
  graph::Graph graph = dense;
  pruning::prune(graph, whole, {});

  const auto kind =
      job.config.criterion == pruning::Criterion::obs ? refit::RowScore::obs : refit::RowScore::gram;
  refit::RowScoreOptions options;
  options.threads = common.threads;
  options.seed = common.seed;
  options.memory_limit = job.memory_limit;
  options.progress = layer_progress("choice of rows");
  pruning::Calibration calibration;
  for (auto& [name, scores] : refit::row_scores(kind, graph, job.pictures, options)) {
    if (!scores.note.empty()) fmt::print(stderr, "wins: warning: {}: {}\n", name, scores.note);
    calibration[name] = {Tensor(), scores.rows, scores.filters};
  }
  return calibration;
}

/// What --bcbp asks for; ranges are checked here, so that each has one line that names its flag.
std::optional<pruning::ColumnPruning> columns_of(const PruneFlags& flags) {
  if (!flags.bcbp) {
    if (flags.bcbp_uneven || flags.bcbp_block != PruneFlags{}.bcbp_block)
      throw UsageError("--bcbp-block and --bcbp-uneven go with --bcbp RATIO");
    return std::nullopt;
  }
  require(*flags.bcbp >= 0 && *flags.bcbp < 1, "--bcbp: ratio {} is outside [0, 1)", *flags.bcbp);
  require(flags.bcbp_block >= 1 && flags.bcbp_block <= graph::kMaxBlock, "--bcbp-block: blocks of {} output channels, 1 or more were expected",
          flags.bcbp_block);
  return pruning::ColumnPruning{*flags.bcbp, flags.bcbp_block, !flags.bcbp_uneven};
}

/// Layers whose input energies the criterion takes.
std::vector<std::string> energy_layers(const graph::Graph& dense, const pruning::PruneConfig& config) {
  std::vector<std::string> layers;
  if (config.criterion == pruning::Criterion::output_aware) layers = pruning::prunable_layers(dense, nullptr, config.strided);
  if (config.columns && pruning::column_criterion(config.criterion) == pruning::Criterion::output_aware) {
    const std::vector<std::string> pointwise = pruning::column_layers(dense);
    layers.insert(layers.end(), pointwise.begin(), pointwise.end());
  }
  return layers;
}

/// Mean energies settle on fewer pictures than a refit needs.
constexpr std::int64_t kEnergyPictures = 512;

}  // namespace

void add_prune_flags(CLI::App& app, PruneFlags& flags) {
  app.add_option("--method", flags.method, "wins, wins-b, wins-ab, fp, wwp or dense")->capture_default_str();
  app.add_option("--criterion", flags.criterion, "l1, l2, output-aware, gram, obs; for fp also fpgm, whc; auto: l2 for wins-b, else output-aware")
      ->capture_default_str();
  CLI::Option* ratio = app.add_option("--ratio", flags.ratio, "share of the weights to prune in each layer");
  ratio->check(kRatio)->capture_default_str();
  app.add_option("--layer", flags.layer, "NAME=RATIO for one layer (repeat); 0 keeps it dense")->take_all();
  app.add_option("--exclude", flags.exclude, "layers left alone (repeat)")->take_all();
  app.add_option("--bcbp", flags.bcbp,
                 "also prune the 1x1 convolutions by BCBP: share of the columns to remove in each block of output channels")
      ->type_name("RATIO");
  app.add_option("--bcbp-block", flags.bcbp_block, "BCBP: output channels of a block (16: the CPU engine's; 64: the CUDA engine's)")->capture_default_str();
  app.add_flag("--bcbp-uneven", flags.bcbp_uneven, "BCBP: leave each block the ratio that the ranking over its layer gives it");
  app.add_option("--axis", flags.axis, "row or column of each position's matrix")
      ->check(CLI::IsMember({"row", "column"}))->capture_default_str();
  app.add_option("--m", flags.m, "output tile: 2, 4 or auto")->check(CLI::IsMember({"2", "4", "auto"}))->capture_default_str();
  app.add_flag("--strided", flags.strided, "also prune 3x3 convolutions of stride 2 (25 positions, output tile 2)");
  app.add_option("--min-layer", flags.min_layer, "smallest kept share of a layer")->check(CLI::Range(0.0, 1.0));
  app.add_option("--min-position", flags.min_position, "smallest kept share of a position")->check(CLI::Range(0.0, 1.0));
  app.add_option("--round", flags.round_to, "round kept rows of a position up to a multiple")->check(CLI::Range(1, 1024));
  app.add_option("--steps", flags.steps, "rounds of pruning with rising ratio")->check(CLI::Range(1, 100));
  app.add_option("--backend", flags.backend, "where WINS-AB measures time")->capture_default_str();
  app.add_option("--tradeoff", flags.tradeoff, "WINS-AB: accuracy (0.02 = 2 points) that the whole time is worth")
      ->check(CLI::Range(0.0, 1.0))->capture_default_str();
  app.add_option("--outlook-steps", flags.outlook_steps, "WINS-AB: iterations of a short adaptation by training for each outlook accuracy; 0: a refit")
      ->check(CLI::Range(0, 1000000))->capture_default_str();
  app.add_option("--timing-batch", flags.timing_batch, "WINS-AB: batch at which layers are timed")
      ->check(CLI::Range(1, 4096))->capture_default_str();
  app.add_option("--calibration", flags.calibration, "pictures for the criteria output-aware, gram and obs, and for the refit")
      ->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--calibration-augment", flags.calibration_augment,
                 "change the calibration pictures at random: comma list as of --augment; more of them than there are "
                 "pictures are drawn from each picture several times");
  app.add_option("--sensitivity", flags.sensitivity, "print accuracy with one layer pruned at each of these ratios")
      ->delimiter(',')->check(kRatio);
  app.add_option("--allocate", flags.allocate,
                 "one ratio for all layers (uniform), or a ratio for each by what it costs the output for each unit of "
                 "multiplications or time saved; --ratio is then the share of that over the layers")
      ->check(CLI::IsMember({"uniform", "multiplications", "time"}))->capture_default_str();
  app.add_option("--curves", flags.curves, "--allocate: error curves from the --json FILE of an earlier run of the same method")
      ->type_name("FILE");
  app.add_option("--max-ratio", flags.max_ratio, "--allocate, --max-loss: largest ratio of a layer (0.95)")->check(kRatio);
  app.add_option("--max-loss", flags.max_loss,
                 "search the largest ratio that loses at most so many points of held-out top-1 (without labels: percent "
                 "of answers changed)")
      ->check(CLI::NonNegativeNumber)->excludes(ratio);
}

PruneJob make_prune_job(const PruneFlags& flags, const Common& common) {
  PruneJob job;
  job.config.method = pruning::parse_method(flags.method);
  if (flags.criterion != "auto") {
    job.config.criterion = pruning::parse_criterion(flags.criterion);
  } else if (job.config.method == pruning::Method::wins_b) {
    job.config.criterion = pruning::Criterion::l2;  // ahead after the refit: docs/pruning-without-training.md
  }
  job.config.axis = flags.axis == "column" ? winograd::Axis::column : winograd::Axis::row;
  job.config.ratio = flags.ratio;
  job.config.columns = columns_of(flags);
  job.config.layer_ratio = parse_layer_ratios(flags.layer);
  job.config.exclude = flags.exclude;
  job.config.min_layer_share = flags.min_layer;
  job.config.min_position_share = flags.min_position;
  job.config.round_to = flags.round_to;
  job.config.strided = flags.strided;
  job.config.m = flags.m == "auto" ? 0 : std::stoi(flags.m);
  job.tradeoff = flags.tradeoff;
  job.outlook_steps = flags.outlook_steps;
  job.timing_batch = flags.timing_batch;
  job.session = session_options(common, flags.backend);
  return job;
}

void check_columns(const graph::Graph& dense, const PruneJob& job) {
  if (!job.config.columns) return;
  require(!pruning::column_layers(dense).empty(),
          "--bcbp: the model has no 1x1 convolution to prune (one group, constant weights, 5 or more input channels)");
  for (const auto& [layer, block] : graph::column_blocks(dense)) {
    require(block == job.config.columns->block, "--bcbp-block {}: {} is pruned in blocks of {} already", job.config.columns->block,
            layer, block);
  }
}

void calibrate_job(const PruneFlags& flags, const Common& common, const graph::Graph& dense, PruneJob& job) {
  const bool moments = pruning::takes_row_scores(job.config.criterion);
  const bool scores = moments || job.config.criterion == pruning::Criterion::output_aware;
  if (job.dataset == nullptr) {
    if (scores) {
      throw UsageError(fmt::format("--criterion {} needs --data for calibration pictures (or choose l2)",
                                   pruning::to_string(job.config.criterion)));
    }
    return;
  }
  if (!scores && !job.refit) return;
  // What is held out judges the result: it must not shape it.
  const data::Split split = data::hold_out(*job.dataset, job.outlook.held_out, common.seed);
  const data::Subset kept(*job.dataset, split.kept);
  std::optional<data::Augment> augment;
  if (!flags.calibration_augment.empty()) {
    augment = parse_augment("--calibration-augment", flags.calibration_augment);
  }
  job.pictures = calibration_batches(kept, job.preprocess, flags.calibration, common.seed, 0, augment);
  if (!scores) return;
  const int m = job.config.m == 0 ? 2 : job.config.m;
  if (moments) job.calibration = calibrate_rows(dense, m, common, job);
  const std::vector<std::string> layers = energy_layers(dense, job.config);
  if (!layers.empty())
    job.calibration.merge(pruning::calibrate(dense, first_pictures(job.pictures, kEnergyPictures), m, layers));
}

}  // namespace wins::cli

// Training runs on small synthetic data: it learns, keeps masks, follows its options.
#include <gtest/gtest.h>

#include <fmt/core.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "checkpoint.hpp"
#include "hints.hpp"
#include "optimizer.hpp"
#include "synthetic.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/passes.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/pruning/statistics.hpp"
#include "wins/training/training.hpp"

namespace wins::training {
namespace {

using winograd::Axis;

TrainOptions short_run(std::int64_t steps) {
  TrainOptions options;
  options.threads = 2;
  options.max_steps = steps;
  options.batch_size = 16;
  options.learning_rate = 0.05;
  options.seed = 1;
  return options;
}

bool same_weights(const graph::Graph& a, const graph::Graph& b) {
  if (a.values.size() != b.values.size()) return false;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    if (!a.values[i].constant) continue;
    if (max_abs_difference(*a.values[i].constant, *b.values[i].constant) != 0) return false;
  }
  return true;
}

double accuracy(const graph::Graph& graph, const data::Dataset& dataset) {
  const data::Preprocess preprocess = Squares::preprocess();
  data::LoaderOptions order;
  data::Loader loader(dataset, preprocess, order);
  data::Batch batch;
  double right = 0;
  while (loader.next(batch)) {
    const Tensor scores = forward(graph, {batch.images})[0];
    const auto values = scores.data<float>();
    const auto classes = static_cast<std::size_t>(scores.dim(1));
    for (std::size_t n = 0; n < batch.labels.size(); ++n) {
      const auto row = values.subspan(n * classes, classes);
      if (std::max_element(row.begin(), row.end()) - row.begin() == batch.labels[n]) ++right;
    }
  }
  return right / static_cast<double>(dataset.size());
}

TEST(Train, LearnsAndIsDeterministic) {
  const Squares dataset(160);
  TrainOptions options = short_run(40);
  options.held_out = 0.2;
  options.augment.pad_crop = 1;
  options.label_smoothing = 0.1;
  options.warmup_epochs = 1;
  const TrainResult a = train(small_network(), dataset, Squares::preprocess(), options);
  EXPECT_GT(a.held_out_accuracy, 0.9);
  EXPECT_EQ(a.epochs.size(), 5U);
  EXPECT_LT(a.epochs.back().loss, a.epochs.front().loss);
  EXPECT_GT(accuracy(a.graph, dataset), 0.9);
  EXPECT_TRUE(same_weights(a.graph, train(small_network(), dataset, Squares::preprocess(), options).graph));
}

/// Relative distance of the named activation between two networks.
double activation_error(const graph::Graph& a, const graph::Graph& b, const std::string& value, const Tensor& x) {
  const auto tapped = [&](graph::Graph graph) {
    for (std::size_t id = 0; id < graph.values.size(); ++id) {
      if (graph.values[id].name == value) graph.outputs = {static_cast<graph::ValueId>(id)};
    }
    graph::remove_unused(graph);
    return forward(graph, {x})[0];
  };
  return relative_l2(tapped(a), tapped(b));
}

TEST(Train, HintsBringInnerActivationsToTheTeachers) {
  const Squares dataset(64);
  const graph::Graph teacher = small_network();
  const graph::Graph start = pruned(teacher, Axis::row, 3);
  graph::Graph folded = teacher;
  graph::optimize_for_inference(folded);
  const std::vector<std::string> hints = hint_values(start, folded);
  ASSERT_FALSE(hints.empty());

  TrainOptions options = short_run(30);
  options.distill_weight = 1;
  options.learning_rate = 0.01;
  const graph::Graph without = train(start, dataset, Squares::preprocess(), options, &teacher).graph;
  options.hint_weight = 5;
  const graph::Graph with = train(start, dataset, Squares::preprocess(), options, &teacher).graph;
  EXPECT_EQ(with.outputs.size(), teacher.outputs.size());
  data::Loader loader(dataset, Squares::preprocess(), {});
  data::Batch batch;
  ASSERT_TRUE(loader.next(batch));
  double near = 0, far = 0;
  for (const std::string& hint : hints) {
    near += activation_error(with, teacher, hint, batch.images);
    far += activation_error(without, teacher, hint, batch.images);
  }
  EXPECT_LT(near, 0.9 * far);
}

class MaskedTraining : public testing::TestWithParam<Axis> {};

TEST_P(MaskedTraining, PrunedWeightsStayExactlyZero) {
  const Squares dataset(64);
  const graph::Graph teacher = small_network();
  const graph::Graph start = pruned(teacher, GetParam(), 3);
  TrainOptions options = short_run(8);
  options.weight_decay = 1e-2;
  options.distill_weight = 0.5;
  const TrainResult result = train(start, dataset, Squares::preprocess(), options, &teacher);
  int layers = 0;
  for (const graph::Node& node : result.graph.nodes) {
    const auto* op = node.as<graph::WinogradConv>();
    if (op == nullptr) continue;
    ++layers;
    const auto weights = result.graph.constant_input(node, 1)->data<float>();
    std::size_t at = 0, moved = 0;
    const auto before = start.find_node(node.name);
    const auto old = start.constant_input(*before, 1)->data<float>();
    for (int xi = 0; xi < op->mask.positions; ++xi) {
      for (std::int64_t k = 0; k < op->mask.rows; ++k) {
        for (std::int64_t c = 0; c < op->mask.columns; ++c, ++at) {
          if (!op->mask.weight_kept(xi, k, c))
            ASSERT_EQ(weights[at], 0.0F);
          else
            moved += weights[at] != old[at] ? 1 : 0;
        }
      }
    }
    EXPECT_GT(moved, 0U);
  }
  EXPECT_GT(layers, 2);
}

INSTANTIATE_TEST_SUITE_P(Axes, MaskedTraining, testing::Values(Axis::row, Axis::column, Axis::element));

/// The columns that BCBP has pruned are zero after steps of every optimizer and in the checkpoint; the others move.
TEST(Train, PrunedColumnsStayExactlyZero) {
  const Squares dataset(64);
  const graph::Graph teacher = small_network();
  graph::Graph start = teacher;
  pruning::PruneConfig config;
  config.method = pruning::Method::wins;
  config.criterion = pruning::Criterion::l2;
  config.columns = pruning::ColumnPruning{0.5, 16, true};
  pruning::prune(start, config, {});
  const auto before = pruning::column_table(start);
  ASSERT_FALSE(before.empty());
  for (const char* optimizer : {"sgd", "adamw"}) {
    TrainOptions options = short_run(1);
    options.optimizer = optimizer;
    options.weight_decay = 1e-2;
    options.distill_weight = 0.5;
    options.checkpoint = std::filesystem::temp_directory_path() / fmt::format("wins-columns-{}.ckpt", getpid());
    const graph::Graph trained = train(start, dataset, Squares::preprocess(), options, &teacher).graph;
    const Checkpoint saved = load_checkpoint(options.checkpoint);
    std::filesystem::remove(options.checkpoint);
    for (const pruning::ColumnRow& row : before) {
      const graph::Node& node = *trained.find_node(row.layer);
      const auto mask = graph::column_mask(start, *start.find_node(row.layer)).value();
      const auto old = start.constant_input(*start.find_node(row.layer), 1)->data<float>();
      const Tensor& stored = saved.tensors.at("weight/" + trained.value(node.input(1)).name);
      std::size_t moved = 0;
      for (std::int64_t i = 0; i < row.weights; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const float value = trained.constant_input(node, 1)->data<float>()[at];
        EXPECT_EQ(stored.data<float>()[at], value);
        if (!mask.weight_kept(i / row.columns, i % row.columns)) {
          ASSERT_EQ(value, 0.0F) << row.layer;
        } else {
          moved += value != old[at] ? 1 : 0;
        }
      }
      EXPECT_GT(moved, 0U) << row.layer;
    }
  }
}

TEST(Train, DistillationAloneFollowsTheTeacher) {
  const Squares labelled(160), unlabelled(160, 4, false);
  TrainOptions options = short_run(30);
  const graph::Graph teacher = train(small_network(), labelled, Squares::preprocess(), options).graph;
  options.use_labels = false;
  options.held_out = 0.2;
  const TrainResult student =
      train(pruned(teacher, Axis::row, 2), unlabelled, Squares::preprocess(), options, &teacher);
  EXPECT_GT(student.held_out_accuracy, 0.9);  // agreement with the teacher
}

TEST(Train, FoldedAndFusedNetworksTrain) {
  const Squares dataset(160);
  graph::Graph folded = train(small_network(), dataset, Squares::preprocess(), short_run(10)).graph;
  graph::optimize_for_inference(folded);
  TrainOptions options = short_run(20);
  options.learning_rate = 0.01;
  const TrainResult result = train(folded, dataset, Squares::preprocess(), options);
  EXPECT_TRUE(std::isnan(result.held_out_accuracy));
  EXPECT_LT(result.epochs.back().loss, result.epochs.front().loss + 1e-3);
  EXPECT_FALSE(same_weights(folded, result.graph));
}

TEST(Train, OutputsThatAreNoClassesAreMatchedToTheTeacher) {
  const Squares dataset(64, 4, false);
  graph::Graph teacher;
  teacher.inputs = {teacher.add_value("x", DType::f32, Shape{-1, 1, 12, 12})};
  const auto weights = teacher.add_constant("w", random_normal({2, 1, 3, 3}, 5, 0.3F));
  graph::Conv conv;
  conv.window.kernel = {3, 3};
  conv.window.pads = {1, 1, 1, 1};
  teacher.outputs = {teacher.add_node("conv", conv, {teacher.inputs[0], weights})};
  graph::Graph student = teacher;
  student.value(weights).constant = random_normal({2, 1, 3, 3}, 6, 0.3F);
  TrainOptions options = short_run(150);
  options.use_labels = false;
  options.weight_decay = 0;
  options.final_learning_rate = 0.02;
  const TrainResult result = train(student, dataset, Squares::preprocess(), options, &teacher);
  EXPECT_LT(result.epochs.back().loss, 0.1 * result.epochs.front().loss);
}

TEST(Train, EarlyStoppingReturnsTheBestWeights) {
  const Squares dataset(96);
  TrainOptions options = short_run(0);
  options.max_steps = 0;
  options.epochs = 60;
  options.held_out = 0.25;
  options.patience = 2;
  const TrainResult result = train(small_network(), dataset, Squares::preprocess(), options);
  EXPECT_LT(result.epochs.size(), 60U);
  double best = 0;
  for (const EpochLog& log : result.epochs) best = std::max(best, log.held_out_accuracy);
  EXPECT_EQ(result.held_out_accuracy, best);
}

TEST(Train, ZeroStepsChangeNothing) {
  const Squares dataset(32);
  TrainOptions options = short_run(0);
  options.epochs = 0;
  const graph::Graph start = small_network();
  EXPECT_TRUE(same_weights(start, train(start, dataset, Squares::preprocess(), options).graph));
}

TEST(Recalibrate, FindsTheStatisticsOfTheData) {
  const Squares dataset(64);
  TrainOptions options = short_run(1);
  options.recalibrate_batches = 4;
  const graph::Graph start = small_network();
  const graph::Graph a = recalibrate_batch_norm(start, dataset, Squares::preprocess(), options);
  const graph::Graph b = recalibrate_batch_norm(a, dataset, Squares::preprocess(), options);
  EXPECT_FALSE(same_weights(start, a));
  EXPECT_TRUE(same_weights(a, b));  // what stood there before does not matter
}

struct Bad {
  std::string names;
  void (*change)(TrainOptions&);
};
class BadOptions : public testing::TestWithParam<Bad> {};
TEST_P(BadOptions, AreNamed) {
  const Squares dataset(32);
  TrainOptions options = short_run(1);
  GetParam().change(options);
  try {
    train(small_network(), dataset, Squares::preprocess(), options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(GetParam().names), std::string::npos) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
  }
}
INSTANTIATE_TEST_SUITE_P(All, BadOptions,
                         testing::Values(Bad{"--lr", [](TrainOptions& o) { o.learning_rate = -1; }},
                                         Bad{"--lr",
                                             [](TrainOptions& o) {
                                               o.learning_rate = 1e30;
                                               o.max_steps = 8;
                                             }},
                                         Bad{"--batch", [](TrainOptions& o) { o.batch_size = 0; }},
                                         Bad{"--distill", [](TrainOptions& o) { o.distill_weight = 0.5; }},
                                         Bad{"--hints", [](TrainOptions& o) { o.hint_weight = 1; }},
                                         Bad{"--labels none", [](TrainOptions& o) { o.use_labels = false; }},
                                         Bad{"--patience", [](TrainOptions& o) { o.patience = 1; }},
                                         Bad{"--held-out", [](TrainOptions& o) { o.held_out = 1; }},
                                         Bad{"--resume", [](TrainOptions& o) { o.resume = true; }},
                                         Bad{"--amp", [](TrainOptions& o) { o.amp = true; }},
                                         Bad{"--device", [](TrainOptions& o) { o.device = "abacus"; }},
                                         Bad{"/nonexistent/x",
                                             [](TrainOptions& o) { o.checkpoint = "/nonexistent/x"; }}));

TEST(BadData, IsNamed) {
  const TrainOptions options = short_run(1);
  EXPECT_THROW(train(small_network(), Squares(16, 1), Squares::preprocess(), options), Error);
  EXPECT_THROW(train(small_network(), Squares(16, 4, false), Squares::preprocess(), options), Error);
  EXPECT_THROW(train(small_network(), Squares(16, 7), Squares::preprocess(), options), Error);
  data::Preprocess wrong = Squares::preprocess();
  wrong.channels = 3;
  EXPECT_THROW(train(small_network(), Squares(16), wrong, options), Error);
}

TEST(Schedule, WarmsUpAndFollowsTheCosine) {
  const Schedule schedule{1.0, 0.1, 4, 12};
  EXPECT_DOUBLE_EQ(schedule.rate(0), 0.25);
  EXPECT_DOUBLE_EQ(schedule.rate(3), 1.0);
  EXPECT_DOUBLE_EQ(schedule.rate(4), 1.0);
  EXPECT_NEAR(schedule.rate(8), 0.55, 1e-12);
  EXPECT_GT(schedule.rate(11), 0.1);
}

}  // namespace
}  // namespace wins::training

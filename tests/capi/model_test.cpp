// wins::Model, the C++ header for programs that embed the library.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/networks.hpp"
#include "wins/data/loader.hpp"
#include "wins/onnx/onnx.hpp"
#include "wins/wins.hpp"

namespace wins {
namespace {

std::filesystem::path scratch() {
  const auto folder = std::filesystem::path(testing::TempDir()) / ("wins_model_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  return folder;
}

/// The small network with an input size and class names in its metadata.
graph::Graph labelled_network() {
  graph::Graph g = runtime::small_network();
  data::Preprocess preprocess;
  preprocess.height = preprocess.width = 8;
  preprocess.classes = {"ant", "bee", "cat", "dog", "elk"};
  for (const auto& [key, value] : preprocess.to_metadata()) g.metadata[key] = value;
  return g;
}

runtime::SessionOptions ref_options() {
  runtime::SessionOptions options;
  options.backend = "ref";
  return options;
}

TEST(Model, RunsAndNamesClasses) {
  const auto path = scratch() / "labelled.onnx";
  onnx::save(labelled_network(), path);
  Model model = Model::open(path, ref_options());
  EXPECT_EQ(model.classes().size(), 5U);
  const Tensor scores = model.run(random_normal({1, 3, 8, 8}, 1));
  ASSERT_EQ(scores.shape(), (Shape{1, 5}));
  const auto top = model.top(Tensor::of<float>({1, 5}, {0, 3, 1, 2, -1}), 3);
  ASSERT_EQ(top.size(), 3U);
  EXPECT_EQ(top[0].label, "bee");
  EXPECT_EQ(top[0].index, 1);
  EXPECT_EQ(top[1].label, "dog");
  // softmax of (0, 3, 1, 2, -1).
  EXPECT_NEAR(top[0].probability, 0.6364086465588308, 1e-9);
  EXPECT_ANY_THROW(model.top(Tensor::of<float>({2, 2}, {0, 1, 2, 3}), 1));
  EXPECT_ANY_THROW(model.top(Tensor(), 1));
  EXPECT_EQ(model.top(Tensor::of<float>({2}, {0, 1}), 5).size(), 2U);
  std::filesystem::remove_all(scratch());
}

TEST(Model, ErrorsNameTheFile) {
  EXPECT_THAT([] { Model::open("/nowhere/m.onnx"); },
              testing::ThrowsMessage<std::exception>(testing::HasSubstr("/nowhere/m.onnx")));
  const auto path = scratch() / "plain.onnx";
  onnx::save(runtime::small_network(), path);
  const Model model = Model::open(path, ref_options());
  EXPECT_THAT([&] { model.read_image("picture.png"); }, testing::ThrowsMessage<std::exception>(
                                                            testing::HasSubstr("how large its pictures")));
  std::filesystem::remove_all(scratch());
}

}  // namespace
}  // namespace wins

// Files of PyTorch's two exporters, opsets 9 to 23, against what ONNX Runtime computed.
#include <algorithm>

#include "onnx_testing.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace wins::onnx {
namespace {

std::vector<std::string> fixture_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(fixture_folder())) {
    if (entry.path().extension() == ".onnx") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

struct Record {
  std::vector<std::pair<std::string, Tensor>> tensors;
  const Tensor& operator[](const std::string& name) const {
    for (const auto& [key, tensor] : tensors) {
      if (key == name) return tensor;
    }
    fail("no tensor {}", name);
  }
};

Record read_record(const std::string& name) {
  pb::GraphProto proto;
  EXPECT_TRUE(proto.ParseFromString(read_file(fixture_folder() / (name + ".data"))));
  Record record;
  for (const auto& tensor : proto.initializer()) record.tensors.emplace_back(tensor.name(), read_tensor(tensor));
  return record;
}

std::vector<Tensor> run_on(const graph::Graph& graph, const Record& record) {
  std::vector<Tensor> inputs;
  for (const auto id : graph.inputs) inputs.push_back(record[graph.value(id).name]);
  return runtime::ref::run(graph, inputs, runtime::ref::Precision::float32);
}

void expect_outputs(const graph::Graph& graph, const Record& record, double bound) {
  const std::vector<Tensor> outputs = run_on(graph, record);
  ASSERT_EQ(outputs.size(), graph.outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::string& name = graph.value(graph.outputs[i]).name;
    ASSERT_EQ(outputs[i].shape(), record[name].shape()) << name;
    EXPECT_LE(relative_l2(outputs[i], record[name]), bound) << name;
  }
}

class Fixture : public ::testing::TestWithParam<std::string> {
 protected:
  graph::Graph open() const { return load(fixture_folder() / (GetParam() + ".onnx")); }
  /// Half precision is computed in float32 here and in float16 there.
  double bound() const { return GetParam().find("half") == std::string::npos ? 1e-5 : 5e-3; }
};

TEST_P(Fixture, ComputesWhatOnnxRuntimeComputes) { expect_outputs(open(), read_record(GetParam()), bound()); }

TEST_P(Fixture, SurvivesSaveAndLoad) {
  const graph::Graph first = open();
  const std::string bytes = save_bytes(first);
  const graph::Graph second = load_bytes(bytes, "again.onnx");
  ASSERT_EQ(first.nodes.size(), second.nodes.size());
  for (std::size_t i = 0; i < first.nodes.size(); ++i) {
    EXPECT_EQ(first.nodes[i].name, second.nodes[i].name);
    EXPECT_EQ(graph::op_name(first.nodes[i].op), graph::op_name(second.nodes[i].op));
  }
  EXPECT_EQ(first.metadata, second.metadata);
  expect_outputs(second, read_record(GetParam()), bound());
  // The second file says all that the first one said.
  EXPECT_EQ(save_bytes(second), bytes);
}

INSTANTIATE_TEST_SUITE_P(Onnx, Fixture, ::testing::ValuesIn(fixture_names()), [](const auto& parameter) {
  std::string name = parameter.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(Fixtures, CoverTheOpsetsAndBothExporters) {
  const auto names = fixture_names();
  EXPECT_GE(names.size(), 25U);
  for (const char* suffix : {"-9", "-10", "-11", "-13", "-17", "-dynamo-18", "-dynamo-20", "-dynamo-23"}) {
    EXPECT_TRUE(std::any_of(names.begin(), names.end(), [&](const auto& n) { return n.ends_with(suffix); })) << suffix;
  }
}

}  // namespace
}  // namespace wins::onnx

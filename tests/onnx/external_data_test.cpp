// Weights in files of their own: read from the model's folder, and from nowhere else; written where one file
// cannot hold them.
#include "onnx_testing.hpp"

namespace wins::onnx {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

struct Entry {
  std::string location;
  std::string offset;
  std::string length;
};

pb::ModelProto external_model(const Entry& entry) {
  pb::ModelProto model = empty_model(13);
  auto& tensor = *model.mutable_graph()->add_initializer();
  tensor.set_name("w");
  tensor.set_data_type(pb::TensorProto::FLOAT);
  tensor.add_dims(5);
  tensor.set_data_location(pb::TensorProto::EXTERNAL);
  for (const auto& [key, value] : {std::pair{"location", entry.location}, {"offset", entry.offset}, {"length", entry.length}}) {
    if (value.empty()) continue;
    auto& pair = *tensor.add_external_data();
    pair.set_key(key);
    pair.set_value(value);
  }
  add_node(model, "Add", {"x", "w"}, {"y"}, "add");
  return model;
}

class ExternalFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(inside() / "sub");
    const std::vector<float> values{9, 9, 1, 2, 3, 4, 5};
    const std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    write_bytes(inside() / "w.bin", bytes);
    write_bytes(inside() / "sub" / "w.bin", bytes);
    write_bytes(folder_.path() / "secret.bin", bytes);
    std::filesystem::create_symlink(folder_.path() / "secret.bin", inside() / "link.bin");
    std::filesystem::create_directory_symlink(folder_.path(), inside() / "up");
  }
  std::filesystem::path inside() const { return folder_.path() / "model"; }
  graph::Graph open(const Entry& entry, const ImportOptions& options = {}) const {
    write_bytes(inside() / "m.onnx", external_model(entry).SerializeAsString());
    return load(inside() / "m.onnx", options);
  }
  std::string refusal(const Entry& entry) const {
    const std::string message = error_of([&] { open(entry); });
    EXPECT_THAT(message, AllOf(HasSubstr("m.onnx: "), HasSubstr("initialiser 'w'")));
    return message;
  }

 private:
  TempFolder folder_;
};

TEST_F(ExternalFiles, AreReadAtTheirOffset) {
  for (const char* location : {"w.bin", "sub/w.bin", "./w.bin"}) {
    const graph::Graph graph = open({location, "8", "20"});
    const Tensor* w = graph.constant_input(graph.nodes[0], 1);
    ASSERT_NE(w, nullptr);
    EXPECT_THAT(w->data<float>(), ::testing::ElementsAre(1, 2, 3, 4, 5));
  }
}

TEST_F(ExternalFiles, OutsideTheFolderAreRefused) {
  EXPECT_THAT(refusal({"../secret.bin", "8", "20"}), HasSubstr(".."));
  EXPECT_THAT(refusal({"sub/../../secret.bin", "8", "20"}), HasSubstr(".."));
  EXPECT_THAT(refusal({"link.bin", "8", "20"}), HasSubstr("leaves the model's folder"));
  EXPECT_THAT(refusal({"up/secret.bin", "8", "20"}), HasSubstr("leaves the model's folder"));
  EXPECT_THAT(refusal({(inside() / "w.bin").string(), "8", "20"}), HasSubstr("absolute"));
}

TEST_F(ExternalFiles, WrongPlacesAreRefused) {
  refusal({"missing.bin", "", ""});
  refusal({"sub", "", ""});
  refusal({"", "", ""});
  EXPECT_THAT(refusal({"w.bin", "12", "20"}), HasSubstr("bytes 12 to 32 of a file of 28"));
  refusal({"w.bin", "999999999999999999", "20"});
  EXPECT_THAT(refusal({"w.bin", "8", "16"}), HasSubstr("length 16"));
  refusal({"w.bin", "-8", "20"});
  refusal({"w.bin", "99999999999999999999999", "20"});
}

TEST_F(ExternalFiles, CountAgainstTheSizeLimit) {
  ImportOptions options;
  options.max_bytes = external_model({"w.bin", "8", "20"}).ByteSizeLong() + 10;
  EXPECT_THAT(error_of([&] { open({"w.bin", "8", "20"}, options); }), HasSubstr("limit"));
}

TEST_F(ExternalFiles, AreRefusedInMemory) {
  EXPECT_THAT(error_of([&] { load_model(external_model({"w.bin", "8", "20"})); }), HasSubstr("in memory"));
}

/// Saves a pruned network as if one file could hold 2000 bytes only.
class TwoFiles : public ::testing::Test {
 protected:
  TwoFiles() : graph_(small_network(16, 24, 6, 7)) { prune_small(graph_, 2, winograd::Axis::row); }
  void save_small() const {
    ExportOptions options;
    options.max_file_bytes = 2000;
    save(graph_, path(), options);
  }
  std::filesystem::path path() const { return folder_.path() / "net.onnx"; }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  graph::Graph graph_;
  TempFolder folder_;
};

TEST_F(TwoFiles, HoldWhatOneFileHolds) {
  save_small();
  EXPECT_THAT(files(), UnorderedElementsAre("net.onnx", "net.onnx.data"));
  const std::string whole = save_bytes(graph_);
  EXPECT_LT(std::filesystem::file_size(path()) + 4 * 16 * 24 * 4, whole.size());
  EXPECT_EQ(save_bytes(load(path())), save_bytes(load_bytes(whole, "net.onnx")));
}

TEST_F(TwoFiles, StartWeightsAtPages) {
  save_small();
  pb::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(read_file(path())));
  int outside = 0;
  for (const auto& initialiser : model.graph().initializer()) {
    if (initialiser.data_location() != pb::TensorProto::EXTERNAL) continue;
    ++outside;
    EXPECT_EQ(initialiser.external_data(0).value(), "net.onnx.data");
    EXPECT_EQ(std::stoul(initialiser.external_data(1).value()) % 4096, 0U);
    EXPECT_FALSE(initialiser.has_raw_data());
  }
  EXPECT_EQ(outside, 2) << "values and indices; the bias is small";
}

TEST_F(TwoFiles, LeaveNothingWhenOneCannotBeWritten) {
  std::filesystem::create_directories(path().string() + ".data");
  EXPECT_THAT(error_of([&] { save_small(); }), HasSubstr("net.onnx.data: cannot write"));
  EXPECT_THAT(files(), UnorderedElementsAre("net.onnx.data"));
}

TEST_F(TwoFiles, AreOneWhereThatIsEnough) {
  save(graph_, path());
  EXPECT_THAT(files(), UnorderedElementsAre("net.onnx"));
  EXPECT_EQ(read_file(path()), save_bytes(graph_));
}

}  // namespace
}  // namespace wins::onnx

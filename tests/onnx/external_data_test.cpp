// Weights in files of their own: read from the model's folder, and from nowhere else.
#include "onnx_testing.hpp"

namespace wins::onnx {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

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

}  // namespace
}  // namespace wins::onnx

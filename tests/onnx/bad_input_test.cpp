// Every bad file ends in one line that names the file (and the node or tensor); nothing crashes.
#include <cmath>

#include "onnx_testing.hpp"

namespace wins::onnx {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// Message for a model that must be refused; checks that it is one line which names the file.
std::string refusal(const pb::ModelProto& model) {
  const std::string message = error_of([&] { load_model(model); });
  EXPECT_THAT(message, AllOf(StartsWith("m.onnx: "), Not(HasSubstr("\n"))));
  return message;
}

std::string refusal(const std::string& bytes) {
  const std::string message = error_of([&] { load_bytes(bytes, "m.onnx"); });
  EXPECT_THAT(message, AllOf(StartsWith("m.onnx: "), Not(HasSubstr("\n"))));
  return message;
}

pb::TensorProto& add_weights(pb::ModelProto& model, const std::string& name, const std::vector<std::int64_t>& dims,
                             const std::vector<float>& values) {
  auto& tensor = *model.mutable_graph()->add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(pb::TensorProto::FLOAT);
  for (const auto dim : dims) tensor.add_dims(dim);
  tensor.set_raw_data(values.data(), values.size() * sizeof(float));
  return tensor;
}

pb::ModelProto add_model(const std::vector<std::int64_t>& dims, const std::vector<float>& values) {
  pb::ModelProto model = empty_model(13);
  add_weights(model, "w", dims, values);
  add_node(model, "Add", {"x", "w"}, {"y"}, "add");
  return model;
}

TEST(BadFile, MissingEmptyTruncatedRandom) {
  const TempFolder folder;
  const auto path = folder.path() / "m.onnx";
  EXPECT_THAT(error_of([&] { load(path); }), HasSubstr(path.string()));
  EXPECT_THAT(error_of([&] { load(folder.path()); }), HasSubstr(folder.path().string()));
  EXPECT_THAT(refusal(std::string()), HasSubstr("empty"));
  const std::string good = add_model({5}, {1, 2, 3, 4, 5}).SerializeAsString();
  EXPECT_NO_THROW(load_bytes(good, "m.onnx"));
  for (std::size_t size = 1; size < good.size(); ++size) refusal(good.substr(0, size));
  std::string noise(4096, '\0');
  std::uint32_t state = 12345;
  for (char& c : noise) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  EXPECT_THAT(refusal(noise), HasSubstr("not an ONNX model"));
  EXPECT_THAT(refusal("P5 640 480 255 this is a picture"), HasSubstr("not an ONNX model"));
}

TEST(BadFile, EveryByteFlipped) {
  const std::string good = read_file(fixture_folder() / "shuffle-dynamo-23.onnx");
  for (std::size_t i = 0; i < good.size(); i += 3) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
    const std::string message = error_of([&] { load_bytes(bad, "m.onnx"); });
    if (message.empty()) continue;
    EXPECT_THAT(message, AllOf(StartsWith("m.onnx: "), Not(HasSubstr("\n")))) << i;
  }
}

TEST(BadFile, OpsetOutOfRange) {
  for (const int opset : {7, 8, 24, 1000}) {
    pb::ModelProto model = empty_model(opset);
    add_node(model, "Relu", {"x"}, {"y"});
    EXPECT_THAT(refusal(model), HasSubstr(fmt::format("opset {}", opset)));
  }
}

TEST(BadWeights, SizesTypesAndNaN) {
  EXPECT_THAT(refusal(add_model({6}, {1, 2, 3, 4, 5})), HasSubstr("w"));
  EXPECT_THAT(refusal(add_model({4}, {1, 2, 3, 4, 5})), HasSubstr("initialiser 'w'"));
  EXPECT_THAT(refusal(add_model({-5}, {1, 2, 3, 4, 5})), HasSubstr("w"));
  EXPECT_THAT(refusal(add_model({1'000'000'000, 1'000'000'000}, {1})), HasSubstr("w"));
  EXPECT_THAT(refusal(add_model({1'000'000'000'000, 1'000'000'000'000}, {1})), HasSubstr("w"));
  EXPECT_THAT(refusal(add_model({5}, {1, 2, std::nanf(""), 4, 5})),
              AllOf(HasSubstr("initialiser 'w'"), HasSubstr("NaN")));
  pb::ModelProto model = add_model({5}, {1, 2, 3, 4, 5});
  model.mutable_graph()->mutable_initializer(0)->set_data_type(pb::TensorProto::STRING);
  EXPECT_THAT(refusal(model), HasSubstr("w"));
  model = add_model({5}, {1, 2, 3, 4, 5});
  model.mutable_graph()->mutable_initializer(0)->set_data_type(pb::TensorProto::UINT32);
  EXPECT_THAT(refusal(model), HasSubstr("uint32"));
}

TEST(BadGraph, CyclesNamesInputs) {
  pb::ModelProto cycle = empty_model(13);
  add_node(cycle, "Add", {"x", "b"}, {"a"}, "first");
  add_node(cycle, "Relu", {"a"}, {"b"}, "second");
  add_node(cycle, "Relu", {"b"}, {"y"}, "third");
  EXPECT_THAT(refusal(cycle), HasSubstr("first"));
  pb::ModelProto twice = empty_model(13);
  add_node(twice, "Relu", {"x"}, {"y"});
  add_node(twice, "Abs", {"x"}, {"y"});
  EXPECT_THAT(refusal(twice), HasSubstr("y"));
  pb::ModelProto missing = empty_model(13);
  add_node(missing, "Add", {"x", "nobody"}, {"y"}, "add");
  EXPECT_THAT(refusal(missing), HasSubstr("nobody"));
  pb::ModelProto no_output = empty_model(13);
  EXPECT_NE(refusal(no_output), "");
  pb::ModelProto negative = empty_model(13);
  negative.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(2)->set_dim_value(-4);
  add_node(negative, "Relu", {"x"}, {"y"});
  EXPECT_THAT(refusal(negative), AllOf(HasSubstr("input 'x'"), HasSubstr("-4")));
}

TEST(BadGraph, EverythingUnsupportedIsListedAtOnce) {
  pb::ModelProto model = empty_model(13);
  auto& import = *model.add_opset_import();
  import.set_domain("com.example");
  import.set_version(1);
  model.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->set_elem_type(
      pb::TensorProto::INT8);
  add_node(model, "Selu", {"x"}, {"a"}, "first");
  add_node(model, "Celu", {"a"}, {"b"}, "second");
  add_node(model, "NoSuchThing", {"b"}, {"c"}, "third").set_domain("com.example");
  add_node(model, "Relu", {"c"}, {"y"}, "fine");
  const std::string message = refusal(model);
  EXPECT_THAT(message, AllOf(HasSubstr("4 things"), HasSubstr("input 'x': element type int8"),
                             HasSubstr("node 'first' (Selu)"), HasSubstr("node 'second' (Celu)"),
                             HasSubstr("node 'third' (com.example.NoSuchThing)")));
  EXPECT_THAT(message, Not(HasSubstr("fine")));
}

TEST(BadGraph, ManyProblemsAreCounted) {
  pb::ModelProto model = empty_model(13);
  std::string last = "x";
  for (int i = 0; i < 100; ++i) {
    add_node(model, "Selu", {last}, {fmt::format("v{}", i)}, fmt::format("n{}", i));
    last = fmt::format("v{}", i);
  }
  add_node(model, "Relu", {last}, {"y"});
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("100 things"), HasSubstr("and 80 more")));
}

TEST(BadGraph, MessagesAreOneLineWhateverTheNames) {
  pb::ModelProto model = empty_model(13);
  add_node(model, "Selu", {"x"}, {"y"}, "two\nlines\x1b[31m");
  EXPECT_THAT(refusal(model), Not(HasSubstr("\x1b")));
}

TEST(BadGraph, NothingIsPrintedOnTheWay) {
  pb::ModelProto model = empty_model(13);
  add_node(model, "ATen", {"x"}, {"y"}, "old");
  ::testing::internal::CaptureStdout();
  EXPECT_THAT(refusal(model), HasSubstr("node 'old' (ATen)"));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
}

TEST(BadGraph, SubgraphsAreUnsupported) {
  pb::ModelProto model = empty_model(13);
  auto& condition = *model.mutable_graph()->add_initializer();
  condition.set_name("c");
  condition.set_data_type(pb::TensorProto::BOOL);
  condition.add_int32_data(1);
  auto& node = add_node(model, "If", {"c"}, {"y"}, "branch");
  for (const char* branch : {"then_branch", "else_branch"}) {
    auto& attribute = *node.add_attribute();
    attribute.set_name(branch);
    attribute.set_type(pb::AttributeProto::GRAPH);
    attribute.mutable_g()->set_name(branch);
    auto& relu = *attribute.mutable_g()->add_node();
    relu.set_op_type("Relu");
    relu.add_input("x");
    relu.add_output(std::string(branch) + "_out");
    *attribute.mutable_g()->add_output() = value_info(std::string(branch) + "_out", {1, 3, 6, 5});
  }
  EXPECT_THAT(refusal(model), HasSubstr("node 'branch' (If)"));
}

TEST(DeepGraph, TenThousandNestedMessagesAreRefused) {
  // GraphProto.node(1).attribute(5).g(6), from the inside out, with growing lengths.
  const auto wrap = [](int field, const std::string& body) {
    std::string out(1, static_cast<char>(field << 3 | 2));
    for (std::size_t n = body.size(); ; n >>= 7) {
      out += static_cast<char>((n & 127) | (n > 127 ? 128 : 0));
      if (n <= 127) break;
    }
    return out + body;
  };
  std::string graph;
  for (int i = 0; i < 10'000; ++i) graph = wrap(1, wrap(5, wrap(6, graph)));
  EXPECT_THAT(refusal(std::string("\x08\x08", 2) + wrap(7, graph)), HasSubstr("not an ONNX model"));
}

TEST(DeepGraph, TenThousandNodesInARowImport) {
  pb::ModelProto model = empty_model(13);
  std::string last = "x";
  for (int i = 0; i < 10'000; ++i) {
    const std::string next = i == 9'999 ? "y" : fmt::format("v{}", i);
    add_node(model, "Relu", {last}, {next});
    last = next;
  }
  EXPECT_EQ(load_model(model).nodes.size(), 10'000U);
}

pb::FunctionProto call_chain(int index, int calls) {
  pb::FunctionProto function;
  function.set_domain("f");
  function.set_name(fmt::format("f{}", index));
  function.add_input("a");
  function.add_output("out");
  for (const char* domain : {"", "f"}) {
    auto& import = *function.add_opset_import();
    import.set_domain(domain);
    import.set_version(*domain == '\0' ? 13 : 1);
  }
  for (int i = 0; i < calls; ++i) {
    auto& node = *function.add_node();
    node.set_op_type(fmt::format("f{}", index + 1));
    node.set_domain("f");
    node.add_input(i == 0 ? "a" : fmt::format("t{}", i - 1));
    node.add_output(i == calls - 1 ? "out" : fmt::format("t{}", i));
  }
  return function;
}

pb::ModelProto function_model(int depth, int calls, bool circle) {
  pb::ModelProto model = empty_model(13);
  auto& import = *model.add_opset_import();
  import.set_domain("f");
  import.set_version(1);
  for (int i = 0; i < depth; ++i) *model.add_functions() = call_chain(i, calls);
  pb::FunctionProto last = call_chain(depth, 1);
  auto& node = *last.mutable_node(0);
  node.set_op_type(circle ? "f0" : "Relu");
  node.set_domain(circle ? "f" : "");
  *model.add_functions() = last;
  add_node(model, "f0", {"x"}, {"y"}, "call").set_domain("f");
  return model;
}

TEST(Functions, AreInlined) {
  const graph::Graph graph = load_model(function_model(2, 3, false));
  EXPECT_EQ(graph.nodes.size(), 9U);
  for (const auto& node : graph.nodes) EXPECT_EQ(graph::op_name(node.op), "Relu");
}

TEST(Functions, CirclesAndExplosionsAreRefused) {
  refusal(function_model(2, 2, true));
  EXPECT_THAT(refusal(function_model(12, 10, false)), HasSubstr("nodes"));
  refusal(function_model(3'000, 1, false));
}

TEST(Attributes, UnsupportedFormsAreNamed) {
  pb::ModelProto model = empty_model(13);
  auto& training = add_node(model, "MaxPool", {"x"}, {"y", "indices"}, "pool");
  auto& kernel = *training.add_attribute();
  kernel.set_name("kernel_shape");
  kernel.set_type(pb::AttributeProto::INTS);
  kernel.add_ints(2);
  kernel.add_ints(2);
  EXPECT_NO_THROW(load_model(model));  // nobody reads the indices
  *model.mutable_graph()->add_output() = value_info("indices", {1, 3, 5, 4}, pb::TensorProto::INT64);
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("node 'pool' (MaxPool)"), HasSubstr("indices")));
}

}  // namespace
}  // namespace wins::onnx

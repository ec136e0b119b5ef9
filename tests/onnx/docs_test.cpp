// The table of operators in docs/onnx.md says what the importer's list says.
#include <set>

#include "onnx_testing.hpp"

namespace wins::onnx {
namespace {

TEST(Docs, OperatorTableIsUpToDate) {
  std::string expected = "| operator | domain | limits |\n|---|---|---|\n";
  for (const auto& op : supported_operators()) {
    expected += fmt::format("| {} | {} | {} |\n", op.name, op.domain.empty() ? "ai.onnx" : op.domain, op.notes);
  }
  const std::string text = read_file(std::filesystem::path(WINS_SOURCE_DIR) / "docs" / "onnx.md");
  const std::string open = "<!-- operators -->\n";
  const std::size_t begin = text.find(open);
  const std::size_t end = text.find("<!-- /operators -->");
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  EXPECT_EQ(text.substr(begin + open.size(), end - begin - open.size()), expected);
}

TEST(Operators, AreRegisteredOnce) {
  std::set<std::pair<std::string, std::string>> seen;
  for (const auto& op : supported_operators()) EXPECT_TRUE(seen.emplace(op.domain, op.name).second) << op.name;
}

}  // namespace
}  // namespace wins::onnx

#include "wins/report/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "wins/base/error.hpp"

namespace wins::report {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

Json layer(const std::string& name, double us, int rows) {
  Json kept = Json::array();
  for (int xi = 0; xi < 16; ++xi) kept.push_back(xi == 5 ? 0 : xi + 1);
  return {{"name", name}, {"kernel", "cpu:rows"}, {"median_us", us}, {"kept", kept}, {"rows", rows}};
}

Json demo_record() {
  Json record = {{"command", "wins demo --out out/demo"},
                 {"version", "0.1.7"},
                 {"seed", 41},
                 {"dataset", "fashion"},
                 {"host", {{"cpu", "Test CPU 9000"}, {"cores", 2}, {"isa", {"avx2"}}}}};
  record["baseline"] = {{"top1", 93.27}, {"median_ms", 1.234}};
  record["dense_layers"] = {{{"name", "conv_a"}, {"kernel", "cpu:dense"}, {"median_us", 100.0}}};
  Json row = {{"method", "wins-ab"},
              {"criterion", "output-aware"},
              {"ratio_target", 0.84},
              {"ratio", 0.8412},
              {"pruned_flops", 0.713},
              {"top1", 92.05},
              {"gap", -1.22},
              {"median_ms", 0.567},
              {"speedup_vs_dense_winograd", 2.18},
              {"speedup_vs_onnxruntime", 3.07},
              {"workspace_mb", 1.5}};
  row["layers"] = {layer("conv_a", 40.0, 64)};
  row["ab"] = {{{"layer", "conv_a"},
                {"time_wins_us", 41.5},
                {"time_wins_b_us", 39.5},
                {"outlook_before", 0.911},
                {"outlook_after", 0.907},
                {"gain", 0.0123},
                {"price", 0.004},
                {"balanced", true},
                {"reason", "gain pays for it"}}};
  row["training_log"] = {{{"epoch", 1.0}, {"loss", 0.4321}, {"held_out_accuracy", 0.9187}}};
  Json other = row;
  other["method"] = "fp";
  other["top1"] = 90.31;
  other["ab"] = Json::array();
  record["rows"] = {row, other};
  return record;
}

std::string page(const Json& record) {
  return html_report({{"run.json", record.dump()}});
}

/// Every element that opens closes, in order. Void elements of HTML are left out; SVG's close themselves.
void expect_balanced(const std::string& html) {
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const std::size_t end = html.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = html.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag[0] == '!' || tag.back() == '/' || name == "meta" || name == "br") continue;
    if (tag[0] != '/') {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty()) << tag;
    ASSERT_EQ("/" + open.back(), tag);
    open.pop_back();
  }
  EXPECT_TRUE(open.empty());
}

std::string error_of(const std::string& json) {
  try {
    html_report({{"broken.json", json}});
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  ADD_FAILURE() << "no error for " << json;
  return {};
}

TEST(Report, ShowsEverySectionAndNumber) {
  const std::string html = page(demo_record());
  expect_balanced(html);
  for (const char* part :
       {"Accuracy against pruning ratio", "Results", "Time per layer", "Rows kept per position",
        "What WINS-AB decided", "Training", "wins demo --out out/demo", "0.1.7", "Test CPU 9000", "fashion",
        "<dt>seed</dt><dd>41</dd>"})
    EXPECT_THAT(html, HasSubstr(part));
  for (const char* number :
       {"93.27", "1.234", "84.1", "71.3", "92.05", "−1.22", "0.567", "2.18×", "3.07×", "90.31", "41.5",
        "39.5", "91.10", "90.70", "1.23", "0.40", "0.4321", "91.87", "2.50×"})
    EXPECT_THAT(html, HasSubstr(number));
  EXPECT_THAT(html, HasSubstr("gain pays for it"));
  EXPECT_THAT(html, HasSubstr("position (3, 3): 16 of 64 kept"));
  EXPECT_THAT(html, HasSubstr("130 of 1024 kept (12.7 %)"));
  EXPECT_THAT(html, HasSubstr("1 of 16 positions empty"));
}

TEST(Report, IsSelfContained) {
  const std::string html = page(demo_record());
  for (const char* foreign : {"http://", "https://", "<script", "<link", "src=", "@import", "url("})
    EXPECT_THAT(html, Not(HasSubstr(foreign)));
  EXPECT_THAT(html, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_THAT(html, HasSubstr("name=\"viewport\""));
}

/// Replaces every text of a record by an attack.
void poison(Json& value) {
  if (value.is_string()) value = "\"'><script>alert(1)</script>&\n";
  if (!value.is_structured()) return;
  for (auto& item : value) poison(item);
}

TEST(Report, EscapesEveryText) {
  Json record = demo_record();
  poison(record);
  record["host"]["<script>key</script>"] = "x";
  Json bench = {{"batches",
                 {{{"batch", "<script>"},
                   {"rows", {{{"name", "x"}, {"median_ms", 1.0}}}},
                   {"layers", {layer("conv", 1, 8)}}}}}};
  poison(bench);
  Json prune = {{"method", "x"}, {"ratio", 0.5}, {"sensitivity", {{{"layer", "x"}, {"ratio", 0.1}}}}};
  poison(prune);
  const std::string html =
      html_report({{"<script>.json", record.dump()}, {"b", bench.dump()}, {"p", prune.dump()}});
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(1)"));
  expect_balanced(html);
}

TEST(Report, BrokenRecordsAreNamed) {
  EXPECT_THAT(error_of(""), HasSubstr("broken.json: broken JSON at byte"));
  EXPECT_THAT(error_of("{\"rows\": ["), HasSubstr("broken.json: broken JSON at byte"));
  EXPECT_THAT(error_of("{\"rows\": [\xff]}"), HasSubstr("broken.json"));
  EXPECT_THAT(error_of("{\"a\": 1e999}"), HasSubstr("broken.json"));
  EXPECT_THAT(error_of(std::string(100000, '[')), HasSubstr("broken.json"));
  for (const char* other : {"[]", "17", "null", "{}", "\"x\"", "{\"top1\": 3}"})
    EXPECT_THAT(error_of(other), HasSubstr("broken.json: not a run record"));
  EXPECT_THROW(html_report({}), Error);
}

TEST(Report, ColumnsOfPointwiseLayers) {
  const Json prune = {{"method", "wins-ab+bcbp"},
                      {"ratio", 0.8},
                      {"layers", {{{"name", "c1"}, {"kept", Json(std::vector<int>(16, 2))}, {"rows", 8}}}},
                      {"bcbp",
                       {{"ratio", 0.8125},
                        {"block", 16},
                        {"layers", {{{"name", "down<1>"}, {"outputs", 32}, {"columns", 24}, {"kept", {3, 6}}, {"ratio", 0.8125}}}}}}};
  const std::string html = html_report({{"p", prune.dump()}});
  for (const char* words : {"1x1 convolutions", "81.25 %", "down&lt;1&gt;", "4.5", "WINS-AB + BCBP"})
    EXPECT_NE(html.find(words), std::string::npos) << words;
  EXPECT_EQ(html_report({{"p", Json({{"method", "wins"}, {"ratio", 0.8}}).dump()}}).find("1x1 convolutions"), std::string::npos);
}

TEST(Report, MissingAndOddValuesLeaveDashes) {
  Json record = demo_record();
  record["rows"][0]["top1"] = nullptr;
  record["rows"][0]["median_ms"] = "fast";
  record["rows"][1] = Json::object();
  record["rows"].push_back(7);
  record["baseline"]["top1"] = nullptr;
  record["rows"][0]["layers"][0]["kept"] = {1, nullptr, 3};  // not a square: no map
  record["rows"][0]["layers"].push_back({{"name", "zero"}, {"kept", {1, 1, 1, 1}}, {"rows", 0}});
  const std::string html = page(record);
  expect_balanced(html);
  EXPECT_THAT(html, HasSubstr("–"));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(html, Not(HasSubstr("inf")));
}

TEST(Report, EmptyRecords) {
  Json record = demo_record();
  record["rows"] = Json::array();
  EXPECT_THAT(page(record), HasSubstr("The record has no rows."));
  record["baseline"] = 5;
  record["rows"] = "none";
  expect_balanced(page(record));
  EXPECT_THAT(page({{"batches", Json::array()}}), HasSubstr("The record has no batches."));
  expect_balanced(page({{"training_log", Json::array()}}));
}

TEST(Report, ExtremeNumbersAndManyLayers) {
  for (const double value : {1e308, -1e308, 1e-308, 0.0, 5.0}) {
    Json record = demo_record();
    for (Json& row : record["rows"]) row["top1"] = row["ratio"] = row["speedup_vs_dense_winograd"] = value;
    record["baseline"]["top1"] = value;
    record["dense_layers"][0]["median_us"] = value;
    record["rows"][0]["layers"][0]["median_us"] = value;
    const std::string html = page(record);
    expect_balanced(html);
    for (const char* bad : {"nan", "inf", "NaN"}) EXPECT_THAT(html, Not(HasSubstr(bad))) << value;
  }
  Json record = demo_record();
  record["rows"][0]["layers"] = Json::array();
  for (int i = 0; i < 200; ++i)
    record["rows"][0]["layers"].push_back(layer("conv" + std::to_string(i), 1 + i % 97, 64));
  const std::string html = page(record);
  expect_balanced(html);
  EXPECT_THAT(html, HasSubstr("160 other layers"));
  EXPECT_THAT(html, HasSubstr("conv199"));  // in the maps: every layer
}

TEST(Report, BenchAndPruneRecords) {
  const Json bench = {{"command", "wins bench"},
                      {"batches",
                       {{{"batch", 8},
                         {"workspace_bytes", 2500000},
                         {"rows",
                          {{{"name", "wins a.onnx"}, {"median_ms", 12.345}, {"ratio", 1.0}},
                           {{"name", "onnxruntime"}, {"median_ms", 23.456}, {"ratio", 1.9}}}},
                         {"layers", {layer("conv", 77, 32)}}}}}};
  const Json prune = {{"method", "wins-b"},
                      {"ratio", 0.8401},
                      {"ratio_target", 0.84},
                      {"pruned_flops", 0.7},
                      {"layers", {layer("conv", 0, 32)}},
                      {"sensitivity", {{{"layer", "c1"}, {"ratio", 0.5}, {"accuracy", 0.8}}}}};
  const std::string html = html_report({{"bench.json", bench.dump()}, {"prune.json", prune.dump()}});
  expect_balanced(html);
  for (const char* part : {"Batch 8", "12.345", "23.456", "1.90×", "2.50 MB", "77", "bench.json",
                           "prune.json", "84.01 %", "WINS-B", "Sensitivity", "80.00"})
    EXPECT_THAT(html, HasSubstr(part));
}

}  // namespace
}  // namespace wins::report

#include "wins/report/report.hpp"

#include <fmt/core.h>

#include "html.hpp"
#include "sections.hpp"
#include "style.hpp"
#include "wins/base/error.hpp"

namespace wins::report {
namespace {

Json parse(const Run& run) {
  try {
    return Json::parse(run.json);
  } catch (const Json::parse_error& error) {
    fail("{}: broken JSON at byte {}", run.name, error.byte);
  } catch (const Json::exception&) {
    fail("{}: broken JSON: a number is out of range", run.name);
  }
}

bool has(const Json& record, const char* key) {
  return record.is_object() && record.contains(key);
}

std::string body_of(const Run& run, const Json& record) {
  if (has(record, "rows") && has(record, "baseline")) return demo_report(record);
  if (has(record, "batches")) return bench_report(record);
  const bool pruned = has(record, "method") && (has(record, "ratio") || has(record, "sensitivity"));
  if (pruned || has(record, "training_log")) return prune_report(record);
  fail("{}: not a run record of wins demo, bench, prune, finetune or train", run.name);
}

}  // namespace

std::string html_report(const std::vector<Run>& runs) {
  require(!runs.empty(), "report: no run records");
  std::string articles;
  for (const Run& run : runs) {
    const Json record = parse(run);
    const std::string body = body_of(run, record);
    articles += fmt::format("<article>\n<header><h2>{}</h2>\n{}</header>\n{}</article>\n", escape(run.name),
                            command_and_facts(record), body);
  }
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>wins report</title>\n"
      "<style>{}</style>\n</head>\n<body>\n<main>\n<h1>Winograd pruning report</h1>\n"
      "<p class=\"lead\">Convolutional networks pruned inside the Winograd domain: what it cost in accuracy "
      "and "
      "what it gained in time.</p>\n{}<footer>Written by <code>wins "
      "report</code>.</footer>\n</main>\n</body>\n</html>\n",
      kStyle, articles);
}

}  // namespace wins::report

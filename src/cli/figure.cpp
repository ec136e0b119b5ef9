#include "figure.hpp"

#include <fmt/core.h>

#include "wins/base/error.hpp"
#include "wins/base/table.hpp"
#include "wins/runtime/cuda/figures.hpp"

namespace wins::cli {
namespace {

/// 0 to 95 percent.
std::vector<double> figure_ratios() {
  std::vector<double> ratios;
  for (int percent = 0; percent <= 95; percent += 5) ratios.push_back(percent / 100.0);
  return ratios;
}

Json point_to_json(const runtime::cuda::GemmCurvePoint& point) {
  return {{"ratio", point.ratio}, {"dense_us", point.dense_us}, {"irregular_us", point.irregular_us}, {"regular_us", point.regular_us},
          {"irregular_speedup", point.dense_us / point.irregular_us}, {"regular_speedup", point.dense_us / point.regular_us},
          {"irregular_kernel", point.irregular_kernel}, {"regular_kernel", point.regular_kernel}};
}

}  // namespace

void run_figure(const std::string& figure, const Common& common, std::optional<std::int64_t> batch, int rounds) {
  runtime::cuda::GemmCurveProblem problem;
  problem.batch = batch.value_or(problem.batch);
  problem.ratios = figure_ratios();
  problem.rounds = rounds;
  problem.seed = common.seed;
  runtime::cuda::GemmCurve curve;
  try {
    curve = runtime::cuda::measure_gemm_curve(problem);
  } catch (const Error& error) {
    fail("--figure {}: {}", figure, error.what());
  }
  Json record = run_header(common);
  record["figure"] = figure;
  record["device"] = curve.device;
  record["libraries"] = {{"cublas", curve.cublas}, {"cusparse", curve.cusparse}};
  record["layer"] = {{"batch", problem.batch}, {"channels", problem.channels}, {"filters", problem.filters}, {"height", problem.height},
                     {"width", problem.width}, {"positions", curve.positions}, {"tiles", curve.tiles}, {"precision", "fp32"}};
  record["points"] = Json::array();
  Table table({"ratio %", "dense us", "irregular us", "speed-up", "regular us", "speed-up"});
  for (const auto& point : curve.points) {
    table.add({fmt::format("{:.0f}", point.ratio * 100), fmt::format("{:.1f}", point.dense_us), fmt::format("{:.1f}", point.irregular_us),
               fmt::format("{:.2f}x", point.dense_us / point.irregular_us), fmt::format("{:.1f}", point.regular_us),
               fmt::format("{:.2f}x", point.dense_us / point.regular_us)});
    record["points"].push_back(point_to_json(point));
  }
  fmt::print("{} products {}x{} by {}x{} in fp32 on {} (batch {}): irregular by cuSPARSE {}, dense and regular by cuBLAS {}\n\n{}", curve.positions,
             problem.filters, problem.channels, problem.channels, curve.tiles, curve.device, problem.batch, curve.cusparse, curve.cublas, table.text());
  write_json(common, record);
}

}  // namespace wins::cli

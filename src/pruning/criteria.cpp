#include "wins/pruning/criteria.hpp"

#include <fmt/ranges.h>

#include <array>

#include "criterion.hpp"
#include "wins/base/error.hpp"

namespace wins::pruning {
namespace {

struct Name {
  Criterion criterion;
  const char* text;
};
constexpr std::array kNames{Name{Criterion::l1, "l1"}, Name{Criterion::l2, "l2"},
                            Name{Criterion::output_aware, "output-aware"}, Name{Criterion::fpgm, "fpgm"},
                            Name{Criterion::whc, "whc"}, Name{Criterion::gram, "gram"}, Name{Criterion::obs, "obs"}};

void check_finite(const LayerView& layer, const std::vector<double>& scores) {
  for (const double score : scores) {
    require(std::isfinite(score), "{}: a weight or calibration value is NaN or infinite", layer.name);
  }
}

/// Filter scores of a criterion that adds up over rows.
std::vector<double> sum_over_positions(const LayerView& layer, const std::vector<double>& rows) {
  const Extents extents = extents_of(layer);
  std::vector<double> scores(static_cast<std::size_t>(extents.rows), 0.0);
  for (std::size_t i = 0; i < rows.size(); ++i) scores[i % scores.size()] += rows[i];
  return scores;
}

}  // namespace

Criterion parse_criterion(const std::string& text) {
  std::vector<std::string> known;
  for (const Name& name : kNames) {
    if (text == name.text) return name.criterion;
    known.emplace_back(name.text);
  }
  throw UsageError(fmt::format("unknown criterion '{}' (one of {})", text, fmt::join(known, ", ")));
}

std::string to_string(Criterion criterion) {
  for (const Name& name : kNames) {
    if (criterion == name.criterion) return name.text;
  }
  fail("unknown criterion {}", static_cast<int>(criterion));
}

bool takes_row_scores(Criterion criterion) { return criterion == Criterion::gram || criterion == Criterion::obs; }

Extents extents_of(const LayerView& layer) {
  require(layer.algorithm != nullptr, "{}: no Winograd algorithm given", layer.name);
  require(layer.U.defined() && layer.U.dtype() == DType::f32 && layer.U.rank() == 3 &&
              layer.U.dim(0) == layer.algorithm->positions(),
          "{}: U must be float32 {} x K x C, not {}", layer.name, layer.algorithm->positions(),
          wins::to_string(layer.U.shape()));
  return {layer.algorithm->positions(), layer.U.dim(1), layer.U.dim(2)};
}

std::vector<std::vector<double>> filter_vectors(const LayerView& layer) {
  const Extents extents = extents_of(layer);
  const auto u = layer.U.data<float>();
  std::vector<std::vector<double>> filters(static_cast<std::size_t>(extents.rows));
  for (std::int64_t k = 0; k < extents.rows; ++k) {
    std::vector<double>& filter = filters[static_cast<std::size_t>(k)];
    filter.reserve(static_cast<std::size_t>(extents.positions * extents.columns));
    for (int xi = 0; xi < extents.positions; ++xi) {
      const auto row = u.subspan(static_cast<std::size_t>((xi * extents.rows + k) * extents.columns),
                                 static_cast<std::size_t>(extents.columns));
      filter.insert(filter.end(), row.begin(), row.end());
    }
  }
  return filters;
}

std::vector<double> score_units(Criterion criterion, const LayerView& layer, winograd::Axis axis) {
  std::vector<double> scores;
  switch (criterion) {
    case Criterion::l1: scores = l1_scores(layer, axis); break;
    case Criterion::l2: scores = l2_scores(layer, axis); break;
    case Criterion::output_aware: scores = output_aware_scores(layer, axis); break;
    case Criterion::gram:
    case Criterion::obs: scores = given_row_scores(layer, axis); break;
    case Criterion::fpgm:
    case Criterion::whc:
      fail("{}: criterion {} ranks whole filters: it goes with method fp only", layer.name, to_string(criterion));
  }
  check_finite(layer, scores);
  return scores;
}

std::vector<double> score_filters(Criterion criterion, const LayerView& layer) {
  std::vector<double> scores;
  switch (criterion) {
    case Criterion::l1: scores = sum_over_positions(layer, l1_scores(layer, winograd::Axis::row)); break;
    case Criterion::l2: scores = sum_over_positions(layer, l2_scores(layer, winograd::Axis::row)); break;
    case Criterion::output_aware:
      scores = sum_over_positions(layer, output_aware_scores(layer, winograd::Axis::row));
      break;
    case Criterion::fpgm: scores = fpgm_filter_scores(layer); break;
    case Criterion::whc: scores = whc_filter_scores(layer); break;
    case Criterion::gram:
    case Criterion::obs: scores = given_filter_scores(layer); break;
  }
  check_finite(layer, scores);
  return scores;
}

}  // namespace wins::pruning

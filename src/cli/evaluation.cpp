#include "evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <span>

#include "wins/base/error.hpp"
#include "wins/base/progress.hpp"

namespace wins::cli {
namespace {

/// Position of the label among the scores: 0 = top-1. Ties count against us, NaN scores too.
std::int64_t rank_of_label(std::span<const float> scores, std::int64_t label) {
  const float own = scores[static_cast<std::size_t>(label)];
  const auto at_least = [&](float score) { return !(score < own); };
  return std::count_if(scores.begin(), scores.end(), at_least) - (std::isnan(own) ? 0 : 1);
}

std::span<const float> row(const Tensor& scores, std::size_t i) {
  const auto classes = static_cast<std::size_t>(scores.dim(1));
  return scores.data<float>().subspan(i * classes, classes);
}

/// Counts; `finish` makes shares of them.
void count_hits(const Tensor& scores, const data::Batch& batch, Accuracy& accuracy) {
  for (std::size_t i = 0; i < batch.labels.size(); ++i) {
    const std::int64_t label = batch.labels[i];
    if (label == data::kNoLabel) continue;
    require(label < scores.dim(1), "label {} of the data lies outside the network's {} classes", label, scores.dim(1));
    const std::int64_t rank = rank_of_label(row(scores, i), label);
    accuracy.top1 += rank == 0 ? 1 : 0;
    accuracy.top5 += rank < 5 ? 1 : 0;
    ++accuracy.pictures;
  }
}

void finish(Accuracy& accuracy, std::int64_t broken) {
  accuracy.broken = broken;
  const auto count = static_cast<double>(accuracy.pictures);
  accuracy.top1 = accuracy.pictures == 0 ? NAN : accuracy.top1 / count;
  accuracy.top5 = accuracy.pictures == 0 ? NAN : accuracy.top5 / count;
}

bool classifies(const Tensor& output) { return output.rank() == 2 && output.dtype() == DType::f32; }

/// Sums over batches.
class AgreementCount {
 public:
  void add(const Tensor& want, const Tensor& have) {
    const auto w = want.data<float>(), h = have.data<float>();
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double d = static_cast<double>(w[i]) - static_cast<double>(h[i]);
      error_ += d * d;
      energy_ += static_cast<double>(w[i]) * static_cast<double>(w[i]);
    }
    pictures_ += want.dim(0);
    classifies_ = classifies_ && classifies(want);
    for (std::size_t i = 0; classifies_ && i < static_cast<std::size_t>(want.dim(0)); ++i) {
      const auto best = [](std::span<const float> scores) { return std::ranges::max_element(scores) - scores.begin(); };
      same_ += best(row(want, i)) == best(row(have, i)) ? 1 : 0;
    }
  }
  Agreement result() const {
    const double top = classifies_ && pictures_ > 0 ? same_ / static_cast<double>(pictures_)
                                                    : std::numeric_limits<double>::quiet_NaN();
    return {pictures_, top, energy_ > 0 ? std::sqrt(error_ / energy_) : 0};
  }

 private:
  double error_ = 0, energy_ = 0, same_ = 0;
  std::int64_t pictures_ = 0;
  bool classifies_ = true;
};

}  // namespace

Forward open_forward(const graph::Graph& graph, const runtime::SessionOptions& options, const std::string& device) {
  if (device != "cpu") return training::open_forward(graph, device);
  const auto session = std::make_shared<runtime::Session>(runtime::Session::open(graph, options));
  return [session](const std::vector<Tensor>& inputs) { return session->run(inputs); };
}

Accuracy evaluate(const Forward& network, const data::Dataset& dataset, const data::Preprocess& preprocess,
                  const std::string& label, std::int64_t batch_size) {
  data::LoaderOptions options;
  options.batch_size = batch_size;
  data::Loader loader(dataset, preprocess, options);
  Progress progress(label, loader.batches());
  Accuracy accuracy;
  data::Batch batch;
  while (loader.next(batch)) {
    const std::vector<Tensor> outputs = network({batch.images});
    require(!outputs.empty() && classifies(outputs[0]),
            "the network's first output is not [N, classes] scores: it does not classify");
    count_hits(outputs[0], batch, accuracy);
    progress.advance();
  }
  finish(accuracy, loader.broken());
  return accuracy;
}

Agreement compare(const Forward& dense, const Forward& pruned, const std::vector<Tensor>& batches) {
  AgreementCount count;
  for (const Tensor& batch : batches) count.add(dense({batch}).at(0), pruned({batch}).at(0));
  return count.result();
}

Comparison compare(const Forward& dense, const Forward& pruned, const data::Dataset& dataset,
                   const data::Preprocess& preprocess, std::int64_t limit) {
  data::LoaderOptions options;
  options.batch_size = 64;
  data::Loader loader(dataset, preprocess, options);
  Progress progress("held-out", loader.batches());
  AgreementCount count;
  Comparison result;
  bool labels = true;
  std::int64_t seen = 0;
  for (data::Batch batch; (labels || seen < limit) && loader.next(batch); seen += batch.images.dim(0)) {
    const Tensor want = dense({batch.images}).at(0), have = pruned({batch.images}).at(0);
    count.add(want, have);
    labels = labels && classifies(want) && batch.labels.at(0) != data::kNoLabel;
    if (classifies(want)) {
      count_hits(want, batch, result.dense);
      count_hits(have, batch, result.pruned);
    }
    progress.advance();
  }
  result.agreement = count.result();
  finish(result.dense, loader.broken());
  finish(result.pruned, loader.broken());
  return result;
}

}  // namespace wins::cli

#include "refit_block.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace wins::training {
namespace {

/// In place.
void clamp(const refit::Surroundings& surroundings, at::Tensor& z) {
  if (surroundings.clamps()) z.clamp_(surroundings.low, surroundings.high);
}

at::Tensor vector_of(const std::vector<double>& values, at::Device device) {
  return at::tensor(values, at::kDouble).to(device, at::kFloat);
}

}  // namespace

at::Tensor channel_sums(const at::Tensor& x) {
  return x.dim() == 2 ? x.sum(at::IntArrayRef({0}), false, at::kDouble)
                      : x.sum(at::IntArrayRef({0, 2, 3}), false, at::kDouble);
}

at::Tensor per_channel(const at::Tensor& values, const at::Tensor& like) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(like.dim()), 1);
  shape[1] = values.size(0);
  return values.to(at::kFloat).view(shape);
}

at::Tensor per_channel(const std::vector<double>& values, const at::Tensor& like) {
  return per_channel(vector_of(values, like.device()), like);
}

RefitBlock::RefitBlock(const refit::LayerSite& site, const TileSampler& tiles, const Activations& dense,
                       const Activations& pruned)
    : site_(site), tiles_(tiles) {
  const std::vector<at::Tensor>& outputs = dense.at(site.output);
  const std::vector<at::Tensor>* dense_other = nullptr;
  if (!site.pruned.other_branch.empty()) {
    dense_other = &dense.at(site.pruned.other_branch);
    other_ = site.correct_residual ? &pruned.at(site.pruned.other_branch) : dense_other;
  }
  const at::Device device = outputs.at(0).device();
  const at::Tensor dense_scale = per_channel(site.dense.scale, outputs[0]);
  const at::Tensor dense_offset = per_channel(site.dense.offset, outputs[0]);
  scale_ = vector_of(site.pruned.scale, device);
  offset_ = vector_of(site.pruned.offset, device);
  alive_ = scale_.abs() > refit::kSwitchedOff * scale_.abs().max();
  safe_scale_ = at::where(alive_, scale_, at::ones_like(scale_));
  samples_.resize(tiles.sets().size());
  std::vector<at::Tensor> inside;
  for (const TileSet& set : tiles.sets()) inside.push_back(tiles.inside(set).to(at::kFloat).view({-1, 1, 1}));
  for (std::size_t b = 0; b < outputs.size(); ++b) {
    at::Tensor z = at::addcmul(dense_offset, outputs[b], dense_scale);
    if (dense_other != nullptr) z += (*dense_other)[b];
    for (std::size_t i = 0; i < samples_.size(); ++i) {
      const at::Tensor& at = tiles.sets()[i].tiles[b];
      samples_[i].push_back({tiles.pixels(outputs[b], at), tiles.pixels(z, at),
                             other_ == nullptr ? at::Tensor() : tiles.pixels((*other_)[b], at),
                             inside[i]});
    }
    clamp(site.pruned, z);
    dense_.push_back(std::move(z));
  }
}

SampledTargets RefitBlock::first_targets() const {
  SampledTargets targets;
  for (const std::vector<Sample>& batches : samples_) {
    targets.emplace_back();
    for (const Sample& sample : batches) targets.back().push_back(output_for(sample, sample.dense));
  }
  return targets;
}

/// The y that gives these values in front of the activation; channels that are switched off keep the dense network's.
at::Tensor RefitBlock::output_for(const Sample& sample, const at::Tensor& wanted) const {
  const at::Tensor rest = sample.other.defined() ? wanted - offset_ - sample.other : wanted - offset_;
  return at::where(alive_, rest / safe_scale_, sample.target) * sample.inside;
}

void RefitBlock::retarget(std::size_t batch, const at::Tensor& y, const at::Tensor& shift, SampledTargets& targets) const {
  const double low = site_.pruned.low, high = site_.pruned.high;
  for (std::size_t i = 0; i < samples_.size(); ++i) {
    const Sample& sample = samples_[i][batch];
    at::Tensor present = (tiles_.pixels(y, tiles_.sets()[i].tiles[batch]) + shift.to(at::kFloat)) * scale_ + offset_;
    if (sample.other.defined()) present += sample.other;
    at::Tensor wanted = sample.dense;
    if (std::isfinite(low)) wanted = at::where(sample.dense <= low, present.clamp_max(low), wanted);
    if (std::isfinite(high)) wanted = at::where(sample.dense >= high, present.clamp_min(high), wanted);
    targets[i][batch] = output_for(sample, wanted);
  }
}

at::Tensor RefitBlock::squared_error(std::size_t batch, const at::Tensor& y, const at::Tensor& shift) const {
  const at::Tensor offset = shift * scale_ + offset_;
  at::Tensor z = at::addcmul(per_channel(offset, y), y, per_channel(scale_, y));
  if (other_ != nullptr) z += (*other_)[batch];
  clamp(site_.pruned, z);
  return channel_sums(z.sub_(dense_[batch]).square_());
}

double RefitBlock::energy() const {
  at::Tensor sums = channel_sums(dense_.at(0)).zero_(), squares = sums.clone();
  double count = 0;
  for (const at::Tensor& f : dense_) {
    sums += channel_sums(f);
    squares += channel_sums(f.square());
    count += static_cast<double>(f.numel() / f.size(1));
  }
  return (squares - sums.square() / count).clamp_min(0).sum().item<double>();
}

}  // namespace wins::training

#include "wins/runtime/cuda/column_pack.hpp"

#include <algorithm>
#include <array>

#include "wins/base/error.hpp"
#include "wins/runtime/cuda/divisor.hpp"

namespace wins::runtime::cuda {
namespace {

constexpr int kUnitChannels = 4;  // float32

/// A kept channel, or, with `weight` false, one that only fills a step and is multiplied by zeros.
struct Place {
  std::int64_t channel = 0;
  int slot = 0;  ///< of its line in the chunk
  bool weight = false;
};
using Quad = std::vector<Place>;  ///< channels that the 4 lanes of a row read at once

/// Deals the channels of a strip out to quads, those with the same place in their units to different ones: the lanes of an instruction
/// read channels of 8 pixels 16 bytes apart, so that a channel's place in its unit decides about its banks.
std::vector<Quad> deal(const std::vector<Place>& places) {
  std::vector<Quad> quads(static_cast<std::size_t>(2 * divide_up(static_cast<int>(places.size()), kStepChannels)));
  std::array<std::vector<Place>, kUnitChannels> classes;
  for (const Place& place : places) classes[static_cast<std::size_t>(place.channel % kUnitChannels)].push_back(place);
  std::ranges::sort(classes, std::ranges::greater(), &std::vector<Place>::size);
  std::size_t next = 0;
  for (const auto& members : classes) {
    for (const Place& place : members) {
      while (quads[next].size() == kUnitChannels) next = (next + 1) % quads.size();
      quads[next].push_back(place);
      next = (next + 1) % quads.size();
    }
  }
  for (Quad& quad : quads) {  // what fills up reads what another lane reads
    Place fill = quad.empty() ? places.front() : quad.front();
    fill.weight = false;
    quad.resize(kUnitChannels, fill);
  }
  return quads;
}

/// A chunk and the channels of it that count: a line whose channels are too many for one chunk is in several.
struct Part {
  ColumnChunk chunk;
  std::int64_t first_channel = 0, end_channel = 0;
};

/// The channels of a strip in a part.
std::vector<Place> places_of(const KeptColumns& kept, const Part& part, std::int64_t strip) {
  std::vector<Place> places;
  for (int slot = 0; slot < kMaxLines && part.chunk.lines[slot] != kNoLine; ++slot) {
    const std::int64_t line = std::int64_t{part.chunk.lines[slot]} * kLineChannels;
    const std::int64_t end = std::min({line + kLineChannels, part.end_channel, kept.channels()});
    for (std::int64_t c = std::max(line, part.first_channel); c < end; ++c) {
      if (kept.kept(strip, c)) places.push_back({c, slot, true});
    }
  }
  return places;
}

/// Cuts the strips that a tile takes from `first_strip` on into parts, unit by unit of 4 channels.
std::vector<Part> cut_parts(const KeptColumns& kept, ColumnTile tile, std::int64_t first_strip) {
  const ColumnTileSize& size = kColumnTiles[static_cast<int>(tile)];
  const std::int64_t strips = std::min<std::int64_t>(size.strips(), kept.strips() - first_strip);
  std::vector<Part> parts;
  std::array<int, kMaxStrips> counts{};  // kept channels of the last part
  int lines = 0, steps = 0;
  for (std::int64_t first = 0; first < kept.channels(); first += kUnitChannels) {
    const std::int64_t end = std::min(first + kUnitChannels, kept.channels());
    std::array<int, kMaxStrips> unit{};
    for (std::int64_t s = 0; s < strips; ++s) {
      for (std::int64_t c = first; c < end; ++c) unit[static_cast<std::size_t>(s)] += kept.kept(first_strip + s, c) ? 1 : 0;
    }
    if (std::ranges::all_of(unit, [](int n) { return n == 0; })) continue;
    const auto line = static_cast<std::uint16_t>(first / kLineChannels);
    int grown = 0;
    for (std::size_t s = 0; s < kMaxStrips; ++s) grown += divide_up(counts[s] + unit[s], kStepChannels);
    const bool same = lines > 0 && parts.back().chunk.lines[lines - 1] == line;
    if (parts.empty() || grown > size.steps || (!same && lines == size.lines)) {
      if (!parts.empty()) steps += parts.back().chunk.ends[kMaxStrips - 1];
      parts.push_back({.chunk = {.first_step = steps}, .first_channel = first});
      counts = {};
      lines = 0;
    }
    Part& part = parts.back();
    if (lines == 0 || part.chunk.lines[lines - 1] != line) part.chunk.lines[lines++] = line;
    part.end_channel = end;
    int total = 0;
    for (std::size_t s = 0; s < kMaxStrips; ++s) {
      counts[s] += unit[s];
      total += divide_up(counts[s], kStepChannels);
      part.chunk.ends[s] = static_cast<std::uint8_t>(total);
    }
  }
  return parts;
}

class Packer {
 public:
  Packer(std::span<const float> weights, const KeptColumns& kept, ColumnPack& pack) : weights_(weights), kept_(kept), pack_(pack) {}

  void add(const Part& part, std::int64_t strip) {
    const std::vector<Place> places = places_of(kept_, part, strip);
    if (places.empty()) return;
    const std::vector<Quad> quads = deal(places);
    for (std::size_t q = 0; q < quads.size(); q += 2) add_step(quads[q], quads[q + 1], strip);
  }

 private:
  void add_step(const Quad& first, const Quad& second, std::int64_t strip) {
    for (int part = 0; part < column_parts(pack_.operand); ++part) {
      for (std::int64_t filter = strip * kStripFilters; filter < (strip + 1) * kStripFilters; filter += kItemRows) {
        for (const Quad* half : {&first, &second}) {
          for (int k = 0; k < kItemRows; ++k) {
            for (const Place& place : *half) pack_.steps.push_back(place.weight ? bits(filter + k, place.channel, part) : 0);
          }
        }
      }
    }
    for (std::size_t lane = 0; lane < kUnitChannels; ++lane) pack_.steps.push_back(offset(first[lane]) | offset(second[lane]) << 16);
  }
  std::uint32_t bits(std::int64_t filter, std::int64_t channel, int part) const {
    return filter < kept_.filters() ? operand_bits(weights_[static_cast<std::size_t>(filter * kept_.channels() + channel)], pack_.operand, part) : 0;
  }
  std::uint32_t offset(const Place& place) const {
    return static_cast<std::uint32_t>(place.slot * pack_.size().line_bytes() + static_cast<int>(place.channel % kLineChannels) * 4);
  }

  std::span<const float> weights_;
  const KeptColumns& kept_;
  ColumnPack& pack_;
};

}  // namespace

KeptColumns::KeptColumns(std::span<const float> weights, std::int64_t K, std::int64_t C)
    : filters_(K), channels_(C), kept_(static_cast<std::size_t>(strips() * C), 0) {
  for (std::int64_t k = 0; k < K; ++k) {
    for (std::int64_t c = 0; c < C; ++c) {
      // What is no number must be found when it is packed.
      if (weights[static_cast<std::size_t>(k * C + c)] != 0.0F) kept_[static_cast<std::size_t>(k / kStripFilters * C + c)] = 1;
    }
  }
}

std::int64_t KeptColumns::count() const { return std::ranges::count(kept_, 1); }

std::vector<ColumnChunk> column_chunks(const KeptColumns& kept, ColumnTile tile, std::int64_t first_strip) {
  std::vector<ColumnChunk> chunks;
  for (const Part& part : cut_parts(kept, tile, first_strip)) chunks.push_back(part.chunk);
  return chunks;
}

ColumnPack pack_columns(const Tensor& weights, Operand operand, ColumnTile tile) {
  require(weights.rank() == 4 && weights.dim(2) == 1 && weights.dim(3) == 1, "filters of shape {} are not 1x1", to_string(weights.shape()));
  require(operand == Operand::f32 || operand == Operand::tf32, "columns are packed for float32 activations");
  require(weights.dim(1) <= kMaxColumnChannels, "more than {} input channels", kMaxColumnChannels);
  const auto values = weights.data<float>();
  const KeptColumns kept(values, weights.dim(0), weights.dim(1));
  ColumnPack pack;
  pack.operand = operand;
  pack.tile = tile;
  pack.first_chunk = {0};
  Packer packer(values, kept, pack);
  int steps = 0;
  for (std::int64_t strip = 0; strip < kept.strips(); strip += pack.size().strips()) {
    for (const Part& part : cut_parts(kept, tile, strip)) {
      for (int s = 0; s < pack.size().strips() && strip + s < kept.strips(); ++s) packer.add(part, strip + s);
      pack.chunks.push_back(part.chunk);
      pack.chunks.back().first_step = steps;
      steps += part.chunk.ends[kMaxStrips - 1];
    }
    pack.first_chunk.push_back(static_cast<std::int32_t>(pack.chunks.size()));
  }
  require(pack.steps.size() == static_cast<std::size_t>(steps) * static_cast<std::size_t>(step_words(operand)), "a pack of columns is inconsistent");
  return pack;
}

}  // namespace wins::runtime::cuda

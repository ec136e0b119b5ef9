// Weights of 1x1 convolutions that are pruned in columns.
#pragma once

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "wins/base/tensor.hpp"

namespace wins {

/// K x C weights [K, C, 1, 1] in blocks of `block` rows, each with `kept` columns that are not zero; of unit variance times `scale`.
inline Tensor pruned_columns(std::int64_t K, std::int64_t C, std::int64_t block, std::int64_t kept, float scale = 1) {
  Tensor weights = random_normal({K, C, 1, 1}, 5, scale);
  const auto values = weights.mutable_data<float>();
  std::mt19937 random(7);
  std::vector<std::int64_t> channels(static_cast<std::size_t>(C));
  std::iota(channels.begin(), channels.end(), 0);
  for (std::int64_t first = 0; first < K; first += block) {
    std::shuffle(channels.begin(), channels.end(), random);
    for (std::int64_t j = kept; j < C; ++j) {
      for (std::int64_t k = first; k < std::min(K, first + block); ++k) values[static_cast<std::size_t>(k * C + channels[static_cast<std::size_t>(j)])] = 0;
    }
  }
  return weights;
}

}  // namespace wins

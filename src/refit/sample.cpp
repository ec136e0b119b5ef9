#include "wins/refit/sample.hpp"

#include <algorithm>
#include <numeric>
#include <random>

namespace wins::refit {

std::vector<TileClass> sample_tiles(const LinearLayer& layer, const Shape& output, std::size_t batches,
                                    std::int64_t limit, std::uint64_t seed) {
  const std::int64_t m = layer.m, H = output.size() > 2 ? output[2] : 1, W = output.size() > 3 ? output[3] : 1;
  const winograd::TileGrid grid = winograd::tile_grid(layer.m, H, W);
  const std::int64_t pictures = static_cast<std::int64_t>(batches) * output.at(0);
  const std::int64_t each = std::clamp<std::int64_t>((limit + pictures - 1) / pictures, 1, grid.count());

  std::vector<TileClass> classes;
  std::vector<std::int64_t> order(static_cast<std::size_t>(grid.count()));
  std::int64_t number = 0;
  for (std::size_t b = 0; b < batches; ++b) {
    for (std::int64_t n = 0; n < output[0]; ++n) {
      std::iota(order.begin(), order.end(), 0);
      if (each < grid.count()) {
        std::mt19937_64 random(seed * 0x9E3779B97F4A7C15ULL + static_cast<std::uint64_t>(number));
        for (std::int64_t i = 0; i < each; ++i) {
          const auto left = static_cast<std::uint64_t>(grid.count() - i);
          std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(i) + random() % left]);
        }
      }
      ++number;
      for (std::int64_t i = 0; i < each; ++i) {
        const std::int64_t t = order[static_cast<std::size_t>(i)];
        const Tile tile{static_cast<std::int64_t>(b), n, t / grid.cols * m, t % grid.cols * m};
        const int rows = static_cast<int>(std::min(m, H - tile.row));
        const int cols = static_cast<int>(std::min(m, W - tile.col));
        auto found = std::find_if(classes.begin(), classes.end(),
                                  [&](const TileClass& c) { return c.rows == rows && c.cols == cols; });
        if (found == classes.end()) found = classes.insert(found, TileClass{rows, cols, {}});
        found->tiles.push_back(tile);
      }
    }
  }
  return classes;
}

}  // namespace wins::refit

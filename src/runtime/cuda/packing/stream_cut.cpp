#include "wins/runtime/cuda/stream_cut.hpp"

#include <algorithm>

namespace wins::runtime::cuda {
namespace {

constexpr int kReserved = 1024;  ///< of each block, by the system

int divide_up(std::int64_t a, std::int64_t b) { return static_cast<int>((a + b - 1) / b); }

}  // namespace

std::optional<StreamCut> cut_stream(std::int64_t pixels, std::int64_t filters, std::int64_t chunks, StreamTile tile, const Multiprocessors& processors) {
  StreamCut cut;
  cut.filters = tile.filters;
  cut.chunks = static_cast<int>(chunks);
  cut.slices = divide_up(filters, tile.filters);
  cut.tiles = divide_up(pixels, kStreamPixels);
  const auto fits = [&](int resident, int least) {
    const int room = (processors.shared_bytes + kReserved) / resident - kReserved;
    cut.resident = resident;
    for (cut.ring = kMostRing; cut.ring >= least; --cut.ring) {
      if (cut.bytes(tile.element_bytes) <= room) return true;
    }
    return false;
  };
  if (!fits(2, 2) && !fits(1, 3)) return std::nullopt;
  const int at_once = std::max(1, cut.resident * processors.count / cut.slices);
  cut.blocks = divide_up(cut.tiles, divide_up(cut.tiles, at_once));
  return cut;
}

}  // namespace wins::runtime::cuda

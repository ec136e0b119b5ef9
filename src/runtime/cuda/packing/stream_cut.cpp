#include "wins/runtime/cuda/stream_cut.hpp"

namespace wins::runtime::cuda {

std::optional<StreamCut> cut_stream(std::int64_t pixels, std::int64_t filters, std::int64_t chunks, StreamTile tile, const Multiprocessors& processors) {
  StreamCut cut;
  cut.filters = tile.filters;
  cut.chunks = static_cast<int>(chunks);
  cut.slices = static_cast<int>(divide_up(filters, tile.filters));
  cut.tiles = static_cast<std::int32_t>(divide_up(pixels, kLinePixels));
  const auto fits = [&](int resident, int least) {
    const int room = (processors.shared_bytes + kSystemBytes) / resident - kSystemBytes;
    cut.resident = resident;
    for (cut.ring = kMostRing; cut.ring >= least; --cut.ring) {
      if (cut.bytes(tile.element_bytes) <= room) return true;
    }
    return false;
  };
  if (!fits(2, 2) && !fits(1, 3)) return std::nullopt;
  cut.blocks = even_blocks(cut.tiles, cut.resident * processors.count / cut.slices);
  return cut;
}

}  // namespace wins::runtime::cuda

#include "pair_product.hpp"

namespace wins::runtime::cuda {

// Built in a file for each operand.
template <Operand kOperand>
bool launch_pair(const PairCut& cut, const PairLayer& layer, const PairPointers& pointers, cudaStream_t stream);

bool launch_pair_product(Operand operand, const PairCut& cut, const PairLayer& layer, const PairPointers& pointers, cudaStream_t stream) {
  switch (operand) {
    case Operand::f16: return launch_pair<Operand::f16>(cut, layer, pointers, stream);
    case Operand::bf16: return launch_pair<Operand::bf16>(cut, layer, pointers, stream);
    default: return false;
  }
}

PairCut cut_pair(std::int64_t chunks, std::int64_t second_filters, int shared_bytes) {
  constexpr std::int64_t kItemBytes = kChunkUnits * kItemRows * 16, kPixelBytes = kChunkUnits * (kPairPixels * 16 + 16);
  constexpr int kReserved = 1024;  // of every block, the driver's
  PairCut cut;
  cut.tile = second_filters <= 64 ? ProductTile::tall : ProductTile::wide;
  const std::int64_t filters = kProductTiles[static_cast<int>(cut.tile)].filters;
  const auto bytes_of = [&](int stages) {
    const std::int64_t items = chunks * kPairMiddle / kItemRows + filters / kItemRows;
    return static_cast<int>(chunks * kPixelBytes + stages * (kPixelBytes + items * kItemBytes));
  };
  const auto fits = [&](int stages, int blocks) { return blocks * (bytes_of(stages) + kReserved) <= shared_bytes + kReserved; };
  // Two blocks have no registers for the sums of 128 filters.
  const bool two = cut.tile == ProductTile::tall && fits(2, 2);
  cut.stages = !two && fits(3, 1) ? 3 : 2;
  cut.resident = two ? 2 : fits(2, 1) ? 1 : 0;
  cut.shared_bytes = bytes_of(cut.stages);
  return cut;
}

}  // namespace wins::runtime::cuda

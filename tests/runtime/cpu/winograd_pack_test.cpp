// Packed Winograd weights: straight from the filters as from U, on any number of threads.
#include "winograd_pack.hpp"

#include "harness.hpp"
#include "target_scope.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::cpu {
namespace {

using winograd::Axis;
using winograd::Mask;

bool same_floats(const AlignedFloats& a, const AlignedFloats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.byte_size()) == 0;
}

void expect_same(const PackedWinograd& got, const PackedWinograd& wanted) {
  EXPECT_TRUE(same_floats(got.weights, wanted.weights));
  EXPECT_EQ(got.weight_count, wanted.weight_count);
  EXPECT_EQ(got.rows, wanted.rows);
  EXPECT_EQ(got.slots, wanted.slots);
  EXPECT_EQ(got.m_rows, wanted.m_rows);
  EXPECT_EQ(got.indices, wanted.indices);
  ASSERT_EQ(got.groups.size(), wanted.groups.size());
  for (std::size_t i = 0; i < got.groups.size(); ++i) {
    EXPECT_EQ(got.groups[i].offset, wanted.groups[i].offset);
    EXPECT_EQ(got.groups[i].rows, wanted.groups[i].rows);
    EXPECT_EQ(got.groups[i].columns, wanted.groups[i].columns);
    EXPECT_EQ(got.groups[i].first_row, wanted.groups[i].first_row);
  }
}

struct Size {
  std::int64_t k, c;
};
constexpr Size kSizes[] = {{1, 1}, {5, 17}, {64, 64}, {33, 2}, {130, 9}, {256, 40}};

TEST(WinogradPack, FiltersGiveTheBitsOfU) {
  for (const cpu_test::Target& target : cpu_test::targets_here()) {
    const cpu_test::TargetScope scope(target.bit);
    for (const auto& [m, stride] : {std::pair{2, 1}, std::pair{4, 1}, std::pair{6, 1}, std::pair{2, 2}}) {
      const winograd::Algorithm& algorithm = winograd::algorithm(m, 3, stride);
      for (const Size size : kSizes) {
        const Tensor filters = random_normal({size.k, size.c, 3, 3}, 7, 0.1F);
        const Tensor U = winograd::transform_weights(algorithm, filters);
        const Mask full = Mask::full(Axis::row, algorithm.positions(), size.k, size.c);
        const PackedWinograd wanted = pack_rows(U, full, algorithm, {16, winograd_kernels()});
        for (int threads = 1; threads <= 4; ++threads) {
          SCOPED_TRACE(std::string(target.name) + " m " + std::to_string(m) + " threads " + std::to_string(threads));
          expect_same(pack_filters(filters, algorithm, {16, winograd_kernels(), threads}), wanted);
        }
      }
    }
  }
}

TEST(WinogradPack, ThreadsDoNotChangeMaskedWeights) {
  const winograd::Algorithm& algorithm = winograd::algorithm(4, 3);
  for (const Axis axis : {Axis::row, Axis::column, Axis::element}) {
    const Mask mask = cpu_test::make_mask(axis, cpu_test::Keep::uneven, 4, 45, 33);
    const Tensor U = cpu_test::make_weights(mask, 4);
    for (int threads = 2; threads <= 4; ++threads) {
      expect_same(pack_rows(U, mask, algorithm, {16, winograd_kernels(), threads}),
                  pack_rows(U, mask, algorithm, {16, winograd_kernels()}));
      expect_same(pack_csr(U, mask, algorithm, {16, winograd_kernels(), threads}),
                  pack_csr(U, mask, algorithm, {16, winograd_kernels()}));
    }
  }
}

TEST(WinogradPack, RefusesWeightsThatDoNotFit) {
  const winograd::Algorithm& algorithm = winograd::algorithm(2, 3);
  EXPECT_THROW(pack_filters(Tensor(DType::f32, {4, 4, 5, 5}), algorithm, {16, winograd_kernels()}), Error);
  EXPECT_THROW(pack_filters(Tensor(DType::f32, {4, 4}), algorithm, {16, winograd_kernels()}), Error);
  const Mask mask = Mask::full(Axis::row, 16, 4, 4);
  EXPECT_THROW(pack_rows(Tensor(DType::f32, {16, 4, 5}), mask, algorithm, {16, winograd_kernels()}), Error);
}

}  // namespace
}  // namespace wins::runtime::cpu

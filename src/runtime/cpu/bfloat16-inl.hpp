// Reading weights stored as float32 or bfloat16; compiled once for each instruction set.
#if defined(WINS_BFLOAT16_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef WINS_BFLOAT16_INL
#undef WINS_BFLOAT16_INL
#else
#define WINS_BFLOAT16_INL
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace wins::runtime::cpu::HWY_NAMESPACE {

/// As many consecutive weights as `d` has lanes.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load_weights(D d, const float* from) {
  return hwy::HWY_NAMESPACE::LoadU(d, from);
}
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load_weights(D d, const std::uint16_t* from) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::Rebind<std::uint16_t, D> half;
  const hn::Rebind<std::uint32_t, D> whole;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(whole, hn::LoadU(half, from))));
}

/// One weight in all lanes; bfloat16 of `pack_overlapping`.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> broadcast_weight(D d, const float* from) {
  return hwy::HWY_NAMESPACE::Set(d, *from);
}
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> broadcast_weight(D d, const std::uint16_t* from) {
  float whole;
  std::memcpy(&whole, from - 1, sizeof whole);
  return hwy::HWY_NAMESPACE::Set(d, whole);
}

}  // namespace wins::runtime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

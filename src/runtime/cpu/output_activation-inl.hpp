// The activation of an output, on vectors; compiled once for each instruction set.
#if defined(WINS_OUTPUT_ACTIVATION_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef WINS_OUTPUT_ACTIVATION_INL
#undef WINS_OUTPUT_ACTIVATION_INL
#else
#define WINS_OUTPUT_ACTIVATION_INL
#endif

#include <hwy/highway.h>

#include "output_activation.hpp"

HWY_BEFORE_NAMESPACE();
namespace wins::runtime::cpu::HWY_NAMESPACE {

template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> activate(D d, const OutputActivation& activation, hwy::HWY_NAMESPACE::Vec<D> y) {
  namespace hn = hwy::HWY_NAMESPACE;
  using Kind = OutputActivation::Kind;
  if (activation.kind == Kind::clamp) return hn::Min(hn::Max(y, hn::Set(d, activation.low)), hn::Set(d, activation.high));
  if (activation.kind == Kind::leaky) return hn::IfThenElse(hn::Lt(y, hn::Zero(d)), hn::Mul(y, hn::Set(d, activation.alpha)), y);
  return y;
}

}  // namespace wins::runtime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

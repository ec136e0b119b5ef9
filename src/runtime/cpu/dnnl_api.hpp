// The part of oneDNN that is used, behind functions that are the same for oneDNN 2 and 3.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/graph/ops.hpp"

namespace wins::runtime::cpu {

const dnnl::engine& dnnl_engine();

/// Row-major; rank 0 counts as one element.
dnnl::memory::desc plain_desc(const Shape& shape);
dnnl::memory::desc strided_desc(const Shape& shape, const Shape& strides);
/// nChw8c or nChw16c.
dnnl::memory::desc blocked_desc(const Shape& shape, int block);
/// The library chooses (weights).
dnnl::memory::desc any_desc(const Shape& shape);

/// Names the format of a blocked or strided tensor exactly: equal texts, equal bytes.
std::string format_text(const dnnl::memory::desc& desc);

struct DnnlEltwise {
  dnnl::algorithm algorithm;
  float alpha, beta;
};
/// Nothing when oneDNN has no such function; identity counts as none too.
std::optional<DnnlEltwise> dnnl_eltwise(const graph::Activation& activation);

/// User-owned scratchpad, optional sum with the destination, then the activation.
dnnl::primitive_attr make_attributes(bool sum, const graph::Activation& activation);

struct DnnlWindow {
  std::array<std::int64_t, 2> stride{1, 1}, kernel{1, 1}, dilation{1, 1};
  std::array<std::int64_t, 4> pads{0, 0, 0, 0};  ///< top, left, bottom, right
};

/// A primitive and the formats that it settled on.
struct DnnlPlan {
  dnnl::primitive primitive;
  dnnl::memory::desc weights, scratchpad;
  std::string implementation;  ///< "jit:avx512_core", "ref:any"
};

struct DnnlOperands {
  dnnl::memory::desc src, weights, bias, dst;
};
/// These throw dnnl::error when oneDNN has no implementation.
DnnlPlan make_convolution(const DnnlOperands& operands, const DnnlWindow& window,
                          const dnnl::primitive_attr& attr);
DnnlPlan make_deconvolution(const DnnlOperands& operands, const DnnlWindow& window,
                            const dnnl::primitive_attr& attr);
DnnlPlan make_inner_product(const DnnlOperands& operands, const dnnl::primitive_attr& attr);
DnnlPlan make_matmul(const DnnlOperands& operands, const dnnl::primitive_attr& attr);
DnnlPlan make_pooling(dnnl::algorithm algorithm, const dnnl::memory::desc& src, const dnnl::memory::desc& dst,
                      const DnnlWindow& window);
DnnlPlan make_eltwise(const DnnlEltwise& function, const dnnl::memory::desc& desc);
DnnlPlan make_softmax(const dnnl::memory::desc& desc, int axis, bool log);
/// Over the last axis of two, with a scale and, if asked for, a shift for each element of it.
DnnlPlan make_layer_norm(const dnnl::memory::desc& desc, float epsilon, bool shift);
DnnlPlan make_lrn(const dnnl::memory::desc& desc, const graph::Lrn& lrn);
DnnlPlan make_reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to);

}  // namespace wins::runtime::cpu

// All kernels of the backend, by file.
#pragma once

#include "kernel.hpp"

namespace wins::runtime::cpu {

Kernel reference_kernel();

/// Dense or pruned F(m, 3) for m of 2, 4 and 6, and F(2, 3) of stride 2: rows in full, or CSR rows
/// for element masks.
std::vector<Kernel> winograd_rows_kernels();
std::vector<Kernel> winograd_csr_kernels();

/// oneDNN, blocked or (where the channels of a group do not fill blocks) plain.
Kernel direct_convolution_kernel();
Kernel deconvolution_kernel();

/// 1x1 convolutions of our own; pruned columns cost nothing.
Kernel pointwise_kernel();

/// The first convolution of a network, with or without the max-pool behind it.
Kernel stem_kernel();

Kernel pooling_kernel();
Kernel inner_product_kernel();
/// Only where the options ask for weights in bfloat16.
Kernel linear_bf16_kernel();
Kernel matmul_kernel();
Kernel eltwise_kernel();
Kernel binary_kernel();
Kernel scale_shift_kernel();
Kernel softmax_kernel();
Kernel lrn_kernel();
Kernel prelu_kernel();
Kernel layer_norm_kernel();
Kernel concat_kernel();
Kernel slice_kernel();
Kernel split_kernel();
Kernel pad_kernel();
Kernel expand_kernel();
Kernel resize_nearest_kernel();
Kernel resize_blend_kernel();
Kernel transpose_kernel();
Kernel depth_to_space_kernel();
Kernel space_to_depth_kernel();
Kernel alias_kernel();

}  // namespace wins::runtime::cpu

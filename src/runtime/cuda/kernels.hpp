// The kernels of the CUDA backend, by operator.
#pragma once

#include "kernel.hpp"

namespace wins::runtime::cuda {

// kernel_winograd.cpp: row-pruned F(2,3) layers.
Kernel winograd_fused_kernel();
// kernel_winograd_staged.cpp: row-pruned F(2,3) and F(4,3) layers, V and M in memory.
Kernel winograd_staged_kernel();
// kernel_equivalent.cpp: pruned F(2,3) layers by the ordinary convolution that they equal.
Kernel equivalent_kernel();
// kernel_implicit.cpp: every convolution with one group, on tensor cores.
Kernel implicit_kernel();
// kernel_lines.cpp: 1x1 convolutions, fp16, bf16 and tf32, on compute capability 9.0.
Kernel lines_kernel();
// kernel_columns.cpp: 1x1 convolutions pruned in columns, tf32 and fp32.
Kernel columns_kernel();
// kernel_stem.cpp: first layers with the max-pool behind them.
Kernel stem_kernel();
// kernel_convolution.cpp: cuDNN.
Kernel cudnn_convolution_kernel();
// kernel_linear.cpp: cuBLASLt.
Kernel pointwise_kernel();
Kernel linear_kernel();
// kernel_vector.cu: fully connected layers of few rows.
Kernel vector_kernel();
// kernel_nonzeros.cu: fully connected layers of one row behind a ReLU.
Kernel nonzeros_kernel();

// kernel_direct.cu: plain loops for every convolution, slow.
Kernel direct_convolution_kernel();
Kernel direct_winograd_kernel();
Kernel deconvolution_kernel();
// kernel_pooling.cu
Kernel pooling_kernel();
Kernel global_pooling_kernel();
// kernel_reduce.cu
Kernel reduce_kernel();
// kernel_elementwise.cu
Kernel unary_kernel();
Kernel binary_kernel();
Kernel prelu_kernel();
Kernel scale_shift_kernel();
// kernel_normalisation.cu
Kernel softmax_kernel();
Kernel lrn_kernel();
Kernel layer_norm_kernel();
// kernel_matmul.cu: plain loops for every MatMul and Gemm, slow.
Kernel matmul_kernel();
// kernel_movement.cpp: copies by tables.
Kernel reshape_kernel();
Kernel concat_kernel();
Kernel split_kernel();
Kernel slice_kernel();
Kernel pad_kernel();
Kernel expand_kernel();
Kernel transpose_kernel();
Kernel depth_to_space_kernel();
Kernel space_to_depth_kernel();
// kernel_resize.cu
Kernel resize_kernel();

}  // namespace wins::runtime::cuda

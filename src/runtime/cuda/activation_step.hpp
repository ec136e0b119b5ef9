// Activations that no epilogue has, over what a step has just written.
#pragma once

#include "kernel.hpp"

namespace wins::runtime::cuda {

/// Applies `function` to the node's output 0 in place; channels that fill the last unit stay zero.
Step activation_step(const Environment& env, const Layout& layout, const graph::Activation& function);

}  // namespace wins::runtime::cuda

// How many inputs and outputs each operator has.
#pragma once

#include <cstddef>
#include <string>

#include "wins/graph/graph.hpp"

namespace wins::graph {

struct Arity {
  std::size_t required = 1;  ///< leading inputs that must be present
  std::size_t most = 1;      ///< inputs at most
  std::size_t outputs = 1;   ///< exactly; 0: one or more
};

Arity arity_of(const Op& op);

/// What is wrong with the number of inputs and outputs of `node`; empty when nothing is.
std::string arity_fault(const Node& node);

}  // namespace wins::graph

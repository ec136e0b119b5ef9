// The registration list of the importer: one entry, and one small function, for each operator.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "node_reader.hpp"

namespace wins::onnx {

/// How one ONNX operator becomes graph nodes. `read` emits all outputs that others may read, or
/// throws `Error` with the reason why this form of the operator is not supported.
struct Operator {
  const char* name;
  const char* domain;  ///< "" for ONNX's own
  void (*read)(NodeReader& node);
  const char* notes;  ///< limits, for docs/onnx.md
};

std::span<const Operator> activation_operators();
std::span<const Operator> arithmetic_operators();
std::span<const Operator> window_operators();
std::span<const Operator> normalisation_operators();
std::span<const Operator> shape_operators();
std::span<const Operator> resize_operators();
std::span<const Operator> winograd_operators();

/// Every operator, in the order of the documentation.
std::vector<Operator> all_operators();
/// nullptr when the importer does not know it.
const Operator* find_operator(const std::string& domain, const std::string& name);

}  // namespace wins::onnx

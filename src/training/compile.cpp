#include "compile.hpp"

#include "wins/base/error.hpp"

namespace wins::training {
namespace {

template <class T>
concept Compilable = requires(const T& op, const Site& site) {
  compile(op, site);
};

}  // namespace

const Shape& Site::shape(std::size_t input) const {
  return *graph.value(node.input(input)).shape;
}
const Shape& Site::output_shape(std::size_t output) const {
  return *graph.value(node.outputs.at(output)).shape;
}
DType Site::dtype(std::size_t input) const {
  return graph.value(node.input(input)).dtype;
}

const Tensor& Site::constant(std::size_t input) const {
  const Tensor* tensor = graph.constant_input(node, input);
  if (tensor == nullptr) refuse(fmt::format("input {} depends on data", input));
  return *tensor;
}

std::vector<std::int64_t> Site::ints(std::size_t input) const {
  const Tensor wide = constant(input).cast(DType::i64);
  const auto values = wide.data<std::int64_t>();
  return {values.begin(), values.end()};
}

void Site::refuse(const std::string& reason) const {
  fail("{} '{}': {}", graph::op_name(node.op), node.name, reason);
}

Kernel compile(const Site& site) {
  return std::visit(
      [&]<class T>(const T& op) -> Kernel {
        if constexpr (Compilable<T>) {
          return compile(op, site);
        } else {
          site.refuse("no differentiable form");
        }
      },
      site.node.op);
}

}  // namespace wins::training

// Element-wise arithmetic, conversions, reductions and generators on every element type.
#include <algorithm>
#include <cmath>

#include "evaluate_ops.hpp"
#include "wins/graph/evaluate.hpp"

namespace wins::graph {
namespace {

template <class F>
auto visit_dtype(DType type, F&& f) {
  switch (type) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::i64:
      return f(std::int64_t{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::u8:
      return f(std::uint8_t{});
    case DType::boolean:
      return f(bool{});
  }
  wins::fail("internal: unknown element type {}", static_cast<int>(type));
}

/// Conversion that is defined for every value: floats saturate, NaN becomes 0.
template <class To, class From>
To convert(From value) {
  if constexpr (std::is_same_v<To, bool>) {
    return value != From{};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if (std::isnan(value)) return 0;
    if (value <= static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    if (value >= static_cast<From>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
    return static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

/// Integer arithmetic that wraps instead of being undefined.
template <class T, class F>
T wrapped(T a, T b, F&& f) {
  using Wide = std::uint64_t;
  return static_cast<T>(f(static_cast<Wide>(a), static_cast<Wide>(b)));
}

template <class T>
T integer_power(T base, T exponent) {
  if (exponent < 0) return convert<T>(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  T result = 1;
  const auto times = [](auto x, auto y) { return x * y; };
  while (exponent > 0) {
    if (exponent % 2 != 0) result = wrapped(result, base, times);
    base = wrapped(base, base, times);
    exponent = static_cast<T>(exponent / 2);
  }
  return result;
}

template <class T>
T integer_binary(const InferContext& context, BinaryKind kind, T a, T b) {
  switch (kind) {
    case BinaryKind::add:
      return wrapped(a, b, [](auto x, auto y) { return x + y; });
    case BinaryKind::sub:
      return wrapped(a, b, [](auto x, auto y) { return x - y; });
    case BinaryKind::mul:
      return wrapped(a, b, [](auto x, auto y) { return x * y; });
    case BinaryKind::div:
      context.require(b != 0, "divides an integer by zero");
      if (std::is_signed_v<T> && b == static_cast<T>(-1))
        return wrapped(T{0}, a, [](auto x, auto y) { return x - y; });
      return static_cast<T>(a / b);
    case BinaryKind::pow:
      return integer_power(a, b);
    case BinaryKind::min:
      return std::min(a, b);
    case BinaryKind::max:
      return std::max(a, b);
  }
  return a;
}

double float_binary(BinaryKind kind, double a, double b) {
  switch (kind) {
    case BinaryKind::add:
      return a + b;
    case BinaryKind::sub:
      return a - b;
    case BinaryKind::mul:
      return a * b;
    case BinaryKind::div:
      return a / b;
    case BinaryKind::pow:
      return std::pow(a, b);
    // NaN wins, as in numpy.
    case BinaryKind::min:
      return std::isnan(a) || a < b ? a : b;
    case BinaryKind::max:
      return std::isnan(a) || a > b ? a : b;
  }
  return a;
}

Tensor converted(const Tensor& x, DType to) {
  if (x.dtype() == to) return x;
  Tensor result(to, x.shape());
  visit_dtype(x.dtype(), [&](auto from) {
    visit_dtype(to, [&](auto target) {
      using To = decltype(target);
      const auto source = x.data<decltype(from)>();
      std::transform(source.begin(), source.end(), result.mutable_data<To>().begin(),
                     [](auto value) { return convert<To>(value); });
    });
  });
  return result;
}

/// Running value of one reduced element, in double or in wrapping 64-bit integers.
template <class Wide>
Wide accumulate(Reduce::Kind kind, Wide sum, Wide value) {
  switch (kind) {
    case Reduce::Kind::max:
      return std::max(sum, value);
    case Reduce::Kind::min:
      return std::min(sum, value);
    default:
      break;
  }
  if (kind == Reduce::Kind::l2) {
    if constexpr (std::is_integral_v<Wide>)
      value = wrapped(value, value, [](auto x, auto y) { return x * y; });
    else
      value *= value;
  }
  if constexpr (std::is_integral_v<Wide>)
    return wrapped(sum, value, [](auto x, auto y) { return x + y; });
  else
    return sum + value;
}

template <class Wide>
Wide initial(Reduce::Kind kind) {
  using Limits = std::numeric_limits<Wide>;
  if (kind == Reduce::Kind::max) return Limits::has_infinity ? -Limits::infinity() : Limits::min();
  if (kind == Reduce::Kind::min) return Limits::has_infinity ? Limits::infinity() : Limits::max();
  return 0;
}

/// Offset in the output that each index of each input axis adds (0 along reduced axes).
std::vector<std::int64_t> output_strides(const wins::Shape& x, const std::vector<bool>& reduced) {
  std::vector<std::int64_t> strides(x.size(), 0);
  std::int64_t stride = 1;
  for (std::size_t i = x.size(); i-- > 0;) {
    if (reduced[i]) continue;
    strides[i] = stride;
    stride *= x[i];
  }
  return strides;
}

/// Calls body(input offset, output offset) for every input element, in order.
template <class F>
void for_each_element(const wins::Shape& x, const std::vector<std::int64_t>& strides, F&& body) {
  std::vector<std::int64_t> index(x.size(), 0);
  const std::int64_t count = element_count(x);
  std::int64_t target = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    body(static_cast<std::size_t>(i), static_cast<std::size_t>(target));
    for (std::size_t axis = x.size(); axis-- > 0;) {
      target += strides[axis];
      if (++index[axis] < x[axis]) break;
      target -= strides[axis] * x[axis];
      index[axis] = 0;
    }
  }
}

template <class T>
Tensor reduced(Reduce::Kind kind, const Tensor& x, const wins::Shape& shape, const std::vector<bool>& flags) {
  using Wide = std::conditional_t<std::is_floating_point_v<T>, double, std::int64_t>;
  Tensor result(dtype_of<T>(), shape);
  std::vector<Wide> sums(static_cast<std::size_t>(result.size()), initial<Wide>(kind));
  const auto source = x.data<T>();
  for_each_element(x.shape(), output_strides(x.shape(), flags), [&](std::size_t i, std::size_t o) {
    sums[o] = accumulate<Wide>(kind, sums[o], static_cast<Wide>(source[i]));
  });
  const std::int64_t each = result.size() == 0 ? 1 : x.size() / result.size();
  const auto target = result.template mutable_data<T>();
  for (std::size_t i = 0; i < sums.size(); ++i) {
    Wide value = sums[i];
    if (kind == Reduce::Kind::mean) value /= static_cast<Wide>(each);
    if (kind == Reduce::Kind::l2) value = convert<Wide>(std::sqrt(static_cast<double>(value)));
    target[i] = static_cast<T>(value);
  }
  return result;
}

}  // namespace

std::vector<Tensor> compute(const Cast& op, const Evaluation& e) {
  return {converted(e.input(0), op.to)};
}

std::vector<Tensor> compute(const Shape& op, const Evaluation& e) {
  const wins::Shape& x = e.input(0).shape();
  const auto rank = static_cast<std::int64_t>(x.size());
  const AxisSlice slice = resolve_slice(op.start, op.end.value_or(rank), 1, rank);
  const auto begin = x.begin() + slice.start;
  return {Tensor::of<std::int64_t>({slice.count}, Ints(begin, begin + slice.count))};
}

std::vector<Tensor> compute(const ConstantOfShape& op, const Evaluation& e) {
  const Tensor one = op.value.defined() ? op.value.reshaped({}) : Tensor::scalar(0.0F);
  return {broadcast_to(one, e.shape())};
}

std::vector<Tensor> compute(const Range&, const Evaluation& e) {
  Tensor result(e.outputs[0].dtype, e.shape());
  visit_dtype(result.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T start = e.input(0).data<T>()[0];
    const T delta = e.input(2).data<T>()[0];
    const auto target = result.mutable_data<T>();
    for (std::size_t i = 0; i < target.size(); ++i) {
      if constexpr (std::is_floating_point_v<T>) {
        target[i] = static_cast<T>(start + static_cast<double>(i) * delta);
      } else {
        target[i] =
            static_cast<T>(wrapped<std::int64_t>(start, delta, [&](auto s, auto d) { return s + i * d; }));
      }
    }
  });
  return {result};
}

std::vector<Tensor> compute(const Unary& op, const Evaluation& e) {
  const Tensor& x = e.input(0);
  if (op.function.kind == UnaryKind::identity) return {x};
  Tensor result(x.dtype(), x.shape());
  visit_dtype(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto source = x.data<T>();
    const auto target = result.mutable_data<T>();
    for (std::size_t i = 0; i < source.size(); ++i) {
      if constexpr (std::is_floating_point_v<T>) {
        target[i] = static_cast<T>(apply_activation(op.function, static_cast<double>(source[i])));
      } else if (op.function.kind == UnaryKind::clip) {
        const T low = convert<T>(op.function.alpha), high = convert<T>(op.function.beta);
        target[i] = std::min(std::max(source[i], low), high);
      } else if (op.function.kind == UnaryKind::relu) {
        target[i] = std::max(source[i], T{0});
      } else {
        const bool negate = op.function.kind == UnaryKind::neg || source[i] < T{0};
        target[i] = negate ? wrapped(T{0}, source[i], [](auto a, auto b) { return a - b; }) : source[i];
      }
    }
  });
  return {result};
}

std::vector<Tensor> compute(const Binary& op, const Evaluation& e) {
  const DType type = e.input(0).dtype();
  const Tensor a = broadcast_to(e.input(0), e.shape());
  const bool is_float = type == DType::f32 || type == DType::f64;
  // Pow alone may have an exponent of another type; an integer base takes it in double.
  const bool mixed = e.input(1).dtype() != type;
  if (mixed && !is_float) {
    const Evaluation wide{e.context, e.inputs, e.outputs};
    const Tensor base = converted(a, DType::f64),
                 power = broadcast_to(converted(wide.input(1), DType::f64), e.shape());
    Tensor result(DType::f64, e.shape());
    std::transform(base.data<double>().begin(), base.data<double>().end(), power.data<double>().begin(),
                   result.mutable_data<double>().begin(), [](double x, double y) { return std::pow(x, y); });
    return {converted(result, type)};
  }
  const Tensor b = broadcast_to(converted(e.input(1), mixed ? DType::f64 : type), e.shape());
  Tensor result(type, e.shape());
  visit_dtype(type, [&](auto zero) {
    using T = decltype(zero);
    const auto x = a.data<T>();
    const auto target = result.mutable_data<T>();
    if constexpr (std::is_same_v<T, bool>) {
      e.context.fail("does not take bool");
    } else if constexpr (std::is_floating_point_v<T>) {
      const auto run = [&](const auto& y) {
        for (std::size_t i = 0; i < x.size(); ++i) {
          const double value = float_binary(op.kind, static_cast<double>(x[i]), static_cast<double>(y[i]));
          target[i] = static_cast<T>(apply_activation(op.activation, value));
        }
      };
      if (mixed)
        run(b.data<double>());
      else
        run(b.data<T>());
    } else {
      const auto y = b.data<T>();
      for (std::size_t i = 0; i < x.size(); ++i) target[i] = integer_binary(e.context, op.kind, x[i], y[i]);
    }
  });
  return {result};
}

std::vector<Tensor> compute(const Reduce& op, const Evaluation& e) {
  const Tensor& x = e.input(0);
  const Ints axes = e.context.has(1) ? *e.context.ints(1) : Ints{};
  std::vector<bool> flags = axis_flags(e.context, axes, x.rank());
  if (axes.empty()) flags.assign(x.rank(), !op.noop_with_empty_axes);
  e.context.require(x.size() > 0, "reduces an empty tensor");
  switch (x.dtype()) {
    case DType::f32:
      return {reduced<float>(op.kind, x, e.shape(), flags)};
    case DType::f64:
      return {reduced<double>(op.kind, x, e.shape(), flags)};
    case DType::i64:
      return {reduced<std::int64_t>(op.kind, x, e.shape(), flags)};
    case DType::i32:
      return {reduced<std::int32_t>(op.kind, x, e.shape(), flags)};
    default:
      e.context.fail("does not take {}", name_of(x.dtype()));
  }
}

}  // namespace wins::graph

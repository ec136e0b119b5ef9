// Binary operators with broadcasting, plain or blocked, and PRelu, which is one: one loop over
// strides. (oneDNN 2.6 gives wrong results on blocked operands whose channels do not fill their blocks.)
#include <algorithm>
#include <cmath>

#include "dnnl_step.hpp"
#include "kernels.hpp"
#include "wins/base/parallel.hpp"

namespace wins::runtime::cpu {
namespace {

using graph::Binary;
using graph::BinaryKind;
using graph::UnaryKind;
using Dims = std::vector<std::int64_t>;

/// Extents of the output in memory order, and its pitch and those of the operands along them (0:
/// broadcast).
struct Walk {
  Dims extents, y, a, b;

  /// Joins neighbouring axes that all operands walk through in one go.
  void join() {
    for (std::size_t i = extents.size(); i-- > 1;) {
      const auto one = [&](const Dims& pitch) { return pitch[i - 1] == pitch[i] * extents[i]; };
      const bool joined = extents[i - 1] == 1 || (one(y) && one(a) && one(b));
      if (!joined) continue;
      extents[i] *= extents[i - 1];
      for (Dims* dims : {&extents, &y, &a, &b}) dims->erase(dims->begin() + static_cast<std::ptrdiff_t>(i) - 1);
    }
  }
};

/// Pitches of an operand with these extents (1: broadcast) along the output's.
Dims pitches(const Dims& operand, const Dims& output) {
  Dims result(output.size(), 0);
  std::int64_t pitch = 1;
  for (std::size_t i = output.size(); i-- > 0;) {
    if (operand[i] != 1) result[i] = pitch;
    pitch *= operand[i];
  }
  return result;
}

Shape with_rank(const Shape& shape, std::size_t rank) {
  Shape result(rank - shape.size(), 1);
  result.insert(result.end(), shape.begin(), shape.end());
  return result;
}

struct Add {
  float operator()(float a, float b) const { return a + b; }
};
struct Sub {
  float operator()(float a, float b) const { return a - b; }
};
struct Mul {
  float operator()(float a, float b) const { return a * b; }
};
struct Div {
  float operator()(float a, float b) const { return a / b; }
};
struct Pow {
  float operator()(float a, float b) const { return std::pow(a, b); }
};
struct Min {
  float operator()(float a, float b) const { return b < a ? b : a; }
};
struct Max {
  float operator()(float a, float b) const { return a < b ? b : a; }
};

struct PRelu {
  // Without a choice that skips the product: the compiler makes a branch of one, which random signs
  // defeat.
  float operator()(float x, float slope) const {
    const float positive = x < 0 ? 0 : x, negative = x < 0 ? x : 0;
    return positive + slope * negative;
  }
};

template <class F>
void run_row(std::int64_t count, const float* a, std::int64_t pitch_a, const float* b, std::int64_t pitch_b,
             float* y) {
  const F f;
  if (pitch_a == 1 && pitch_b == 1) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = f(a[i], b[i]);
  } else if (pitch_a == 1) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = f(a[i], *b);
  } else if (pitch_b == 1) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = f(*a, b[i]);
  } else {
    std::fill_n(y, count, f(*a, *b));
  }
}

using RowFunction = void (*)(std::int64_t, const float*, std::int64_t, const float*, std::int64_t, float*);

RowFunction row_function(const graph::Op& op) {
  if (std::holds_alternative<graph::PRelu>(op)) return &run_row<PRelu>;
  switch (std::get<Binary>(op).kind) {
    case BinaryKind::add:
      return &run_row<Add>;
    case BinaryKind::sub:
      return &run_row<Sub>;
    case BinaryKind::mul:
      return &run_row<Mul>;
    case BinaryKind::div:
      return &run_row<Div>;
    case BinaryKind::pow:
      return &run_row<Pow>;
    case BinaryKind::min:
      return &run_row<Min>;
    default:
      return &run_row<Max>;
  }
}

/// Blocked tensors: lanes past the last channel.
struct Padding {
  std::int64_t images = 0, pitch = 0, blocks = 0, pixels = 0;
  int block = 0, used = 0;  ///< used lanes of the last block
};

class BinaryStep : public Step {
 public:
  BinaryStep(Walk walk, RowFunction function, bool relu, Padding padding, int threads)
      : walk_(std::move(walk)),
        function_(function),
        relu_(relu),
        padding_(padding),
        threads_(threads) {
    walk_.join();
    for (std::size_t i = 0; i + 1 < walk_.extents.size(); ++i) rows_ *= walk_.extents[i];
  }

  void set_constant(std::size_t operand, AlignedFloats values) { constants_[operand] = std::move(values); }
  void set_after(std::unique_ptr<DnnlStep> after) { after_ = std::move(after); }

  void run(const Arguments& arguments) override {
    const float* operands[2];
    for (std::size_t i = 0; i < 2; ++i) {
      operands[i] =
          constants_[i].size() > 0 ? constants_[i].data() : static_cast<const float*>(arguments.inputs[i]);
    }
    auto* y = static_cast<float*>(arguments.outputs[0]);
    const std::int64_t parts = std::min<std::int64_t>(rows_, std::int64_t{4} * threads_);
    parallel_for(parts, rows_ * walk_.extents.back() < kSmall ? 1 : threads_, [&](std::int64_t part, int) {
      run_rows(rows_ * part / parts, rows_ * (part + 1) / parts, operands, y);
    });
    clear_padding(y);
    if (after_) after_->run(arguments);
  }

 private:
  static constexpr std::int64_t kSmall = 8192;  // elements that one thread does faster

  void run_rows(std::int64_t first, std::int64_t last, const float* const* operands, float* y) const {
    const std::int64_t count = walk_.extents.back();
    for (std::int64_t row = first; row < last; ++row) {
      std::int64_t rest = row, at = 0, a = 0, b = 0;
      for (std::size_t i = walk_.extents.size() - 1; i-- > 0; rest /= walk_.extents[i]) {
        at += rest % walk_.extents[i] * walk_.y[i];
        a += rest % walk_.extents[i] * walk_.a[i];
        b += rest % walk_.extents[i] * walk_.b[i];
      }
      float* to = y + at;
      function_(count, operands[0] + a, walk_.a.back(), operands[1] + b, walk_.b.back(), to);
      if (relu_) {
        for (std::int64_t i = 0; i < count; ++i) to[i] = to[i] < 0 ? 0 : to[i];
      }
    }
  }

  void clear_padding(float* y) const {
    if (padding_.used == padding_.block) return;
    const std::int64_t plane = padding_.pixels * padding_.block;
    for (std::int64_t n = 0; n < padding_.images; ++n) {
      float* last = y + n * padding_.pitch + (padding_.blocks - 1) * plane;
      for (std::int64_t p = 0; p < padding_.pixels; ++p) {
        std::fill(last + p * padding_.block + padding_.used, last + (p + 1) * padding_.block, 0.0F);
      }
    }
  }

  Walk walk_;
  RowFunction function_;
  bool relu_;
  Padding padding_;
  int threads_;
  std::int64_t rows_ = 1;
  AlignedFloats constants_[2];
  std::unique_ptr<DnnlStep> after_;
};

graph::Activation activation_of(const graph::Op& op) {
  const auto* binary = std::get_if<Binary>(&op);
  return binary != nullptr ? binary->activation : graph::Activation{};
}

std::optional<std::string> refuse(const Problem& problem) {
  const graph::Activation activation = activation_of(problem.node.op);
  if (problem.input(0).dtype != DType::f32 || problem.input(1).dtype != DType::f32) return "not float32";
  if (activation.kind != UnaryKind::identity && !dnnl_eltwise(activation))
    return "activation not in oneDNN";
  if (element_count(problem.output_shape()) == 0) return "empty";
  return std::nullopt;
}

Cost predict(const Problem& problem) {
  const double values = static_cast<double>(element_count(problem.output_shape()));
  return predict_roofline(0, 12 * values, 1, problem.env.threads, problem.env.machine);
}

/// Layouts of output and operands; a blocked output reads blocked operands, or plain ones that have
/// a single channel.
struct Plan {
  Layout output = Layout::plain;
  Layout operands[2] = {Layout::plain, Layout::plain};
};

Plan plan_layouts(const Problem& problem) {
  Plan plan;
  const Shape& shape = problem.output_shape();
  bool blocked =
      shape.size() == 4 && (problem.existing[0] == Layout::blocked || problem.existing[1] == Layout::blocked);
  for (std::size_t i = 0; i < 2; ++i) {
    const Shape operand = with_rank(problem.input_shape(i), shape.size());
    const bool many = shape.size() == 4 && operand[1] != 1;
    if (many && problem.input_shape(i).size() != 4 && problem.constant(i) == nullptr) blocked = false;
    plan.operands[i] = many ? Layout::blocked : Layout::plain;
  }
  if (!blocked) return {};
  plan.output = Layout::blocked;
  return plan;
}

/// [N, C/B, H, W, B] of a rank-4 shape, or [N, 1, H, W, 1] for one channel.
Dims blocked_extents(const Shape& shape, Layout layout, int block) {
  if (layout == Layout::plain) return {shape[0], 1, shape[2], shape[3], 1};
  return {shape[0], divide_up(shape[1], block), shape[2], shape[3], block};
}

Walk make_walk(const Problem& problem, const Plan& plan) {
  const Shape shape =
      with_rank(problem.output_shape(), std::max<std::size_t>(1, problem.output_shape().size()));
  Dims extents = shape;
  Dims operands[2];
  for (std::size_t i = 0; i < 2; ++i) operands[i] = with_rank(problem.input_shape(i), shape.size());
  if (plan.output == Layout::blocked) {
    const int block = problem.env.block;
    extents = blocked_extents(shape, Layout::blocked, block);
    for (std::size_t i = 0; i < 2; ++i) operands[i] = blocked_extents(operands[i], plan.operands[i], block);
  }
  Walk walk{extents, pitches(extents, extents), pitches(operands[0], extents), pitches(operands[1], extents)};
  if (plan.output == Layout::blocked) {
    if (walk.y[0] != 0) walk.y[0] = problem.output_pitches[0];
    for (std::size_t i = 0; i < 2; ++i) {
      Dims& dims = i == 0 ? walk.a : walk.b;
      const bool follows = plan.operands[i] == Layout::blocked && problem.constant(i) == nullptr;
      if (follows && dims[0] != 0) dims[0] = problem.input_pitches[i];
    }
  }
  return walk;
}

Implementation build(const Problem& problem) {
  const graph::Activation activation = activation_of(problem.node.op);
  const Plan plan = plan_layouts(problem);
  const Shape& shape = problem.output_shape();
  const int block = problem.env.block;
  Padding padding;
  if (plan.output == Layout::blocked) {
    const auto blocks = divide_up(shape[1], block);
    padding = {shape[0], problem.output_pitches[0], blocks, shape[2] * shape[3], block,
               static_cast<int>(shape[1] - (blocks - 1) * block)};
  }
  const bool relu = activation.kind == UnaryKind::relu;
  auto step =
      std::make_unique<BinaryStep>(make_walk(problem, plan), row_function(problem.node.op), relu, padding,
                                   problem.env.threads);
  Implementation result;
  for (std::size_t i = 0; i < 2; ++i) {
    const Tensor* constant = problem.constant(i);
    result.inputs.push_back(constant != nullptr ? Need::none : need(plan.operands[i]));
    if (constant == nullptr) continue;
    const auto from = plain_desc(with_rank(constant->shape(), shape.size()));
    const bool blocked = plan.operands[i] == Layout::blocked;
    const auto to = blocked ? blocked_desc(with_rank(constant->shape(), 4), block) : from;
    step->set_constant(i, reorder_constant(constant->data<float>().data(), from, to));
  }
  if (!relu && activation.kind != UnaryKind::identity) {
    auto after = eltwise_after(problem, *dnnl_eltwise(activation), plan.output);
    result.workspace_bytes = after->workspace_bytes();
    step->set_after(std::move(after));
  }
  for (std::size_t i = 2; i-- > 0;) {
    const bool same =
        problem.input_shape(i) == shape && plan.operands[i] == plan.output && problem.constant(i) == nullptr;
    if (same) result.in_place = static_cast<int>(i);
  }
  result.name = std::holds_alternative<Binary>(problem.node.op) ? "cpu:binary" : "cpu:prelu";
  result.output = plan.output;
  result.pitched = true;
  result.step = std::move(step);
  return result;
}

}  // namespace

Kernel binary_kernel() {
  return {"cpu:binary", &refuse, &predict, &build};
}
Kernel prelu_kernel() {
  return {"cpu:prelu", &refuse, &predict, &build};
}

}  // namespace wins::runtime::cpu

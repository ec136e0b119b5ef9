#include "wins/runtime/problem.hpp"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "wins/base/error.hpp"

namespace wins::runtime {
namespace {

using graph::UnaryKind;

/// Spellings of fused activations.
constexpr std::pair<UnaryKind, std::string_view> kActivations[] = {
    {UnaryKind::relu, "relu"},       {UnaryKind::clip, "clip"},
    {UnaryKind::leaky_relu, "leaky_relu"}, {UnaryKind::sigmoid, "sigmoid"},
    {UnaryKind::tanh, "tanh"},       {UnaryKind::hard_swish, "hard_swish"},
    {UnaryKind::hard_sigmoid, "hard_sigmoid"}, {UnaryKind::elu, "elu"},
    {UnaryKind::silu, "silu"},       {UnaryKind::gelu, "gelu"},
    {UnaryKind::gelu_tanh, "gelu_tanh"}, {UnaryKind::softplus, "softplus"},
    {UnaryKind::mish, "mish"},       {UnaryKind::erf, "erf"},
    {UnaryKind::exp, "exp"},         {UnaryKind::log, "log"},
    {UnaryKind::sqrt, "sqrt"},       {UnaryKind::reciprocal, "reciprocal"},
    {UnaryKind::neg, "neg"},         {UnaryKind::abs, "abs"},
    {UnaryKind::floor, "floor"},     {UnaryKind::ceil, "ceil"},
};

constexpr std::pair<winograd::Axis, std::string_view> kAxes[] = {
    {winograd::Axis::row, "rows"}, {winograd::Axis::column, "cols"}, {winograd::Axis::element, "elems"}};

std::string_view name_of_activation(UnaryKind kind) {
  for (const auto& [value, name] : kActivations) {
    if (value == kind) return name;
  }
  return "identity";
}

std::string_view name_of_axis(winograd::Axis axis) {
  for (const auto& [value, name] : kAxes) {
    if (value == axis) return name;
  }
  return "rows";
}

/// "oh56" or "oh56ow28"; nothing when both have the default value.
std::string pair_text(char prefix, char suffix_h, char suffix_w, std::int64_t h, std::int64_t w,
                      std::int64_t standard) {
  if (h == standard && w == standard) return {};
  const auto field = [prefix](char suffix, std::int64_t value) {
    return prefix != 0 ? fmt::format("{}{}{}", prefix, suffix, value) : fmt::format("{}{}", suffix, value);
  };
  return h == w ? field(suffix_h, h) : field(suffix_h, h) + field(suffix_w, w);
}

std::string axes_text(char prefix, std::int64_t h, std::int64_t w, std::int64_t standard = -1) {
  return pair_text(prefix, 'h', 'w', h, w, standard);
}

std::string epilogue_text(const ConvProblem& problem) {
  std::string text;
  const auto add = [&text](std::string_view word) { text += (text.empty() ? "" : "+") + std::string(word); };
  if (problem.bias) add("bias");
  if (problem.residual) add("residual");
  if (problem.activation != UnaryKind::identity) add(name_of_activation(problem.activation));
  return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/// Reads one problem; remembers the whole text for messages.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  ConvProblem parse() {
    const auto parts = split(text_, ':');
    read_fields(parts[0]);
    for (std::size_t i = 1; i < parts.size(); ++i) read_part(parts[i]);
    fill_defaults();
    check();
    return problem_;
  }

 private:
  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail("convolution problem '{}': {}", text_, fmt::format(format, std::forward<Args>(args)...));
  }

  std::int64_t number(std::string_view digits) const {
    std::int64_t value = 0;
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (status != std::errc() || end != digits.data() + digits.size() || value < 0 || value > 1'000'000'000) {
      refuse("'{}' is not a number in range", digits);
    }
    return value;
  }

  void read_fields(std::string_view rest) {
    constexpr std::string_view kDigits = "0123456789";
    while (!rest.empty()) {
      const std::size_t begin = std::min(rest.find_first_of(kDigits), rest.size());
      const std::size_t end = std::min(rest.find_first_not_of(kDigits, begin), rest.size());
      set(rest.substr(0, begin), number(rest.substr(begin, end - begin)));
      rest.remove_prefix(end);
    }
  }

  void set(std::string_view key, std::int64_t value) {
    const std::pair<std::string_view, std::int64_t*> fields[] = {
        {"mb", &problem_.batch},        {"g", &problem_.groups},
        {"ic", &problem_.in_channels},  {"ih", &problem_.in_height},
        {"iw", &problem_.in_width},     {"oc", &problem_.out_channels},
        {"oh", &problem_.out_height},   {"ow", &problem_.out_width},
        {"kh", &problem_.kernel[0]},    {"kw", &problem_.kernel[1]},
        {"sh", &problem_.stride[0]},    {"sw", &problem_.stride[1]},
        {"dh", &problem_.dilation[0]},  {"dw", &problem_.dilation[1]},
        {"ph", &problem_.pads[0]},      {"pw", &problem_.pads[1]},
        {"eh", &problem_.pads[2]},      {"ew", &problem_.pads[3]},
    };
    for (const auto& [name, target] : fields) {
      if (name != key) continue;
      if (!given_.insert(std::string(key)).second) refuse("'{}' stands twice", key);
      *target = key == "dh" || key == "dw" ? value + 1 : value;
      return;
    }
    refuse("unknown field '{}'", key);
  }

  void read_part(std::string_view part) {
    if (part.size() > 1 && part[0] == 'm' && part[1] >= '0' && part[1] <= '9') {
      if (!given_.insert("m").second) refuse("'m' stands twice");
      problem_.m = static_cast<int>(number(part.substr(1)));
      return;
    }
    for (const auto& [axis, name] : kAxes) {
      if (!part.starts_with(name)) continue;
      if (!problem_.kept.empty()) refuse("'{}' stands twice", name);
      problem_.axis = axis;
      for (const auto digits : split(part.substr(name.size()), '.')) problem_.kept.push_back(number(digits));
      return;
    }
    for (const auto word : split(part, '+')) read_word(word);
  }

  void read_word(std::string_view word) {
    if (word == "bias") problem_.bias = true;
    else if (word == "residual") problem_.residual = true;
    else {
      for (const auto& [kind, name] : kActivations) {
        if (name != word) continue;
        problem_.activation = kind;
        return;
      }
      refuse("unknown part '{}'", word);
    }
  }

  bool has(const char* key) const { return given_.contains(key); }

  /// Output extent of one axis, 0 when the window does not fit.
  static std::int64_t out_extent(const ConvProblem& p, std::size_t d, std::int64_t in) {
    const std::int64_t room = in + p.pads[d] + p.pads[d + 2] - (p.kernel[d] - 1) * p.dilation[d] - 1;
    return room < 0 ? 0 : room / p.stride[d] + 1;
  }

  void fill_defaults() {
    for (const char* key : {"ic", "ih", "oc", "kh"}) {
      if (!has(key)) refuse("'{}' is missing", key);
    }
    const auto copy = [this](const char* key, std::int64_t& target, std::int64_t value) {
      if (!has(key)) target = value;
    };
    copy("iw", problem_.in_width, problem_.in_height);
    copy("kw", problem_.kernel[1], problem_.kernel[0]);
    copy("sw", problem_.stride[1], problem_.stride[0]);
    copy("dw", problem_.dilation[1], problem_.dilation[0]);
    copy("pw", problem_.pads[1], problem_.pads[0]);
    if (has("eh")) copy("ew", problem_.pads[3], problem_.pads[2]);
    copy("eh", problem_.pads[2], problem_.pads[0]);
    copy("ew", problem_.pads[3], problem_.pads[1]);
  }

  void check() {
    ConvProblem& p = problem_;
    for (const std::int64_t value : {p.batch, p.groups, p.in_channels, p.out_channels, p.kernel[0], p.kernel[1],
                                     p.stride[0], p.stride[1], p.in_height, p.in_width}) {
      if (value < 1) refuse("every extent must be positive");
    }
    if (p.in_channels % p.groups != 0 || p.out_channels % p.groups != 0) {
      refuse("{} and {} channels do not split into {} groups", p.in_channels, p.out_channels, p.groups);
    }
    const std::int64_t height = out_extent(p, 0, p.in_height);
    const std::int64_t width = out_extent(p, 1, p.in_width);
    if (height < 1 || width < 1) refuse("the kernel does not fit the padded input");
    const bool wrong_height = has("oh") && p.out_height != height;
    const bool wrong_width = has("ow") ? p.out_width != width : has("oh") && p.out_height != width;
    if (wrong_height || wrong_width) refuse("the output is {} x {}, not as written", height, width);
    p.out_height = height;
    p.out_width = width;
    check_winograd();
  }

  void check_winograd() const {
    const ConvProblem& p = problem_;
    if (p.m == 0 && !p.kept.empty()) refuse("kept units need a tile 'm'");
    if (p.m == 0) return;
    const std::int64_t stride = p.stride[0];
    const bool plain = stride == p.stride[1] && p.dilation == std::array<std::int64_t, 2>{1, 1} && p.groups == 1;
    const bool tile = stride == 1 ? p.m + p.kernel[0] - 1 <= 10 : stride == 2 && p.m == 2 && p.kernel[0] == 3;
    if (!plain || p.kernel[0] != p.kernel[1] || !tile) {
      refuse("no Winograd tile {} for this kernel, stride, dilation and groups", p.m);
    }
    if (p.kept.empty()) return;
    const std::int64_t side = (p.m - 1) * stride + p.kernel[0];
    const std::int64_t units = p.axis == winograd::Axis::row      ? p.out_channels
                               : p.axis == winograd::Axis::column ? p.in_channels
                                                                  : p.out_channels * p.in_channels;
    if (static_cast<std::int64_t>(p.kept.size()) != side * side) refuse("{} positions are needed", side * side);
    for (const std::int64_t kept : p.kept) {
      if (kept > units) refuse("{} units kept of {}", kept, units);
    }
  }

  std::string_view text_;
  ConvProblem problem_;
  std::set<std::string> given_;
};

const Shape& concrete_shape(const graph::Graph& graph, const graph::Node& node, graph::ValueId id) {
  const auto& shape = graph.value(id).shape;
  require(shape.has_value(), "node '{}': shape of '{}' is unknown", node.name, graph.value(id).name);
  for (const std::int64_t extent : *shape) {
    require(extent >= 0, "node '{}': shape {} of '{}' is not concrete", node.name, to_string(*shape),
            graph.value(id).name);
  }
  return *shape;
}

void set_winograd(const graph::WinogradConv& op, ConvProblem& problem) {
  problem.m = op.m;
  problem.kernel = {op.r, op.r};
  problem.stride = {op.stride, op.stride};
  problem.pads = op.pads;
  problem.activation = op.activation.kind;
  problem.axis = op.mask.axis;
  if (op.mask.kept_total() == op.mask.units() * op.mask.positions) return;
  for (int xi = 0; xi < op.mask.positions; ++xi) problem.kept.push_back(op.mask.kept_in(xi));
}

}  // namespace

std::int64_t ConvProblem::direct_macs() const {
  return batch * out_channels * out_height * out_width * (in_channels / groups) * kernel[0] * kernel[1];
}

std::string text_of(const ConvProblem& p) {
  std::string text = fmt::format("mb{}", p.batch);
  if (p.groups != 1) text += fmt::format("g{}", p.groups);
  text += fmt::format("ic{}", p.in_channels) + axes_text('i', p.in_height, p.in_width);
  text += fmt::format("oc{}", p.out_channels) + axes_text('o', p.out_height, p.out_width);
  text += axes_text('k', p.kernel[0], p.kernel[1]) + axes_text('s', p.stride[0], p.stride[1], 1);
  text += axes_text('d', p.dilation[0] - 1, p.dilation[1] - 1, 0) + axes_text('p', p.pads[0], p.pads[1], 0);
  if (p.pads[0] != p.pads[2] || p.pads[1] != p.pads[3]) text += axes_text('e', p.pads[2], p.pads[3]);
  if (p.m > 0) text += fmt::format(":m{}", p.m);
  for (std::size_t i = 0; i < p.kept.size(); ++i) {
    text += i == 0 ? fmt::format(":{}{}", name_of_axis(p.axis), p.kept[i]) : fmt::format(".{}", p.kept[i]);
  }
  const std::string epilogue = epilogue_text(p);
  return epilogue.empty() ? text : text + ":" + epilogue;
}

ConvProblem parse_conv_problem(std::string_view text) { return Parser(text).parse(); }

ConvProblem conv_problem(const graph::Graph& graph, const graph::Node& node) {
  const auto* conv = node.as<graph::Conv>();
  const auto* winograd = node.as<graph::WinogradConv>();
  require(conv != nullptr || winograd != nullptr, "node '{}' ({}) is not a convolution", node.name,
          graph::op_name(node.op));
  const Shape& x = concrete_shape(graph, node, node.input(0));
  const Shape& y = concrete_shape(graph, node, node.outputs.at(0));
  require(x.size() == 4 && y.size() == 4, "node '{}': a convolution needs rank 4, not {} and {}", node.name,
          to_string(x), to_string(y));
  ConvProblem problem;
  problem.batch = x[0];
  problem.in_channels = x[1];
  problem.in_height = x[2];
  problem.in_width = x[3];
  problem.out_channels = y[1];
  problem.out_height = y[2];
  problem.out_width = y[3];
  problem.bias = node.input(2) != graph::kNone;
  problem.residual = node.input(3) != graph::kNone;
  if (winograd != nullptr) {
    set_winograd(*winograd, problem);
  } else {
    problem.groups = conv->group;
    problem.kernel = conv->window.kernel;
    problem.stride = conv->window.stride;
    problem.dilation = conv->window.dilation;
    problem.pads = conv->window.pads;
    problem.activation = conv->activation.kind;
  }
  return problem;
}

std::string problem_text(const graph::Graph& graph, const graph::Node& node) {
  if (node.as<graph::Conv>() != nullptr || node.as<graph::WinogradConv>() != nullptr) {
    return text_of(conv_problem(graph, node));
  }
  const auto shapes = [&](const std::vector<graph::ValueId>& ids) {
    std::string text;
    for (const graph::ValueId id : ids) {
      if (id == graph::kNone) continue;
      const auto& shape = graph.value(id).shape;
      text += (text.empty() ? "" : ",") + (shape ? wins::to_string(*shape) : std::string("?"));
    }
    return text;
  };
  return shapes(node.inputs) + "->" + shapes(node.outputs);
}

}  // namespace wins::runtime

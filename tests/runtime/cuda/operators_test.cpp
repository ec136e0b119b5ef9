// Operators that compute, on the GPU, against the float64 reference.
#include <cmath>
#include <random>

#include "operator_net.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cuda_test {
namespace {

// ---- convolutions ----------------------------------------------------------------------------------

TEST_F(Operators, DirectConvolution) {
  struct Case {
    std::int64_t c, k;
    std::array<std::int64_t, 2> kernel, stride, dilation;
    std::array<std::int64_t, 4> pads;
    std::int64_t group;
  };
  for (const Case& t : {Case{16, 24, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 1},
                        {19, 21, {5, 3}, {2, 1}, {1, 2}, {2, 0, 1, 3}, 1},
                        {12, 18, {3, 3}, {1, 2}, {2, 1}, {1, 2, 0, 1}, 3},
                        {19, 19, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, 19},
                        {3, 7, {1, 1}, {3, 3}, {1, 1}, {0, 0, 0, 0}, 1}}) {
    for (const std::int64_t n : kBatches) {
      for (const bool residual : {false, true}) {
        Net net(wins::Shape{n, t.c, 13, 12});
        Conv conv;
        conv.window = {t.kernel, t.stride, t.dilation, t.pads, {}};
        conv.group = t.group;
        conv.activation = {UnaryKind::relu, 0, 0};
        std::vector<ValueId> inputs{net.x, net.constant({t.k, t.c / t.group, t.kernel[0], t.kernel[1]}), net.constant({t.k}, 5)};
        if (residual) {
          const std::int64_t h = (13 + t.pads[0] + t.pads[2] - t.dilation[0] * (t.kernel[0] - 1) - 1) / t.stride[0] + 1;
          const std::int64_t w = (12 + t.pads[1] + t.pads[3] - t.dilation[1] * (t.kernel[1] - 1) - 1) / t.stride[1] + 1;
          inputs.push_back(net.input(wins::Shape{n, t.k, h, w}));
        }
        net.force_kernel = "cuda:direct";
        net.check(conv, inputs, "cuda:direct");
      }
    }
  }
}

/// Tiles that are not full, one and several blocks for a part of the sum, whole lines and the units at their ends.
TEST_F(Operators, ImplicitProduct) {
  struct Case {
    std::int64_t n, c, h, k, kernel, stride, pad;
  };
  for (const Case& t : {Case{1, 512, 7, 512, 3, 1, 1}, {1, 300, 14, 67, 1, 1, 0}, {3, 19, 13, 21, 3, 2, 1}, {2, 3, 37, 64, 7, 2, 3}, {1, 64, 45, 19, 1, 2, 0},
                        {3, 40, 23, 200, 3, 1, 0}, {1, 1024, 5, 30, 1, 1, 0}}) {
    for (const bool residual : {false, true}) {
      for (const UnaryKind kind : {UnaryKind::relu, UnaryKind::clip, UnaryKind::tanh}) {
        Net net(wins::Shape{t.n, t.c, t.h, t.h + 1});
        Conv conv;
        conv.window = {{t.kernel, t.kernel}, {t.stride, t.stride}, {1, 1}, {t.pad, t.pad, t.pad, t.pad}, {}};
        conv.activation = {kind, 0.25F, 2};
        const float deviation = 1 / std::sqrt(static_cast<float>(t.c * t.kernel * t.kernel));
        std::vector<ValueId> inputs{net.x, net.constant(random_normal({t.k, t.c, t.kernel, t.kernel}, 9, deviation)), net.constant({t.k}, 5)};
        const auto out = [&](std::int64_t size) { return (size + 2 * t.pad - t.kernel) / t.stride + 1; };
        if (residual) inputs.push_back(net.input(wins::Shape{t.n, t.k, out(t.h), out(t.h + 1)}));
        net.force_kernel = "cuda:implicit";
        net.check(conv, inputs, "cuda:implicit_*");
      }
    }
  }
}

/// x -> norm -> (ReLU) -> convolution, whose inputs are appended to.
ValueId add_norm(Net& net, std::int64_t channels, bool relu) {
  const ValueId variance = net.constant(exact_positive({channels}, 8));
  const ValueId norm = net.graph.add_node("norm", BatchNorm{}, {net.x, net.constant({channels}, 1), net.constant({channels}, 2), net.constant({channels}, 3), variance});
  return relu ? net.graph.add_node("relu", Unary{{UnaryKind::relu, 0, 0}}, {norm}) : norm;
}

TEST_F(Operators, BatchNormRunsInsideTheImplicitProduct) {
  struct Case {
    std::int64_t n, c, k, stride;
  };
  for (const Case& t : {Case{1, 16, 24, 1}, {3, 19, 21, 1}, {2, 130, 128, 1}, {1, 1000, 33, 1}, {3, 67, 40, 2}, {1, 3, 5, 1}}) {
    for (const bool relu : {false, true}) {
      Net net(wins::Shape{t.n, t.c, 13, 12});
      Conv conv;
      conv.window = {{1, 1}, {t.stride, t.stride}, {1, 1}, {0, 0, 0, 0}, {}};
      conv.activation = {UnaryKind::relu, 0, 0};
      const ValueId before = add_norm(net, t.c, relu);
      net.force_kernel = "cuda:implicit";
      net.check(conv, {before, net.constant({t.k, t.c, 1, 1}), net.constant({t.k}, 5)}, relu ? "cuda:implicit_*+norm+relu" : "cuda:implicit_*+norm");
    }
  }
}

/// A pad is zero behind the batch norm, not before it.
TEST_F(Operators, BatchNormStaysOutsideWherePadsWouldBeShifted) {
  for (const std::int64_t kernel : {1, 3}) {
    Net net(wins::Shape{2, 19, 13, 12});
    Conv conv;
    conv.window = {{kernel, kernel}, {1, 1}, {1, 1}, {1, 1, 1, 1}, {}};
    const ValueId before = add_norm(net, 19, true);
    net.force_kernel = "cuda:implicit";
    net.check(conv, {before, net.constant({21, 19, kernel, kernel}), net.constant({21}, 5)}, "cuda:implicit_*");
    const Plan plan = net.plan();
    EXPECT_EQ(kernel_of(plan, "norm"), "cuda:scale_shift") << plan.text();
  }
}

/// U of random kernels with about half of the mask's entries kept.
ValueId pruned_weights(Net& net, WinogradConv& op, winograd::Axis axis, std::int64_t k, std::int64_t c) {
  const winograd::Algorithm& algorithm = winograd::algorithm(op.m, op.r, op.stride);
  Tensor U = winograd::transform_weights(algorithm, random_normal({k, c, op.r, op.r}, 9, 0.1F));
  op.mask = winograd::Mask::full(axis, algorithm.positions(), k, c);
  std::mt19937 random(3);
  for (std::uint8_t& keep : op.mask.keep) keep = random() % 2;
  const auto values = U.mutable_data<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    if (!op.mask.weight_kept(static_cast<int>(at / c / k), at / c % k, at % c)) values[i] = 0;
  }
  return net.constant(std::move(U));
}

TEST_F(Operators, DirectWinograd) {
  struct Case {
    int m, r, stride;
    winograd::Axis axis;
  };
  for (const Case& t : {Case{2, 3, 1, winograd::Axis::row}, {4, 3, 1, winograd::Axis::column}, {6, 3, 1, winograd::Axis::element},
                        {2, 3, 2, winograd::Axis::element}, {3, 5, 1, winograd::Axis::row}}) {
    for (const std::int64_t n : kBatches) {
      for (const bool residual : {false, true}) {
        Net net(wins::Shape{n, 11, 13, 16});
        WinogradConv op;
        op.m = t.m;
        op.r = t.r;
        op.stride = t.stride;
        op.pads = {1, 0, 2, 1};
        op.activation = {UnaryKind::relu, 0, 0};
        std::vector<ValueId> inputs{net.x, pruned_weights(net, op, t.axis, 13, 11), net.constant({13}, 5)};
        const winograd::Algorithm& algorithm = winograd::algorithm(t.m, t.r, t.stride);
        if (residual) inputs.push_back(net.input(wins::Shape{n, 13, algorithm.outputs(16), algorithm.outputs(17)}));
        net.force_kernel = "cuda:direct_winograd";
        net.check(op, inputs, "cuda:direct_winograd");
      }
    }
  }
}

/// The list of layers has no strided ones.
TEST_F(Operators, StagedWinograd) {
  struct Case {
    int m, stride;
    std::int64_t k, c;
  };
  for (const Case& t : {Case{2, 1, 13, 11}, {4, 1, 13, 11}, {2, 2, 13, 11}, {2, 2, 64, 40}, {4, 1, 70, 33}, {2, 1, 300, 100}, {2, 1, 70, 211}, {4, 1, 290, 72}}) {
    for (const std::int64_t n : kBatches) {
      for (const bool residual : {false, true}) {
        Net net(wins::Shape{n, t.c, 13, 16});
        WinogradConv op;
        op.m = t.m;
        op.stride = t.stride;
        op.pads = {1, 0, 2, 1};
        op.activation = {residual ? UnaryKind::clip : UnaryKind::hard_swish, 0.25F, 6};
        std::vector<ValueId> inputs{net.x, pruned_weights(net, op, winograd::Axis::row, t.k, t.c), net.constant({t.k}, 5)};
        const winograd::Algorithm& algorithm = winograd::algorithm(t.m, 3, t.stride);
        if (residual) inputs.push_back(net.input(wins::Shape{n, t.k, algorithm.outputs(16), algorithm.outputs(17)}));
        net.force_kernel = "cuda:winograd_staged";
        net.check(op, inputs, "cuda:winograd_staged_m" + std::to_string(t.m) + "x1");
      }
    }
  }
}

TEST_F(Operators, WinogradByTheConvolutionThatItEquals) {
  for (const int stride : {1, 2}) {
    for (const winograd::Axis axis : {winograd::Axis::row, winograd::Axis::column, winograd::Axis::element}) {
      for (const std::int64_t n : kBatches) {
        Net net(wins::Shape{n, 11, 13, 16});
        WinogradConv op;
        op.m = 2;
        op.stride = stride;
        op.pads = {1, 0, 2, 1};
        op.activation = {UnaryKind::clip, 0.25F, 6};
        std::vector<ValueId> inputs{net.x, pruned_weights(net, op, axis, 13, 11), net.constant({13}, 5)};
        const winograd::Algorithm& algorithm = winograd::algorithm(2, 3, stride);
        if (stride == 1) inputs.push_back(net.input(wins::Shape{n, 13, algorithm.outputs(16), algorithm.outputs(17)}));
        net.force_kernel = "cuda:equivalent";
        net.check(op, inputs, "cuda:equivalent_*");
      }
    }
  }
}

Pool pool_of_two() {
  Pool pool;
  pool.window.kernel = pool.window.stride = {2, 2};
  return pool;
}

TEST_F(Operators, StagedWinogradWithAPool) {
  struct Case {
    int m;
    std::int64_t k, c, height, width;  ///< of the output of the convolution
  };
  for (const Case& t : {Case{2, 13, 11, 13, 16}, {4, 13, 11, 13, 16}, {2, 70, 40, 28, 2}, {4, 40, 70, 2, 31}, {2, 64, 64, 56, 37}, {4, 130, 64, 21, 44}}) {
    for (const std::int64_t n : kBatches) {
      for (const UnaryKind activation : {UnaryKind::identity, UnaryKind::relu, UnaryKind::clip}) {
        Net net(wins::Shape{n, t.c, t.height, t.width});
        WinogradConv op;
        op.m = t.m;
        op.activation = {activation, 0.25F, 1.5F};
        std::vector<ValueId> inputs{net.x, pruned_weights(net, op, winograd::Axis::row, t.k, t.c), net.constant({t.k}, 5)};
        if (activation != UnaryKind::relu) inputs.push_back(net.input(wins::Shape{n, t.k, t.height, t.width}));
        net.pool = pool_of_two();
        net.force_kernel = "cuda:winograd_staged";
        net.check(op, inputs, "cuda:winograd_staged_m" + std::to_string(t.m) + "x1+max_pool");
      }
    }
  }
}

TEST_F(Operators, StagedWinogradLeavesOtherPoolsAlone) {
  std::vector<Pool> pools(5, pool_of_two());
  pools[0].window.kernel = {3, 3};
  pools[1].window.stride = {2, 1};
  pools[2].window.pads = {0, 0, 1, 1};
  pools[3].ceil_mode = true;
  pools[4].kind = Pool::Kind::average;
  for (std::size_t i = 0; i <= pools.size(); ++i) {
    Net net(wins::Shape{2, 20, 13, 16});
    WinogradConv op;
    // Other activations are steps of their own, which a pool must not come before.
    op.activation = {i < pools.size() ? UnaryKind::relu : UnaryKind::hard_swish, 0, 0};
    const ValueId weights = pruned_weights(net, op, winograd::Axis::row, 24, 20);
    net.pool = i < pools.size() ? pools[i] : pool_of_two();
    net.force_kernel = "cuda:winograd_staged";
    net.check(op, {net.x, weights}, "cuda:winograd_staged_m2x1");
  }
}

TEST_F(Operators, StagedWinogradPoolsNanToNan) {
  Tensor x = random_normal({1, 16, 12, 12}, 3);
  x.mutable_data<float>()[5 * 12 + 5] = std::nanf("");
  Net net(x);
  WinogradConv op;
  op.activation = {UnaryKind::relu, 0, 0};
  const ValueId weights = pruned_weights(net, op, winograd::Axis::row, 16, 16);
  const ValueId conv = net.graph.add_node("op", op, {net.x, weights});
  net.graph.outputs = {net.graph.add_node("pool", pool_of_two(), {conv})};
  SessionOptions options;
  options.backend = "cuda";
  options.force_kernel = "cuda:winograd_staged";
  const Tensor y = Session::open(net.graph, options).run({x}).at(0);
  for (std::size_t k = 0; k < 16; ++k) {
    EXPECT_TRUE(std::isnan(y.data<float>()[k * 36 + 2 * 6 + 2])) << k;
    EXPECT_FALSE(std::isnan(y.data<float>()[k * 36])) << k;
  }
}

TEST_F(Operators, ConvTranspose) {
  for (const std::int64_t n : kBatches) {
    for (const std::int64_t group : {1, 2}) {
      for (const std::int64_t c : {16, 10}) {
        Net net(wins::Shape{n, c, 7, 9});
        ConvTranspose op;
        op.window = {{3, 2}, {2, 3}, {1, 2}, {1, 0, 0, 1}, {}};
        op.group = group;
        op.output_padding = {1, 0};
        net.check(op, {net.x, net.constant({c, 9, 3, 2}), net.constant({9 * group}, 5)}, "cuda:deconvolution");
      }
    }
    Net same(wins::Shape{n, 5, 6, 7});
    ConvTranspose op;
    op.window = {{3, 3}, {2, 2}, {1, 1}, {}, AutoPad::same_upper};
    same.check(op, {same.x, same.constant({5, 3, 3, 3})}, "cuda:deconvolution");
  }
}

// ---- reductions -----------------------------------------------------------------------------

TEST_F(Operators, Reduce) {
  const std::vector<std::int64_t> sets[] = {{2, 3}, {1}, {-1}, {0, 2}, {1, 2, 3}, {0}, {0, 1, 2, 3}, {2}};
  for_each_image([&](std::int64_t n, std::int64_t c) {
    for (const auto kind : {Reduce::Kind::mean, Reduce::Kind::sum, Reduce::Kind::max, Reduce::Kind::min, Reduce::Kind::l2}) {
      for (const auto& axes : sets) {
        for (const bool keep : {false, true}) {
          Net net(exact_positive({n, c, kHeight, kWidth}, 1));
          net.check(Reduce{kind, keep, false}, {net.x, net.integers(axes)}, "cuda:reduce");
        }
      }
      Net all(exact_positive({n, c, kHeight, kWidth}, 1));
      all.check(Reduce{kind, false, false}, {all.x}, "cuda:reduce");
      Net image(exact_positive({n, c, 2, 5, 3}, 1));  // gives an image
      image.check(Reduce{kind, false, false}, {image.x, image.integers({2})}, "cuda:reduce");
    }
  });
  Net none(wins::Shape{3, 5, 4, 3});
  none.check(Reduce{Reduce::Kind::l2, true, true}, {none.x}, "cuda:reduce");
  Net large(exact_positive({5, 3001}, 1));
  large.check(Reduce{Reduce::Kind::mean, true, false}, {large.x, large.integers({1})}, "cuda:reduce");
}

// ---- element by element ----------------------------------------------------------------------------

TEST_F(Operators, Unary) {
  using enum UnaryKind;
  for (const wins::Shape& shape : {wins::Shape{1, 16, 5, 7}, {3, 19, 5, 7}, {1, 3, 1, 1}, {37}, {3, 5, 11}, {}}) {
    for (const UnaryKind kind : {relu, clip, leaky_relu, sigmoid, tanh, hard_swish, hard_sigmoid, elu, silu, gelu, gelu_tanh, softplus, mish,
                                 erf, exp, log, sqrt, reciprocal, neg, abs, floor, ceil}) {
      const bool positive = kind == log || kind == sqrt || kind == reciprocal || shape.size() < 2;
      const Activation f = kind == clip           ? Activation{kind, 0.25F, 1.5F}
                           : kind == hard_sigmoid ? Activation{kind, 0.25F, 0.5F}
                                                  : Activation{kind, 0.25F, 0};
      Net net(positive ? exact_positive(shape, 1) : exact_normal(shape, 1));
      net.check(Unary{f}, {net.x}, "cuda:unary");
    }
  }
}

TEST_F(Operators, BinaryWithConstants) {
  for_each_image([](std::int64_t n, std::int64_t c) {
    const wins::Shape shapes[] = {{1, c, 1, 1}, {c, 1, 1}, {1}, {}, {7}, {5, 1}, {1, 1, 5, 7}, {n, c, 5, 7}, {n, 1, 1, 1}, {n, c, 1, 1}};
    for (const wins::Shape& shape : shapes) {
      for (const BinaryKind kind :
           {BinaryKind::add, BinaryKind::sub, BinaryKind::mul, BinaryKind::div, BinaryKind::pow, BinaryKind::min, BinaryKind::max}) {
        for (const bool first : {false, true}) {
          Net net(exact_positive({n, c, 5, 7}, 1));
          const ValueId other = net.constant(exact_positive(shape, 2));
          net.check(Binary{kind, {UnaryKind::leaky_relu, 0.5F, 0}}, first ? std::vector{other, net.x} : std::vector{net.x, other}, "cuda:binary");
        }
      }
    }
  });
}

TEST_F(Operators, BinaryOfTwoTensors) {
  for_each_image([](std::int64_t n, std::int64_t c) {
    for (const wins::Shape& shape : {wins::Shape{n, c, 5, 7}, {n, c, 1, 1}, {1, c, 1, 1}, {c, 5, 7}, {n, 1, 5, 1}, {1, 1, 1, 1}, {2, 1, 1, 1, 1}}) {
      Net net(wins::Shape{n, c, 5, 7});
      net.check(Binary{BinaryKind::mul, {}}, {net.input(shape), net.x}, "cuda:binary");
    }
    Net both(wins::Shape{n, 1, 5, 1});  // neither has the output's shape
    both.check(Binary{}, {both.x, both.input(wins::Shape{c, 1, 7})}, "cuda:binary");
    Net flat(wins::Shape{n, c, 5});
    flat.check(Binary{}, {flat.x, flat.input(wins::Shape{5})}, "cuda:binary");
    Net same(wins::Shape{n, c, 5});
    same.check(Binary{}, {same.x, same.input(wins::Shape{n, c, 5})}, "cuda:binary");
  });
}

TEST_F(Operators, PowerOfIntegers) {
  Net net(exact_normal({3, 5, 4, 3}, 1));
  net.check(Binary{BinaryKind::pow, {}}, {net.x, net.graph.add_constant("e", Tensor::scalar<std::int64_t>(2))}, "cuda:binary");
}

TEST_F(Operators, PRelu) {
  for_each_image([](std::int64_t n, std::int64_t c) {
    for (const wins::Shape& slope : {wins::Shape{c, 1, 1}, {1}, {}, {1, c, 1, 1}, {kWidth}, {c, kHeight, kWidth}}) {
      Net net(wins::Shape{n, c, kHeight, kWidth});
      net.check(PRelu{}, {net.x, net.constant(slope)}, "cuda:prelu");
    }
    Net computed(wins::Shape{n, c, kHeight, kWidth});
    computed.check(PRelu{}, {computed.x, computed.input(wins::Shape{n, c, 1, 1})}, "cuda:prelu");
  });
}

TEST_F(Operators, BatchNorm) {
  for_each_image([](std::int64_t n, std::int64_t c) {
    for (const wins::Shape& shape : {wins::Shape{n, c, 5, 7}, {n, c}, {n, c, 5}}) {
      Net net(shape);
      const ValueId variance = net.constant(exact_positive({c}, 8));
      net.check(BatchNorm{}, {net.x, net.constant({c}, 1), net.constant({c}, 2), net.constant({c}, 3), variance}, "cuda:scale_shift");
    }
  });
}

/// What follows reads the channels that fill the last unit, which must be zero again.
TEST_F(Operators, FilledChannelsStayZero) {
  for (const UnaryKind kind : {UnaryKind::sigmoid, UnaryKind::exp, UnaryKind::clip}) {
    Net net(wins::Shape{1, 19, 5, 7});
    const ValueId y = net.graph.add_node("unary", Unary{{kind, 0.5F, 2.0F}}, {net.x});
    const ValueId sum = net.graph.add_node("sum", Binary{}, {y, net.constant({5, 1})});
    net.check(GlobalPool{}, {sum}, "cuda:global_pool");
  }
}

// ---- along axes ------------------------------------------------------------------------------------

TEST_F(Operators, Softmax) {
  for (const bool log : {false, true}) {
    for_each_image([&](std::int64_t n, std::int64_t c) {
      for (const std::int64_t axis : {0, 1, 2, -1}) {
        Net net(wins::Shape{n, c, kHeight, kWidth});
        net.check(Softmax{axis, log}, {net.x}, "cuda:softmax");
      }
    });
    for (const wins::Shape& shape : {wins::Shape{3, 1000}, {2, 2500}, {5}, {2, 3, 7}, {1, 1030, 2, 1}}) {
      Net net(shape);
      net.check(Softmax{shape.size() == 4 ? 1 : -1, log}, {net.x}, "cuda:softmax");
    }
  }
}

TEST_F(Operators, Lrn) {
  for_each_image([](std::int64_t n, std::int64_t c) {
    for (const std::int64_t size : {5, 2, 1}) {
      for (const wins::Shape& shape : {wins::Shape{n, c, 5, 7}, {n, c, 5}}) {
        Net net(shape);
        net.check(Lrn{size, 1e-2F, 0.75F, 2}, {net.x}, "cuda:lrn");
      }
    }
  });
}

TEST_F(Operators, LayerNorm) {
  for_each_image([](std::int64_t n, std::int64_t c) {
    for (const std::int64_t axis : {-1, 2, 1}) {
      wins::Shape normalised{c, kHeight, kWidth};
      normalised.erase(normalised.begin(), normalised.begin() + (axis < 0 ? 2 : axis - 1));
      for (const bool shift : {false, true}) {
        Net net(wins::Shape{n, c, kHeight, kWidth});
        std::vector<ValueId> inputs{net.x, net.constant(normalised, 1)};
        if (shift) inputs.push_back(net.constant(normalised, 2));
        net.check(LayerNorm{axis, 1e-3F}, inputs, "cuda:layer_norm");
      }
    }
    Net tokens(wins::Shape{n, 5, 40 * c});
    tokens.check(LayerNorm{}, {tokens.x, tokens.constant({40 * c}, 1), tokens.constant({40 * c}, 2)}, "cuda:layer_norm");
  });
}

// ---- matrices --------------------------------------------------------------------------------------

TEST_F(Operators, Gemm) {
  for (const std::int64_t n : {1, 3, 70}) {
    for (const bool trans_a : {false, true}) {
      for (const bool trans_b : {false, true}) {
        for (const wins::Shape& c : {wins::Shape{67}, {n, 1}, {1, 67}, {n, 67}, {}}) {
          Net net(trans_a ? wins::Shape{37, n} : wins::Shape{n, 37});
          net.force_kernel = "cuda:matmul";
          const ValueId w = net.constant(trans_b ? wins::Shape{67, 37} : wins::Shape{37, 67});
          net.check(Gemm{1.5F, 0.5F, trans_a, trans_b, {UnaryKind::relu, 0, 0}}, {net.x, w, net.constant(c, 4)}, "cuda:matmul");
        }
      }
    }
    Net computed(wins::Shape{n, 37});
    computed.force_kernel = "cuda:matmul";
    const ValueId b = computed.input(wins::Shape{37, 5}), c = computed.input(wins::Shape{5});
    computed.check(Gemm{}, {computed.x, b, c}, "cuda:matmul");
  }
}

TEST_F(Operators, GemmOfFewRows) {
  for (const std::int64_t n : {1, 2, 3, 4}) {
    for (const std::int64_t inner : {8, 264, 1032, 4096}) {
      for (const std::int64_t columns : {5, 67, 2200}) {
        for (const UnaryKind kind : {UnaryKind::identity, UnaryKind::relu, UnaryKind::silu}) {
          if (kind != UnaryKind::relu && inner != 264) continue;
          Net net(wins::Shape{n, inner});
          net.force_kernel = "cuda:vector";
          const ValueId w = net.constant(wins::Shape{columns, inner});
          net.check(Gemm{1.5F, 0.5F, false, true, {kind, 0, 0}}, {net.x, w, net.constant(wins::Shape{columns}, 4)}, "cuda:vector");
        }
      }
    }
  }
  Net product(wins::Shape{2, 48});
  product.force_kernel = "cuda:vector";
  product.check(MatMul{}, {product.x, product.constant(wins::Shape{48, 30})}, "cuda:vector");
}

TEST_F(Operators, MatMul) {
  struct Case {
    wins::Shape a, b;
  };
  for (const Case& t : {Case{{3, 5}, {5, 7}}, Case{{2, 3, 65, 33}, {2, 3, 33, 70}}, Case{{1, 3, 5, 6}, {2, 1, 6, 7}}, Case{{3, 4, 6}, {6, 9}},
                        Case{{6}, {6}}, Case{{6}, {2, 3, 6, 4}}, Case{{2, 3, 4, 6}, {6}}, Case{{2, 2, 3, 4, 6}, {6}}, Case{{2, 3, 4, 6}, {5, 1, 1, 6, 2}}}) {
    Net net(t.a);
    net.force_kernel = "cuda:matmul";
    net.check(MatMul{}, {net.x, net.input(t.b)}, "cuda:matmul");
    Net constant(t.a);
    constant.force_kernel = "cuda:matmul";
    constant.check(MatMul{}, {constant.x, constant.constant(t.b)}, "cuda:matmul");
  }
}

}  // namespace
}  // namespace wins::runtime::cuda_test

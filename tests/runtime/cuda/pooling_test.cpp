// Pools on the GPU, against the float64 reference.
#include <array>
#include <cmath>

#include "operator_net.hpp"

namespace wins::runtime::cuda_test {
namespace {

TEST_F(Operators, Pool) {
  for_each_image([](std::int64_t n, std::int64_t c) {
    for (const Pool::Kind kind : {Pool::Kind::max, Pool::Kind::average}) {
      for (const bool ceil_mode : {false, true}) {
        for (const bool include_pad : {false, true}) {
          Net net(wins::Shape{n, c, 14, 12});
          net.check(Pool{kind, {{3, 2}, {2, 2}, {1, 1}, {1, 0, 1, 1}, {}}, ceil_mode, include_pad}, {net.x}, "cuda:pool");
        }
      }
      Net dilated(wins::Shape{n, c, 11, 13});
      dilated.check(Pool{kind, {{3, 3}, {1, 3}, {2, 1}, {0, 1, 2, 1}, {}}, false, false}, {dilated.x}, "cuda:pool");
      Net same(wins::Shape{n, c, 11, 13});
      same.check(Pool{kind, {{3, 3}, {2, 2}, {1, 1}, {}, AutoPad::same_lower}, false, false}, {same.x}, "cuda:pool");
    }
  });
}

TEST_F(Operators, PoolsOfEverySize) {
  for (const Pool::Kind kind : {Pool::Kind::max, Pool::Kind::average}) {
    for (const std::array<std::int64_t, 2>& kernel : {std::array<std::int64_t, 2>{1, 1}, {2, 2}, {1, 3}, {5, 3}, {4, 6}}) {
      Net net(wins::Shape{2, 21, 13, 15});
      const std::int64_t pad = kernel[1] > 1 ? 1 : 0;
      net.check(Pool{kind, {kernel, {2, 1}, {1, 1}, {0, pad, 0, 0}, {}}, false, true}, {net.x}, "cuda:pool");
    }
  }
}

TEST_F(Operators, PoolsNanToNan) {
  for (const std::int64_t side : {2, 3, 5}) {
    Tensor x = random_normal({1, 19, 10, 10}, 3);
    const auto values = x.mutable_data<float>();
    for (std::size_t c = 0; c < 19; ++c) values[c * 100 + 5 * 10 + 5] = std::nanf("");
    Net net(x);
    net.graph.outputs = {net.graph.add_node("op", Pool{Pool::Kind::max, {{side, side}, {1, 1}, {1, 1}, {}, {}}, false, false}, {net.x})};
    const Tensor reference = ref::run(net.graph, net.tensors, ref::Precision::float64).at(0);
    for (const PrecisionCase& t : kPrecisions) {
      SessionOptions options;
      options.backend = "cuda";
      options.precision = t.precision;
      const Tensor y = Session::open(net.graph, options).run({x}).at(0);
      const auto got = y.data<float>();
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < got.size(); ++i) wrong += std::isnan(got[i]) != std::isnan(reference.data<double>()[i]) ? 1 : 0;
      EXPECT_EQ(wrong, 0) << t.name << ", side " << side;
    }
  }
}

TEST_F(Operators, GlobalPool) {
  for (const wins::Shape& shape : {wins::Shape{1, 16, 7, 9}, {3, 19, 7, 7}, {1, 3, 33, 31}, {3, 130, 1, 1}, {1, 515, 13, 13}, {128, 40, 7, 7}}) {
    for (const Pool::Kind kind : {Pool::Kind::max, Pool::Kind::average}) {
      Net net(shape);
      net.check(GlobalPool{kind}, {net.x}, "cuda:global_pool");
    }
  }
}

}  // namespace
}  // namespace wins::runtime::cuda_test

// F(2,3) with stride 2: the decomposition into even and odd inputs.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "wins/base/error.hpp"
#include "wins/winograd/exact.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::winograd {
namespace {

constexpr int kP = 5;

/// Output pixel (a, b) of A^T [(G g G^T) o (B^T d B)] A, straight from the sums.
double by_algorithm(const Algorithm& f, const std::vector<double>& d, const std::vector<double>& g, int a, int b) {
  double result = 0;
  for (int i = 0; i < kP; ++i) {
    for (int j = 0; j < kP; ++j) {
      double u = 0, v = 0;
      for (int yx = 0; yx < 9; ++yx) u += f.G(i, yx / 3) * f.G(j, yx % 3) * g[static_cast<std::size_t>(yx)];
      for (int yx = 0; yx < kP * kP; ++yx) v += f.B(yx / kP, i) * f.B(yx % kP, j) * d[static_cast<std::size_t>(yx)];
      result += f.A(i, a) * f.A(j, b) * u * v;
    }
  }
  return result;
}

double direct(const std::vector<double>& d, const std::vector<double>& g, int a, int b) {
  double sum = 0;
  for (int yx = 0; yx < 9; ++yx) {
    sum += d[static_cast<std::size_t>((2 * a + yx / 3) * kP + 2 * b + yx % 3)] * g[static_cast<std::size_t>(yx)];
  }
  return sum;
}

TEST(Strided, HasTheDocumentedOrderAndSigns) {
  const Algorithm& f = algorithm(2, 3, 2);
  EXPECT_EQ(f.p(), 5);
  EXPECT_EQ(f.positions(), 25);
  EXPECT_EQ(f.step(), 4);
  EXPECT_EQ(f.stride, 2);
  // Products: (x0 - x2) g0, x2 (g0 + g2), (x2 - x4) g2, x1 g1, x3 g1.
  const double inputs[5][5] = {{1, 0, -1, 0, 0}, {0, 0, 1, 0, 0}, {0, 0, 1, 0, -1}, {0, 1, 0, 0, 0}, {0, 0, 0, 1, 0}};
  for (int i = 0; i < 5; ++i) {
    for (int y = 0; y < 5; ++y) EXPECT_EQ(f.B(y, i), inputs[i][y]) << i << " " << y;
  }
  EXPECT_EQ(f.G.values, (std::vector<double>{1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0}));
  EXPECT_EQ(f.A.values, (std::vector<double>{1, 0, 1, 1, 0, -1, 1, 0, 0, 1}));  // y0 = m0+m1+m3, y1 = m1-m2+m4
}

TEST(Strided, IdentityHoldsExactlyAndAWrongEntryBreaksIt) {
  EXPECT_TRUE(identity_holds(strided_f23()));
  ExactAlgorithm broken = strided_f23();
  broken.A(2, 1) = Surd(1);
  EXPECT_FALSE(identity_holds(broken));
  broken = strided_f23();
  broken.stride = 1;
  EXPECT_FALSE(identity_holds(broken));
}

TEST(Strided, EvenPhaseIsF22UpToSigns) {
  const Algorithm& f = algorithm(2, 3, 2);
  const Algorithm& even = algorithm(2, 2);
  const double sign[] = {1, 1, -1};
  for (int i = 0; i < 3; ++i) {
    for (int y = 0; y < 3; ++y) EXPECT_EQ(f.B(2 * y, i), sign[i] * even.B(y, i));
    for (int b = 0; b < 2; ++b) EXPECT_EQ(f.G(i, 2 * b), even.G(i, b));
    for (int a = 0; a < 2; ++a) EXPECT_EQ(f.A(i, a), sign[i] * even.A(i, a));
  }
}

TEST(Strided, TileIsExactOnIntegersAndPreciseOnRealNumbers) {
  const Algorithm& f = algorithm(2, 3, 2);
  for (int round = 0; round < 20; ++round) {
    std::vector<double> d, g;
    for (int i = 0; i < 25; ++i) d.push_back((i * 37 + round * 11) % 17 - 8);
    for (int i = 0; i < 9; ++i) g.push_back((i * 23 + round * 5) % 13 - 6);
    for (int ab = 0; ab < 4; ++ab) EXPECT_EQ(by_algorithm(f, d, g, ab / 2, ab % 2), direct(d, g, ab / 2, ab % 2));
    const Tensor noise = random_normal({34}, static_cast<std::uint64_t>(round));
    double error = 0, norm = 0;
    d.assign(noise.data<float>().begin(), noise.data<float>().begin() + 25);
    g.assign(noise.data<float>().begin() + 25, noise.data<float>().end());
    for (int ab = 0; ab < 4; ++ab) {
      const double want = direct(d, g, ab / 2, ab % 2);
      error += std::pow(by_algorithm(f, d, g, ab / 2, ab % 2) - want, 2);
      norm += want * want;
    }
    EXPECT_LT(std::sqrt(error / norm), 1e-14);
  }
}

TEST(Strided, TransformWeightsIsExactOnIntegers) {
  const Algorithm& f = algorithm(2, 3, 2);
  Tensor g(DType::f32, {2, 3, 3, 3});
  for (std::size_t i = 0; i < 54; ++i) g.mutable_data<float>()[i] = static_cast<float>(i * 29 % 15) - 7;
  const Tensor U = transform_weights(f, g);
  ASSERT_EQ(U.shape(), (Shape{25, 2, 3}));
  for (int i = 0; i < 25 * 6; ++i) {
    double want = 0;
    for (int yx = 0; yx < 9; ++yx) {
      want += f.G(i / 6 / kP, yx / 3) * f.G(i / 6 % kP, yx % 3) *
              static_cast<double>(g.data<float>()[static_cast<std::size_t>(i % 6 * 9 + yx)]);
    }
    EXPECT_EQ(static_cast<double>(U.data<float>()[static_cast<std::size_t>(i)]), want);
  }
}

TEST(Strided, OutputsAreThoseOfAConvolution) {
  for (std::int64_t padded = 3; padded < 20; ++padded) {
    EXPECT_EQ(algorithm(2, 3, 2).outputs(padded), (padded - 3) / 2 + 1);
    EXPECT_EQ(algorithm(2, 3).outputs(padded), padded - 2);
  }
  EXPECT_EQ(algorithm(2, 3, 2).outputs(2), 0);
  EXPECT_EQ(algorithm(2, 3, 2).outputs(-5), 0);
}

TEST(Strided, OtherSizesAreRefused) {
  EXPECT_EQ(&algorithm(2, 3, 2), &algorithm(2, 3, 2));
  EXPECT_NE(&algorithm(2, 3, 2), &algorithm(2, 3));
  EXPECT_THROW(algorithm(4, 3, 2), Error);
  EXPECT_THROW(algorithm(2, 5, 2), Error);
  EXPECT_THROW(algorithm(2, 3, 3), Error);
  EXPECT_THROW(algorithm(2, 3, 0), Error);
  EXPECT_THROW(algorithm(2, 3, -1), Error);
}

}  // namespace
}  // namespace wins::winograd

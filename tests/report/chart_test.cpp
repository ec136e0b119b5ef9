#include "chart.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "html.hpp"
#include "svg.hpp"

namespace wins::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Ticks, AreRoundAndCoverTheRange) {
  EXPECT_THAT(round_ticks(0, 100, 5), ElementsAre(0, 20, 40, 60, 80, 100));
  EXPECT_THAT(round_ticks(0, 84, 4), ElementsAre(0, 25, 50, 75, 100));
  const double ranges[][2] = {{90.3, 93.24}, {0, 2.5},     {-7, 13},         {5, 5},
                              {0, 0},        {1e-9, 2e-9}, {1e12, 1e12 + 1}, {-1e12, 1e12}};
  for (const auto& [low, high] : ranges) {
    const auto ticks = round_ticks(low, high, 5);
    ASSERT_GE(ticks.size(), 2U);
    EXPECT_LE(ticks.size(), 9U);
    const double slack = std::max(std::abs(low), std::abs(high)) * 1e-6;
    EXPECT_LE(ticks.front(), low + slack) << low;
    EXPECT_GE(ticks.back(), high - slack) << high;
    EXPECT_LT(ticks[0], ticks[1]);
  }
}

TEST(Scatter, PlacesPointsOnTheScale) {
  Scatter scatter;
  scatter.points = {{50, 90, "wins", "middle"}, {100, 95, "wins", "right"}};
  scatter.reference = 95;
  const std::string svg = scatter_chart(scatter);
  // Wide: x runs from 58 to 542 over 0 to 100; y from 326 (90) to 34 (95).
  EXPECT_THAT(svg, HasSubstr("<title>middle</title><circle class=\"mark\" cx=\"300.0\" cy=\"326.0\""));
  EXPECT_THAT(svg, HasSubstr("<title>right</title><circle class=\"mark\" cx=\"542.0\" cy=\"34.0\""));
  EXPECT_THAT(svg, HasSubstr("M300.0,326.0 L542.0,34.0"));
  EXPECT_EQ(scatter_chart({}), "");
}

TEST(Bars, LengthsAreProportional) {
  const std::string svg =
      bar_chart("t", {{"a", {{100.0, "dense", "tip"}, {25.0, "wins", "tip"}}, "4.00×"}}, " µs");
  // Wide: 1080 - 90 (names) - 70 (remark) - 70 (value) = 850 pixels for the longest bar.
  EXPECT_THAT(svg, HasSubstr("width=\"850.0\""));
  EXPECT_THAT(svg, HasSubstr("width=\"212.5\""));
  EXPECT_THAT(svg, HasSubstr("25 µs"));
  EXPECT_EQ(bar_chart("t", {}, ""), "");
}

TEST(HeatMap, OpacityFollowsTheShare) {
  const std::string maps = heat_maps({{"conv", "", {}, {0, 8, 4, 8}, 8}, {"stem", "", {}, {}, 0}});
  EXPECT_THAT(maps, HasSubstr("class=\"dead\""));
  EXPECT_THAT(maps, HasSubstr("fill-opacity=\"0.56\""));  // half: 0.12 + 0.88 / 2
  EXPECT_THAT(maps, HasSubstr("20 of 32 kept (62.5 %)<br>1 of 4 positions empty"));
  EXPECT_EQ(maps.find("stem"), std::string::npos);
}

TEST(Html, NumbersAndNames) {
  EXPECT_EQ(escape("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
  EXPECT_EQ(fixed(-0.001, 2), "0.00");
  EXPECT_EQ(fixed(-1.5, 1), "−1.5");
  EXPECT_EQ(fixed(std::nullopt, 2), "–");
  EXPECT_EQ(signed_fixed(0.126, 2), "+0.13");
  EXPECT_EQ(signed_fixed(0.001, 2), "0.00");
  EXPECT_EQ(times(2.345), "2.35×");
  EXPECT_EQ(shorten("short", 10), "short");
  const std::string cut = shorten("/features/denseblock1/denselayer1/conv1/Conv", 20);
  EXPECT_LE(cut.size(), 22U);
  EXPECT_THAT(cut, HasSubstr("…"));
  EXPECT_EQ(shorten("äöüäöüäöüäöüäöüäöü", 11).find("\xef\xbf\xbd"), std::string::npos);
}

}  // namespace
}  // namespace wins::report

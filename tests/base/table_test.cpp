#include "wins/base/table.hpp"

#include <gtest/gtest.h>

#include "wins/base/error.hpp"

namespace wins {
namespace {

TEST(Table, AlignsNumbersRightAndTextLeft) {
  Table table({"layer", "us"});
  table.add({"conv1", "7.5"});
  table.add({"a", "123.0"});
  EXPECT_EQ(table.text(), "layer     us\n-----  -----\nconv1    7.5\na      123.0\n");
  EXPECT_EQ(table.markdown(), "| layer | us |\n|---|---:|\n| conv1 | 7.5 |\n| a | 123.0 |\n");
  EXPECT_THROW(table.add({"1", "2", "3"}), Error);
}

}  // namespace
}  // namespace wins

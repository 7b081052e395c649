#include "cli/progress.h"

#include <gtest/gtest.h>

namespace tidegate::cli {
namespace {

using std::chrono::milliseconds;

TEST(Progress, OneLineAnEntityAlignedByName) {
  const std::vector<ProgressRow> rows = {
      {.entity = "airlines", .rows = 16, .total = 16, .outcome = "succeeded"},
      {.entity = "weather", .rows = 13'057, .total = 26'115},
      {.entity = "日本", .rows = 5}};
  EXPECT_EQ(
      render_progress(rows, milliseconds(2000), 100, 24),
      (std::vector<std::string>{"airlines  [####################] 16 rows  succeeded",
                                "weather   [#########...........] 13,057 of 26,115 rows  6,528/s",
                                "日本      5 rows  2/s"}));
}

TEST(Progress, NoLineIsWiderThanTheTerminal) {
  const std::vector<ProgressRow> rows = {{.entity = std::string(200, 'x'), .rows = 1, .total = 2}};
  for (const std::size_t width : {20U, 40U, 80U}) {
    const auto lines = render_progress(rows, milliseconds(0), width, 24);
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_LE(columns(lines[0]), width);
  }
}

TEST(Progress, FinishedEntitiesGiveWayOnALowTerminal) {
  std::vector<ProgressRow> rows;
  for (int i = 0; i < 50; ++i) {
    rows.push_back(
        {.entity = "e" + std::to_string(i), .rows = i, .outcome = i < 48 ? "succeeded" : ""});
  }
  const auto lines = render_progress(rows, milliseconds(0), 80, 4);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_TRUE(lines[1].starts_with("e48")) << lines[1];
  EXPECT_TRUE(lines[2].starts_with("e49")) << lines[2];
  EXPECT_EQ(lines[3], "… and 47 more");
}

TEST(Progress, DrawsInPlaceOnATerminalAndNothingElsewhere) {
  std::string err;
  Io io;
  io.err = [&](std::string_view text) { err += text; };
  ProgressView silent(io);
  silent.draw({{.entity = "a"}}, milliseconds(0));
  EXPECT_EQ(err, "");

  io.err_is_terminal = true;
  ProgressView view(io);
  view.draw({{.entity = "a", .rows = 1}}, milliseconds(0));
  view.draw({{.entity = "a", .rows = 1}}, milliseconds(0));  // unchanged: not drawn again
  view.draw({{.entity = "a", .rows = 2}}, milliseconds(0));
  EXPECT_EQ(err, "a  1 rows\n\033[A\r\033[Ka  2 rows\n");
}

TEST(Progress, GroupsDigits) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(-1234567), "-1,234,567");
}

}  // namespace
}  // namespace tidegate::cli

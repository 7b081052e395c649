#include "cli/output.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace tidegate::cli {
namespace {

const std::vector<Column> kColumns = {{"NAME", "name"}, {"STATE", "last.state"}, {"N", "n"}};

boost::json::value rows() {
  return boost::json::parse(
      R"([{"name":"a","last":{"state":"failed"},"n":1},{"name":"日本","n":[1,"x"]},{"name":"x\n\u001b[2J","n":true}])");
}

TEST(Output, TableAlignsByColumnsAndShowsWhatIsMissing) {
  EXPECT_EQ(format_table(Io{}, rows(), kColumns),
            "NAME       STATE   N\n"
            "a          failed  1\n"
            "日本       -       1, x\n"
            R"(x \x1b[2J  -       yes)"
            "\n");
}

TEST(Output, ATerminalGetsColorAndNoLongLines) {
  Io io;
  io.out_is_terminal = true;
  io.width = 16;
  io.color = true;
  const std::string text = format_table(
      io, boost::json::parse(R"([{"name":"a","last":{"state":"failed"},"n":"long text"}])"),
      kColumns);
  EXPECT_NE(text.find("\033[31mfailed\033[0m"), std::string::npos) << text;
  EXPECT_NE(text.find("  l…\n"), std::string::npos) << text;
}

TEST(Output, AnObjectIsOneFieldALine) {
  EXPECT_EQ(format_table(Io{}, rows().at(0), kColumns),
            "FIELD  VALUE\n"
            "NAME   a\n"
            "STATE  failed\n"
            "N      1\n");
}

TEST(Output, JsonIsIndentedAndParsesBack) {
  const std::string text = format_json(rows());
  EXPECT_TRUE(text.starts_with("[\n  {\n    \"name\": \"a\",\n")) << text;
  EXPECT_EQ(boost::json::parse(text), rows());
  EXPECT_EQ(format_json(boost::json::array()), "[]\n");
}

TEST(Output, TheFormatIsAnOption) {
  for (const auto& [format, expected] :
       std::vector<std::pair<std::string, std::string>>{{"json", "{\n  \"name\": \"a\"\n}\n"},
                                                        {"yaml", "name: a\n"},
                                                        {"table", "FIELD  VALUE\nNAME   a\n"}}) {
    std::string out;
    Io io;
    io.out = [&](std::string_view text) { out += text; };
    Args args;
    args.set("output", {format});
    EXPECT_EQ(print(io, args, boost::json::parse(R"({"name":"a"})"), {{"NAME", "name"}}), 0);
    EXPECT_EQ(out, expected);
  }
}

}  // namespace
}  // namespace tidegate::cli

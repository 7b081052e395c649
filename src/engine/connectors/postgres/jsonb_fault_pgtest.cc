// What is said of a JSON text is what the server says of it.

#include "engine/connectors/postgres/jsonb_fault.h"

#include <gmock/gmock.h>

#include "engine/connectors/postgres/server_fixture.h"

namespace tidegate::engine::postgres {
namespace {

using ::testing::HasSubstr;

std::string times(std::string_view text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

TEST(JsonbFault, AgreesWithTheServer) {
  const std::string long_text(5'000, 'x');
  const struct {
    std::string json;
    std::string why;  // "": it is held
  } cases[] = {
      {R"({"a": [1, 2.50, -3e4, 1E5, true, null, "e1"]})", ""},
      {R"("\\u0000")", ""},
      {R"("\u0000")", "holds \\u0000"},
      {R"({"\u0000": 1})", "holds \\u0000"},
      {R"("\ud83d\ude00")", ""},
      {R"("\ud83d")", "half a surrogate pair"},
      {R"("\ude00")", "half a surrogate pair"},
      {R"("\ud83dx")", "half a surrogate pair"},
      {R"("\ud83d\u0041")", "half a surrogate pair"},
      {"1e131071", ""},
      {"1e131072", "beyond numeric"},
      {"-0.01e131074", "beyond numeric"},
      {"-0.01e131073", ""},
      {"1e-16383", ""},
      {"1e-16384", "beyond numeric"},
      {"0.10e-16381", ""},
      {"0.10e-16382", "beyond numeric"},
      {"0e131080", ""},
      {"1e99999999999", "beyond numeric"},
      {"[1e-99999999999]", "beyond numeric"},
      {times("9", 131'072), ""},
      {times("9", 131'073), "beyond numeric"},
      {"0." + times("0", 16'382) + "1", ""},
      {"0." + times("0", 16'383) + "1", "beyond numeric"},
      {times("[", 5'000) + times("]", 5'000), ""},
      {"[\"" + long_text + "\"", "is not valid JSON"},
      {"[\"" + long_text + "\"] 1", "is not valid JSON"},
      {R"(["\x"])", "is not valid JSON"},
  };
  const auto db = console();
  for (const auto& c : cases) {
    const auto held = db->query("SELECT $1::jsonb IS NULL", {c.json});
    EXPECT_EQ(held.has_value(), c.why.empty()) << c.json.substr(0, 60);
    const std::string fault = jsonb_fault(c.json);
    EXPECT_EQ(fault.empty(), c.why.empty()) << c.json.substr(0, 60) << ": " << fault;
    EXPECT_THAT(fault, HasSubstr(c.why)) << c.json.substr(0, 60);
  }
}

// Where the server is asked for more than its stack holds it is not left to it.
TEST(JsonbFault, NestingBeyondTheServersStackIsRefused) {
  EXPECT_THAT(jsonb_fault(times("[", 5'001) + times("]", 5'001)), HasSubstr("5,000 levels"));
}

}  // namespace
}  // namespace tidegate::engine::postgres

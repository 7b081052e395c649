#include <gtest/gtest.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/ids.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/time.h"
#include "base/utf8.h"

namespace tidegate {
namespace {

TEST(Time, Rfc3339RoundTrips) {
  struct Case {
    const char* text;
    const char* utc;
  };
  for (const Case& c :
       std::initializer_list<Case>{{"2026-11-23T18:00:00Z", "2026-11-23T18:00:00Z"},
                                   {"2026-11-23T18:00:00+01:00", "2026-11-23T17:00:00Z"},
                                   {"2026-11-23T18:00:00.25-05:30", "2026-11-23T23:30:00.250Z"},
                                   {"1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"},
                                   {"2104-02-29T00:00:00Z", "2104-02-29T00:00:00Z"},
                                   {"2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"}}) {
    const auto t = parse_rfc3339(c.text);
    ASSERT_TRUE(t) << c.text;
    EXPECT_EQ(format_utc(*t), c.utc);
  }
}

TEST(Time, RefusesWhatIsNotRfc3339) {
  for (const char* text :
       {"", "2026", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+1", "2026-01-01T00:00:00Zx", "2026-01-01T00:00:00.Z"}) {
    EXPECT_FALSE(parse_rfc3339(text)) << text;
  }
}

TEST(Time, Durations) {
  EXPECT_EQ(parse_duration("1h30m"), Millis(5'400'000));
  EXPECT_EQ(parse_duration("250ms"), Millis(250));
  EXPECT_EQ(format_duration(Millis(5'400'000)), "1h30m");
  EXPECT_EQ(format_duration(Millis(0)), "0s");
  for (const char* text : {"", "5", "-5s", "5 s", "1.5h", "99999999999999d", "s"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(Ids, Version7SortsByTimeAndIsWellFormed) {
  SeededRng rng(1);
  const std::string id = new_uuid_v7(SystemClock(), rng);
  ASSERT_EQ(id.size(), 36u);
  EXPECT_EQ(id[14], '7');
  EXPECT_NE(new_uuid_v7(SystemClock(), rng), id);
}

TEST(Json, RefusesMalformedDeepHugeAndDuplicate) {
  EXPECT_EQ(json::parse("{\"a\":1").error().code, Code::Malformed);
  // Symptom: 5e12222 was accepted and written as text that was refused when it was read back.
  for (const char* text : {"1e999", "[-5e12222]", R"({"a":[{"b":1e400}]})"}) {
    EXPECT_EQ(json::parse(text).error().code, Code::Malformed) << text;
  }
  EXPECT_TRUE(json::parse("[1.7e308, -1.7e308, 1e-999]"));
  EXPECT_EQ(json::parse("{} x").error().code, Code::Malformed);
  EXPECT_EQ(json::parse("\"\xff\"").error().code, Code::Malformed);
  EXPECT_EQ(json::parse(std::string(100, '[') + std::string(100, ']')).error().code,
            Code::Malformed);
  EXPECT_EQ(json::parse(std::string(2 << 20, ' ')).error().code, Code::TooLarge);
  EXPECT_EQ(json::parse(R"({"a":1,"b":{"a":2},"a":3})").error().reason, "duplicate_key");
  EXPECT_TRUE(json::parse(R"([{"a":"x,\"a\":"},{"a":{"b":[1,"a","a"]}}])"));
}

// A quoted value cut inside a character makes an answer that is not JSON.
TEST(Text, ClipNeverCutsACharacter) {
  EXPECT_EQ(clip("abc", 3), "abc");
  EXPECT_EQ(clip("abc", 2), "ab");
  EXPECT_EQ(clip("a\xc3\xa9z", 2), "a");
  EXPECT_EQ(clip("a\xc3\xa9z", 3), "a\xc3\xa9");
  EXPECT_EQ(clip("\xf0\x9f\x8c\x8a", 3), "");
  const std::string long_text(200, '\xbf');
  EXPECT_EQ(clip(long_text, 64), "") << "not UTF-8 at all: bounded still";
}

TEST(Utf8, IsWhatRfc3629Says) {
  using std::string_literals::operator""s;
  for (const auto& good : {""s, "plain ascii text, long"s, "\0"s, "\x7f"s, "é"s, "日本"s,
                           "12345678é"s, "\xED\x9F\xBF"s, "\xF4\x8F\xBF\xBF"s}) {
    EXPECT_TRUE(is_utf8(good)) << escape_bytes(good);
  }
  for (const auto& bad : {"\xff"s, "12345678\xff"s, "1234567\xff"s, "\x80"s, "\xC3"s, "\xC0\xAF"s,
                          "\xED\xA0\x80"s, "\xF4\x90\x80\x80"s, "\xE6\x97"s}) {
    EXPECT_FALSE(is_utf8(bad)) << escape_bytes(bad);
  }
  EXPECT_EQ(escape_bytes("é\xff\0\n"s), "é\\xff\\x00\n");
}

TEST(Text, ATerminalIsToldNothingByData) {
  using std::string_literals::operator""s;
  const struct {
    std::string text, keep, shown;
  } cases[] = {{"größe\u00A0日本", "", "größe\u00A0日本"},
               {"\x1b]0;x\x07", "", "\\x1b]0;x\\x07"},
               {"\0\x1f \x7f~"s, "", "\\x00\\x1f \\x7f~"},
               {"\u009b31m\u0080\u009f", "", "\\xc2\\x9b31m\\xc2\\x80\\xc2\\x9f"},
               {"\xff\xc2", "", "\\xff\\xc2"},
               {"a\n\tb\r", "", "a\\x0a\\x09b\\x0d"},
               {"a\n\tb\r", "\n\t", "a\n\tb\\x0d"}};
  for (const auto& c : cases) EXPECT_EQ(escape_controls(c.text, c.keep), c.shown);
}

TEST(Text, TrimTakesBlanksAndLineEnds) {
  EXPECT_EQ(trim_end(" a b \t\r\n"), " a b");
  EXPECT_EQ(trim("\t a b \n"), "a b");
  EXPECT_EQ(trim_end(" \t"), "");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_EQ(trim(""), "");
}

TEST(Text, AsciiLowerKnowsNoOtherLetters) {
  EXPECT_EQ(ascii_lower("AZ[a\xc3\x89"), "az[a\xc3\x89");
  static_assert(ascii_lower('Q') == 'q');
}

TEST(Json, ReaderReportsEveryWrongFieldAtOnce) {
  const auto v = json::parse(
      R"({"name":7,"size":1.5,"mode":"ful","list":["a",2],"nmae":"x","t":"yesterday"})");
  ASSERT_TRUE(v);
  std::vector<FieldError> errors;
  json::Reader r(v->as_object(), "job", errors);
  static constexpr std::string_view kModes[] = {"full", "incremental"};
  r.text("name", {1, 100, true});
  r.integer("size");
  r.one_of("mode", kModes);
  r.texts("list", 10, {});
  r.time("t");
  r.text("id", {1, 100, true});
  r.finish();
  ASSERT_EQ(errors.size(), 7u);
  EXPECT_EQ(errors[0].field, "job.name");
  EXPECT_NE(errors[2].message.find("did you mean 'full'"), std::string::npos);
  EXPECT_EQ(errors[3].field, "job.list[1]");
  EXPECT_EQ(errors[5].message, "is missing");
  EXPECT_NE(errors[6].message.find("did you mean 'name'"), std::string::npos);
}

// The published vectors; what is derived from it must not change with a release.
TEST(Hash, IsFnv1a) {
  EXPECT_EQ(fnv1a(""), 0xcbf29ce484222325);
  EXPECT_EQ(fnv1a("foobar"), 0x85944171f73967e8);
  EXPECT_EQ(fnv1a("bar", fnv1a("foo")), fnv1a("foobar"));
  EXPECT_EQ(fnv1a(0x0201, kFnv1aStart), fnv1a(std::string_view("\1\2\0\0\0\0\0\0", 8)));
}

}  // namespace
}  // namespace tidegate

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/io/file.h>
#include <arrow/table.h>
#include <parquet/arrow/writer.h>
#include <parquet/properties.h>

#include "engine/connectors/file/json_text.h"
#include "engine/connectors/file/source_fixture.h"

namespace tidegate::engine::file {
namespace {

using Texts = std::vector<std::string>;

TEST(JsonText, AcceptsWhatRfc8259Does) {
  for (const char* good : {"1", "-0", "123456789012345678901234567890", "1e400", "\"a\\u00e4\\n\"",
                           " [1, {\"a\": [] } ] ", "{}", "true", "null"}) {
    EXPECT_TRUE(is_json_text(good)) << good;
  }
  for (const char* bad : {"", "01", "+1", ".5", "1.", "[1,]", "{\"a\"}", "{a:1}", "\"\n\"",
                          "\"\\x\"", "[1] 2", "tru", "\"\\u00g0\"", "[", "nul"}) {
    EXPECT_FALSE(is_json_text(bad)) << bad;
  }
  EXPECT_FALSE(is_json_text(std::string(100'000, '[')));
}

TEST_F(FileSourceTest, JsonLinesKeepTypesAndMixedValues) {
  write("t.jsonl",
        R"({"id": 9223372036854775807, "f": 1, "s": "é", "b": true, "n": {"a": [1, "x"]}, "m": 1}
{"id": -1, "f": 2.5, "s": "", "b": null, "m": "1", "big": 18446744073709551616}

{"f": 1e3, "late": "x", "id": 0, "m": [true], "n": null, "big": 1, "s": "q\"\u0001"}
)");
  const Read got = read(R"({"path": "t.jsonl"})", "t");
  EXPECT_FALSE(got.error);
  EXPECT_EQ(got.types, "id:int64 f:double s:string b:bool n:json m:json big:json late:string");
  EXPECT_EQ(got.rows,
            (Texts{R"(9223372036854775807|1|é|true|{"a": [1, "x"]}|1|∅|∅)",
                   R"(-1|2.5||∅|∅|"1"|18446744073709551616|∅)", "0|1000|q\"\x01|∅|∅|[true]|1|x"}));
  EXPECT_EQ(got.announced, 3);
}

TEST_F(FileSourceTest, AMemberThatIsAlwaysNullHasNoType) {
  write("t.jsonl", "{\"a\": null, \"b\": 1}\n{\"b\": null}\n");
  const Read got = read(R"({"path": "t.jsonl"})", "t");
  EXPECT_EQ(got.types, "a:null b:int64");
  EXPECT_EQ(got.rows, (Texts{"∅|1", "∅|∅"}));
}

TEST_F(FileSourceTest, BadJsonLinesComeBackWithLineAndReason) {
  using std::string_literals::operator""s;
  write("t.ndjson",
        "\xEF\xBB\xBF{\"a\": 1}\n[1]\n{\"a\": 1,}\n{\"a\": 01}\n{\"a\": 1} {\"a\": 2}\n"
        "{\"a\": [1,,2]}\n{\"a\": 1, \"a\": 2}\n{\"a\": \"\xFF\"}\n{\"zz\": 1, \"zz\": 2}\n"
        "{\"a\": 3}\r\n{\"a\": 4");
  const Read got = read(R"({"path": "t.ndjson"})", "t");
  EXPECT_EQ(got.types, "a:int64");
  EXPECT_EQ(got.rows, (Texts{"1", "3"}));
  EXPECT_EQ(got.announced, 2);
  ASSERT_EQ(got.bad.size(), 9U);
  for (int i = 0; i < 8; ++i) {
    EXPECT_TRUE(got.bad[static_cast<std::size_t>(i)].starts_with(
        fmt::format("t.ndjson line {}: it ", i + 2)))
        << got.bad[static_cast<std::size_t>(i)];
  }
  EXPECT_NE(got.bad[5].find("one name twice"), std::string::npos);
  EXPECT_NE(got.bad[6].find("UTF-8"), std::string::npos);
}

// Symptom: "there is no column: an empty file has not even a header", of neither line nor reason.
TEST_F(FileSourceTest, JsonLinesOfWhichNoneCanBeReadSayWhy) {
  struct Case {
    std::string text, says;
  };
  for (const auto& [text, says] :
       {Case{"\n[{\"a\":1}]\n", "'t.jsonl' line 2: it is not one JSON object; write one complete"},
        {"{\"a\":1,\"a\":2}\nx\n", "'t.jsonl' line 1: it has one name twice"},
        {"{\"a\":\"\xff\"}\n", "'t.jsonl' line 1: it is not valid UTF-8"}}) {
    write("t.jsonl", text);
    const Read got = read(R"({"path": "t.jsonl"})", "t");
    ASSERT_TRUE(got.error) << text;
    EXPECT_EQ(error_kind(*got.error), "data");
    EXPECT_NE(got.error->message.find(says), std::string::npos) << got.error->message;
  }
  write("t.jsonl", "");
  EXPECT_FALSE(read(R"({"path": "t.jsonl"})", "t").error);
}

// Seen here: rejected as "not one JSON object", which it is.
TEST_F(FileSourceTest, HalfASurrogatePairIsNamed) {
  write("t.jsonl", R"({"a": "\ud83d\ude00"}
{"a": "\ud83d"}
{"a": "\ude00"}
{"\ud83dx": 1}
)");
  const Read got = read(R"({"path": "t.jsonl"})", "t");
  EXPECT_EQ(got.rows, (Texts{"\xF0\x9F\x98\x80"}));
  ASSERT_EQ(got.bad.size(), 3U);
  for (const auto& bad : got.bad) EXPECT_NE(bad.find("half a surrogate pair"), std::string::npos);
}

TEST_F(FileSourceTest, JsonLinesTakeDeclaredTypesAndGzip) {
  write_gzip("t.jsonl.gz",
             "{\"at\": \"2026-01-01T00:00:00Z\", \"n\": \"12.5\"}\n{\"at\": \"x\"}\n");
  const Read got =
      read(R"j({"path": "t.jsonl.gz", "types": {"at": "timestamptz", "n": "decimal(4,2)"}})j", "t");
  EXPECT_EQ(got.types, "at:timestamp[us, tz=UTC] n:decimal128(4, 2)");
  EXPECT_EQ(got.rows, (Texts{"2026-01-01T00:00:00Z|12.50"}));
  ASSERT_EQ(got.bad.size(), 1U);
}

TEST_F(FileSourceTest, TooManyNamesAreAnError) {
  std::string text;
  for (int i = 0; i < 2100; ++i) text += fmt::format("{{\"k{}\": 1}}\n", i);
  write("t.jsonl", text);
  const Read got = read(R"({"path": "t.jsonl"})", "t");
  ASSERT_TRUE(got.error);
  EXPECT_NE(got.error->message.find("2000 different names"), std::string::npos);
}

std::shared_ptr<arrow::Array> ints(std::int64_t from, std::int64_t to) {
  arrow::Int64Builder b;
  for (std::int64_t i = from; i < to; ++i) EXPECT_TRUE(b.Append(i).ok());
  return *b.Finish();
}

TEST_F(FileSourceTest, ParquetKeepsItsTypes) {
  arrow::StringDictionaryBuilder dictionary;
  ASSERT_TRUE(dictionary.Append("x").ok() && dictionary.AppendNull().ok() &&
              dictionary.Append("x").ok());
  arrow::LargeStringBuilder large;
  ASSERT_TRUE(large.Append("a").ok() && large.Append("").ok() && large.AppendNull().ok());
  arrow::Decimal128Builder decimal(arrow::decimal128(12, 2));
  ASSERT_TRUE(decimal.Append(arrow::Decimal128(1250)).ok() &&
              decimal.Append(arrow::Decimal128(-1)).ok() && decimal.AppendNull().ok());
  arrow::TimestampBuilder time(arrow::timestamp(arrow::TimeUnit::MICRO, "UTC"),
                               arrow::default_memory_pool());
  ASSERT_TRUE(time.Append(-1).ok() && time.Append(0).ok() && time.AppendNull().ok());
  auto values = std::make_shared<arrow::Int64Builder>();
  arrow::ListBuilder list(arrow::default_memory_pool(), values);
  ASSERT_TRUE(list.Append().ok() && values->Append(1).ok() && values->AppendNull().ok() &&
              list.AppendNull().ok() && list.Append().ok());
  std::shared_ptr<arrow::Array> d = *dictionary.Finish(), l = *large.Finish(),
                                m = *decimal.Finish(), t = *time.Finish(), n = *list.Finish();
  const auto schema =
      arrow::schema({arrow::field("i", arrow::int64()), arrow::field("d", d->type()),
                     arrow::field("l", l->type()), arrow::field("m", m->type()),
                     arrow::field("t", t->type()), arrow::field("n", n->type())});
  const auto table = arrow::Table::Make(schema, {ints(0, 3), d, l, m, t, n});
  auto out = *arrow::io::FileOutputStream::Open(folder_ + "/p.parquet");
  const auto arrow_properties = parquet::ArrowWriterProperties::Builder().store_schema()->build();
  ASSERT_TRUE(parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), out, 2,
                                         parquet::default_writer_properties(), arrow_properties)
                  .ok());
  ASSERT_TRUE(out->Close().ok());
  Read got = read(R"({"path": "p.parquet"})", "p");
  EXPECT_FALSE(got.error) << got.error->message;
  EXPECT_EQ(got.types,
            "i:int64 d:string l:string m:decimal128(12, 2) t:timestamp[us, tz=UTC] n:json");
  EXPECT_EQ(got.rows, (Texts{"0|x|a|12.50|1969-12-31T23:59:59.999999Z|[1,null]",
                             "1|∅||-0.01|1970-01-01T00:00:00Z|∅", "2|x|∅|∅|∅|[]"}));
  EXPECT_EQ(got.announced, 3);
  got = read(R"({"path": "p.parquet"})", "p", {"n", "i"});
  EXPECT_EQ(got.rows, (Texts{"[1,null]|0", "∅|1", "[]|2"}));
}

TEST_F(FileSourceTest, ParquetThatIsNoneIsADataError) {
  write("p.parquet", "PAR1 not really PAR1");
  const Read got = read(R"({"path": "p.parquet"})", "p");
  ASSERT_TRUE(got.error);
  EXPECT_NE(got.error->message.find("'p.parquet'"), std::string::npos);
}

}  // namespace
}  // namespace tidegate::engine::file

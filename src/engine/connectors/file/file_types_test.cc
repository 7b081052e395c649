// Types of columns: what two have in common, and the guide's table of what each is written as.

#include "engine/connectors/file/file_types.h"

#include <fcntl.h>
#include <parquet/arrow/reader.h>
#include <unistd.h>

#include <sstream>

#include "engine/connectors/file/parquet_file.h"
#include "engine/connectors/file/source_fixture.h"
#include "engine/contract/scripted_source.h"
#include "engine/core/destination.h"

namespace tidegate::engine::file {
namespace {

using arrow::TimeUnit;
using FieldPtr = std::shared_ptr<arrow::Field>;

FieldPtr of(const std::shared_ptr<arrow::DataType>& type) { return arrow::field("v", type); }
FieldPtr json() { return mark_json(of(arrow::utf8())); }

TEST(FileTypes, JoinedTypesHoldTheValuesOfBoth) {
  struct Case {
    FieldPtr a, b, joined;  // null: none
  };
  const auto us = arrow::timestamp(TimeUnit::MICRO), ns = arrow::timestamp(TimeUnit::NANO);
  const auto utc = arrow::timestamp(TimeUnit::MICRO, "UTC");
  const auto berlin = arrow::timestamp(TimeUnit::NANO, "Europe/Berlin");
  const auto text = of(arrow::utf8());
  for (const Case& c : std::vector<Case>{
           {of(arrow::null()), json(), json()},
           {of(arrow::int8()), of(arrow::int32()), of(arrow::int32())},
           {of(arrow::uint8()), of(arrow::int8()), of(arrow::int16())},
           {of(arrow::uint32()), of(arrow::int8()), of(arrow::int64())},
           {of(arrow::uint64()), of(arrow::int8()), of(arrow::decimal128(20, 0))},
           {of(arrow::uint16()), of(arrow::uint64()), of(arrow::uint64())},
           {of(arrow::int64()), of(arrow::decimal128(6, 2)), of(arrow::decimal128(21, 2))},
           {of(arrow::decimal128(6, 2)), of(arrow::decimal128(12, 4)),
            of(arrow::decimal128(12, 4))},
           {of(arrow::decimal128(38, 0)), of(arrow::decimal128(38, 10)), text},
           {of(arrow::int16()), of(arrow::float32()), of(arrow::float32())},
           {of(arrow::int32()), of(arrow::float32()), of(arrow::float64())},
           {of(arrow::int64()), of(arrow::float64()), text},
           {of(arrow::decimal128(6, 2)), of(arrow::float64()), text},
           {of(arrow::float32()), of(arrow::float64()), of(arrow::float64())},
           {of(arrow::boolean()), of(arrow::int8()), text},
           {of(arrow::date32()), of(us), of(us)},
           {of(arrow::date32()), of(utc), text},
           {of(us), of(ns), of(ns)},
           {of(us), of(utc), text},
           {of(utc), of(berlin), of(arrow::timestamp(TimeUnit::NANO, "UTC"))},
           {of(arrow::time32(TimeUnit::MILLI)), of(arrow::time64(TimeUnit::MICRO)),
            of(arrow::time64(TimeUnit::MICRO))},
           {json(), text, text},
           {json(), of(arrow::int8()), text},
           {of(arrow::binary()), of(arrow::fixed_size_binary(2)), of(arrow::binary())},
           {of(arrow::binary()), text, nullptr}}) {
    for (const auto& [a, b] : {std::pair{c.a, c.b}, {c.b, c.a}}) {
      SCOPED_TRACE(type_words(*a) + " and " + type_words(*b));
      const auto joined = join_fields(*a, *b);
      ASSERT_EQ(joined == nullptr, c.joined == nullptr);
      if (!joined) continue;
      EXPECT_EQ(type_words(*joined), type_words(*c.joined));
      EXPECT_TRUE(joined->Equals(*c.joined)) << joined->ToString();
      EXPECT_TRUE(holds(*joined, *a) && holds(*joined, *b));
    }
  }
}

TEST(FileTypes, TypesSurviveInTheStateFile) {
  const auto schema = arrow::schema({json(), of(arrow::decimal128(12, 2))->WithName("d"),
                                     of(arrow::timestamp(TimeUnit::NANO, "UTC"))->WithName("é"),
                                     of(arrow::null())->WithName("n")});
  const auto text = encode_types(*schema);
  ASSERT_TRUE(text);
  const auto back = decode_types(*text, "x");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_TRUE((*back)->Equals(*schema)) << (*back)->ToString();
  EXPECT_TRUE(is_json(*(*back)->field(0)));
  const auto damaged = decode_types("AAAA", "out/t.parquet");
  ASSERT_FALSE(damaged);
  EXPECT_NE(damaged.error().message.find("'out/t.parquet' was changed by somebody"),
            std::string::npos);
}

struct Documented {
  const char* what;
  FieldPtr field;
  const char* value;  // as Arrow's JSON
};

const std::vector<Documented>& documented() {
  static const std::vector<Documented> kAll{
      {"true or false", of(arrow::boolean()), "true"},
      {"whole number, 8 to 64 bits", of(arrow::int64()), "9007199254740993"},
      {"the same without sign", of(arrow::uint64()), "18446744073709551615"},
      {"number, single precision", of(arrow::float32()), "0.1"},
      {"number, double precision", of(arrow::float64()), "-1.5e300"},
      {"decimal of at most 15 digits", of(arrow::decimal128(12, 2)), "\"1234567890.10\""},
      {"decimal of more digits", of(arrow::decimal128(38, 10)),
       "\"12345678901234567890.0000000001\""},
      {"text", of(arrow::utf8()), R"("a \"b\"")"},
      {"JSON", json(), R"("{\"a\": [1]}")"},
      {"bytes", of(arrow::binary()), "\"abc\""},
      {"date", of(arrow::date32()), "20484"},
      {"time", of(arrow::time64(TimeUnit::MICRO)), "32400500000"},
      {"timestamp", of(arrow::timestamp(TimeUnit::MICRO)), "1769850000000001"},
      {"timestamp with time zone", of(arrow::timestamp(TimeUnit::MICRO, "UTC")),
       "1769850000000001"},
      {"the same, nanoseconds", of(arrow::timestamp(TimeUnit::NANO, "UTC")), "1769850000000000001"},
      {"NULL", of(arrow::int64()), "null"},
      {"no values at all", of(arrow::null()), "null"}};
  return kAll;
}

class FileTypesDoc : public FileSourceTest {
 protected:
  // The column `v` of one row, in a file of its own.
  void put(const Documented& d, const std::string& format) {
    std::filesystem::remove_all(folder_ + "/" + format);
    const auto batch = contract::batch_of(arrow::schema({d.field}), fmt::format("[[{}]]", d.value));
    const boost::json::object config{{"path", format}, {"format", format}};
    const auto destination = file_connector().make_destination(config, context_);
    ASSERT_TRUE(destination);
    const auto writer = (*destination)->open({.job = "j", .entity = "t", .run_id = RunId("r")});
    ASSERT_TRUE(writer) << writer.error().message;
    ASSERT_TRUE((*writer)->begin({.kind = LoadKind::Replace, .schema = batch->schema()}));
    const auto rejected = (*writer)->write(*batch);
    ASSERT_TRUE(rejected) << rejected.error().message;
    ASSERT_TRUE(rejected->empty()) << rejected->front().reason;
    ASSERT_TRUE((*writer)->flush());
    ASSERT_TRUE((*writer)->commit(Writer::NewState{"{}", 0}));
    ASSERT_TRUE((*writer)->finish());
  }

  // Its last line.
  std::string line(const std::string& format) {
    std::ifstream in(folder_ + "/" + format + "/t." + format, std::ios::binary);
    std::string last;
    for (std::string line; std::getline(in, line);) last = line;
    return last;
  }

  std::string parquet_type() {
    const auto fd = ::open((folder_ + "/parquet/t.parquet").c_str(), O_RDONLY);
    const auto reader = open_parquet(fd, "t.parquet", TimeUnit::MICRO, 1024);
    ::close(fd);
    if (!reader) return reader.error().message;
    std::shared_ptr<arrow::Schema> schema;
    EXPECT_TRUE((*reader)->GetSchema(&schema).ok());
    return schema->field(0)->type()->ToString();
  }
};

std::string code(const std::string& text) { return text.empty() ? "" : "`" + text + "`"; }

TEST_F(FileTypesDoc, TheGuideSaysWhatTheCodeDoes) {
  std::string table = "| value | csv | jsonl | parquet |\n|---|---|---|---|\n";
  for (const Documented& d : documented()) {
    for (const char* format : {"csv", "jsonl", "parquet"}) {
      ASSERT_NO_FATAL_FAILURE(put(d, format));
    }
    const std::string json_line = line("jsonl");
    ASSERT_TRUE(json_line.starts_with("{\"v\":") && json_line.ends_with("}")) << json_line;
    table += fmt::format("| {} | {} | {} | {} |\n", d.what, code(line("csv")),
                         code(json_line.substr(5, json_line.size() - 6)), code(parquet_type()));
    // What the source reads back of Parquet is what was written.
    const Read read_back = read(R"({"path": "parquet/*.parquet"})", "t");
    const std::string type = is_json(*d.field) ? "json" : d.field->type()->ToString();
    EXPECT_EQ(read_back.types, "v:" + type);
  }
  std::ifstream file(TIDEGATE_SOURCE_DIR "/docs/guides/files.md");
  std::stringstream guide;
  guide << file.rdbuf();
  EXPECT_NE(guide.str().find(table), std::string::npos) << "docs/guides/files.md must have:\n"
                                                        << table;
}

}  // namespace
}  // namespace tidegate::engine::file

// Parquet files of types that were altered, or crashed, on their way.

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/extension/json.h>
#include <arrow/extension/uuid.h>
#include <arrow/io/file.h>
#include <arrow/table.h>
#include <parquet/arrow/writer.h>
#include <parquet/column_writer.h>
#include <parquet/file_writer.h>
#include <parquet/properties.h>
#include <parquet/schema.h>

#include <cstring>
#include <limits>

#include "engine/connectors/file/source_fixture.h"

namespace tidegate::engine::file {
namespace {

using Texts = std::vector<std::string>;

struct Int96Value {
  std::uint32_t day;  // Julian
  std::uint64_t nanos;
};
constexpr std::uint32_t kEpoch = 2'440'588;
constexpr std::uint32_t kYear9999 = 5'373'484;  // 9999-12-31
constexpr std::uint32_t kYear1 = 1'721'426;     // 0001-01-01

class ParquetTypesTest : public FileSourceTest {
 protected:
  void write_int96(const std::string& name, const std::vector<Int96Value>& values) {
    using parquet::schema::GroupNode;
    using parquet::schema::PrimitiveNode;
    const auto node = GroupNode::Make(
        "schema", parquet::Repetition::REQUIRED,
        {PrimitiveNode::Make("at", parquet::Repetition::REQUIRED, parquet::Type::INT96),
         PrimitiveNode::Make("n", parquet::Repetition::REQUIRED, parquet::Type::INT32)});
    auto out = *arrow::io::FileOutputStream::Open(folder_ + "/" + name);
    auto file = parquet::ParquetFileWriter::Open(out, std::static_pointer_cast<GroupNode>(node));
    auto* group = file->AppendRowGroup();
    auto* column = static_cast<parquet::Int96Writer*>(group->NextColumn());
    for (const Int96Value& v : values) {
      parquet::Int96 raw{};
      std::memcpy(raw.value.data(), &v.nanos, sizeof v.nanos);
      raw.value[2] = v.day;
      column->WriteBatch(1, nullptr, nullptr, &raw);
    }
    auto* numbers = static_cast<parquet::Int32Writer*>(group->NextColumn());
    const std::int32_t one = 1;
    for (std::size_t i = 0; i < values.size(); ++i) numbers->WriteBatch(1, nullptr, nullptr, &one);
    file->Close();
    ASSERT_TRUE(out->Close().ok());
  }

  void write_columns(const arrow::FieldVector& fields, const arrow::ArrayVector& arrays) {
    const auto table = arrow::Table::Make(arrow::schema(fields), arrays);
    auto out = *arrow::io::FileOutputStream::Open(folder_ + "/p.parquet");
    ASSERT_TRUE(parquet::arrow::WriteTable(
                    *table, arrow::default_memory_pool(), out, 1024,
                    parquet::default_writer_properties(),
                    parquet::ArrowWriterProperties::Builder().store_schema()->build())
                    .ok());
    ASSERT_TRUE(out->Close().ok());
  }
};

TEST_F(ParquetTypesTest, NamesThatNothingCanHoldAreRefused) {
  using std::string_literals::operator""s;
  arrow::Int64Builder builder;
  ASSERT_TRUE(builder.Append(1).ok());
  const std::shared_ptr<arrow::Array> one = *builder.Finish();
  for (const auto& [name, says] :
       {std::pair{"c\0d"s, R"(column 2 is named "c\x00d", which holds a NUL character; rename it)"},
        {"c\xff"s, R"(column 2 is named "c\xff", which is not valid UTF-8; rename it)"}}) {
    write_columns({arrow::field("id", arrow::int64()), arrow::field(name, arrow::int64())},
                  {one, one});
    const Read got = read(R"({"path": "p.parquet"})", "p");
    ASSERT_TRUE(got.error);
    EXPECT_EQ(got.error->message, "'p.parquet': "s + says);
    EXPECT_EQ(error_kind(*got.error), "data");
  }
}

// Seen here: 9999-12-31 came out as 1816-03-29T05:56:08.066277376, and the run was green.
TEST_F(ParquetTypesTest, Int96OutsideOfTheNanosecondsKeepsItsDate) {
  write_int96("p.parquet", {{kYear9999, 0}, {kYear1, 0}, {kEpoch, 5'000}});
  const Read got = read(R"({"path": "p.parquet"})", "p", {"at"});
  ASSERT_FALSE(got.error) << got.error->message;
  EXPECT_EQ(got.types, "at:timestamp[us] n:int32");
  EXPECT_EQ(got.rows,
            (Texts{"9999-12-31T00:00:00", "0001-01-01T00:00:00", "1970-01-01T00:00:00.000005"}));
}

TEST_F(ParquetTypesTest, Int96KeepsItsNanoseconds) {
  write_int96("p.parquet", {{kEpoch, 1}, {kEpoch + 1, 0}});
  const Read got = read(R"({"path": "p.parquet"})", "p", {"at"});
  ASSERT_FALSE(got.error) << got.error->message;
  EXPECT_EQ(got.types, "at:timestamp[ns] n:int32");
  EXPECT_EQ(got.rows, (Texts{"1970-01-01T00:00:00.000000001", "1970-01-02T00:00:00"}));
}

TEST_F(ParquetTypesTest, Int96ThatNoOneTypeHoldsIsRefused) {
  struct Case {
    std::vector<Int96Value> first, second;
    const char* part;
  };
  const Case cases[] = {
      {{{kYear9999, 0}, {kEpoch, 1}}, {{kEpoch, 0}}, "which no one type holds"},
      {{{kYear9999, 0}}, {{kEpoch, 1}}, "which no one type holds"},  // files of one entity
      {{{kEpoch, 0}}, {{4'000'000'000, 0}}, "is no timestamp"},
      {{{kEpoch, 0}}, {{kEpoch, 86'400'000'000'000}}, "is no timestamp"},
  };
  for (const Case& c : cases) {
    write_int96("p-1.parquet", c.first);
    write_int96("p-2.parquet", c.second);
    const Read got = read(R"({"path": ".", "entities": {"p": "p-*"}})", "p");
    ASSERT_TRUE(got.error);
    EXPECT_EQ(error_kind(*got.error), "data");
    EXPECT_NE(got.error->message.find(c.part), std::string::npos) << got.error->message;
  }
}

TEST_F(ParquetTypesTest, ABrokenInt96ColumnCanBeLeftOut) {
  write_int96("p.parquet", {{4'000'000'000, 0}});
  const Read got = read(R"({"path": "p.parquet"})", "p", {"n"});
  EXPECT_FALSE(got.error);
  EXPECT_EQ(got.rows, Texts{"1"});
}

// Seen here: undefined behaviour (a signed overflow) at the least timestamp.
TEST_F(ParquetTypesTest, TheLeastAndTheGreatestTimestampAreWritten) {
  arrow::TimestampBuilder time(arrow::timestamp(arrow::TimeUnit::MICRO),
                               arrow::default_memory_pool());
  ASSERT_TRUE(time.AppendValues({std::numeric_limits<std::int64_t>::min(), -1,
                                 std::numeric_limits<std::int64_t>::max()})
                  .ok());
  const std::shared_ptr<arrow::Array> array = *time.Finish();
  write_columns({arrow::field("t", array->type())}, {array});
  EXPECT_EQ(read(R"({"path": "p.parquet"})", "p").rows,
            (Texts{"-290308-12-21T19:59:05.224192", "1969-12-31T23:59:59.999999",
                   "294247-01-10T04:00:54.775807"}));
}

// Seen here: the engine was ended by signal 11, an endless recursion.
TEST_F(ParquetTypesTest, ListViewsAreJson) {
  auto values = std::make_shared<arrow::Int64Builder>();
  arrow::ListViewBuilder list(arrow::default_memory_pool(), values);
  ASSERT_TRUE(list.Append(true, 2).ok() && values->AppendValues({1, 2}).ok() &&
              list.AppendNull().ok() && list.Append(true, 0).ok());
  const std::shared_ptr<arrow::Array> array = *list.Finish();
  write_columns({arrow::field("l", array->type())}, {array});
  const Read got = read(R"({"path": "p.parquet"})", "p");
  ASSERT_FALSE(got.error) << got.error->message;
  EXPECT_EQ(got.types, "l:json");
  EXPECT_EQ(got.rows, (Texts{"[1,2]", "∅", "[]"}));
}

// Seen here: decimal32 was refused by SQLite; a JSON column came out as the print of an array, a
// UUID as its digits in brackets, a duration without its unit.
TEST_F(ParquetTypesTest, NarrowDecimalsExtensionsAndDurationsKeepTheirValues) {
  arrow::Decimal32Builder d32(arrow::decimal32(5, 2));
  arrow::Decimal64Builder d64(arrow::decimal64(15, 2));
  ASSERT_TRUE(d32.Append(arrow::Decimal32(125)).ok() && d32.AppendNull().ok() &&
              d64.Append(arrow::Decimal64(-1'234'501)).ok() && d64.AppendNull().ok());
  arrow::StringBuilder text;
  ASSERT_TRUE(text.Append(R"({"a":1})").ok() && text.AppendNull().ok());
  arrow::FixedSizeBinaryBuilder bytes(arrow::fixed_size_binary(16));
  ASSERT_TRUE(bytes.Append("0123456789abcdef").ok() && bytes.AppendNull().ok());
  arrow::DurationBuilder duration(arrow::duration(arrow::TimeUnit::MILLI),
                                  arrow::default_memory_pool());
  ASSERT_TRUE(duration.Append(-1500).ok() && duration.Append(0).ok());
  const auto json = arrow::ExtensionType::WrapArray(arrow::extension::json(), *text.Finish());
  const auto uuid = arrow::ExtensionType::WrapArray(arrow::extension::uuid(), *bytes.Finish());
  std::shared_ptr<arrow::Array> a = *d32.Finish(), b = *d64.Finish(), d = *duration.Finish();
  const auto nested = *arrow::StructArray::Make({json, uuid, d}, Texts{"j", "u", "d"});
  write_columns({arrow::field("a", a->type()), arrow::field("b", b->type()),
                 arrow::field("j", json->type()), arrow::field("u", uuid->type()),
                 arrow::field("d", d->type()), arrow::field("n", nested->type())},
                {a, b, json, uuid, d, nested});
  const Read got = read(R"({"path": "p.parquet"})", "p");
  ASSERT_FALSE(got.error) << got.error->message;
  EXPECT_EQ(got.types, "a:decimal128(5, 2) b:decimal128(15, 2) j:json u:string d:string n:json");
  EXPECT_EQ(got.rows,
            (Texts{R"(1.25|-12345.01|{"a":1}|30313233-3435-3637-3839-616263646566|-PT1.5S|)"
                   R"({"j":{"a":1},"u":"30313233-3435-3637-3839-616263646566","d":"-PT1.5S"})",
                   R"(∅|∅|∅|∅|PT0S|{"j":null,"u":null,"d":"PT0S"})"}));
}

}  // namespace
}  // namespace tidegate::engine::file

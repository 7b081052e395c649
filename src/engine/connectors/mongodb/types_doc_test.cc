// The tables of types in docs/guides/mongodb.md are what the code does.

#include <arrow/type.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "engine/connectors/mongodb/bson_json.h"
#include "engine/connectors/mongodb/encoder.h"
#include "engine/connectors/mongodb/infer.h"
#include "engine/core/schema.h"

namespace tidegate::engine::mongodb {
namespace {

// Of a field with these values, written as Extended JSON.
std::string copied_as(const std::vector<std::string>& values) {
  ShapeGuess guess;
  for (const auto& json : values) {
    Doc d;
    EXPECT_EQ(append_json(d.get(), "v", json), "") << json;
    guess.add(*d.get());
  }
  return type_words(*guess.fields().at(0).field());
}

TEST(MongoTypes, TheGuideSaysWhatTheCodeDoes) {
  const std::pair<const char*, std::vector<std::string>> bson[] = {
      {"bool", {"true"}},
      {"int, long", {"1", "9223372036854775807"}},
      {"double", {"0.5"}},
      {"int and double", {"1", "0.5"}},
      {"decimal", {R"({"$numberDecimal": "123.45"})", R"({"$numberDecimal": "0.1"})"}},
      {"string", {R"("x")"}},
      {"date", {R"({"$date": {"$numberLong": "1"}})"}},
      {"objectId", {R"({"$oid": "0123456789abcdef01234567"})"}},
      {"binData", {R"({"$binary": {"base64": "AQ==", "subType": "00"}})"}},
      {"binData of subtype UUID",
       {R"({"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAAAA==", "subType": "04"}})"}},
      {"document, array, timestamp, regex, minKey, other binData, …",
       {R"({"a": 1})", "[1]", R"({"$timestamp": {"t": 1, "i": 1}})",
        R"({"$regularExpression": {"pattern": "x", "options": ""}})", R"({"$minKey": 1})",
        R"({"$binary": {"base64": "AQ==", "subType": "80"}})"}},
      {"numbers, strings, dates, … in one field",
       {"1", R"("x")", R"({"$date": {"$numberLong": "1"}})"}},
      {"null or absent in all documents", {"null"}}};
  std::string table = "| BSON | is copied as |\n|---|---|\n";
  for (const auto& [name, values] : bson) {
    table += "| " + std::string(name) + " | " + copied_as(values) + " |\n";
  }
  using arrow::TimeUnit;
  const std::pair<const char*, std::shared_ptr<arrow::Field>> types[] = {
      {"", arrow::field("c", arrow::boolean())},
      {"whole number (int32) and smaller", arrow::field("c", arrow::int32())},
      {"", arrow::field("c", arrow::int64())},
      {"", arrow::field("c", arrow::uint64())},
      {"", arrow::field("c", arrow::float64())},
      {"", arrow::field("c", arrow::decimal128(12, 2))},
      {"", arrow::field("c", arrow::utf8())},
      {"", arrow::field("c", arrow::binary())},
      {"", mark_json(arrow::field("c", arrow::utf8()))},
      {"", arrow::field("c", arrow::date32())},
      {"", arrow::field("c", arrow::time64(TimeUnit::MICRO))},
      {"timestamp in milliseconds", arrow::field("c", arrow::timestamp(TimeUnit::MILLI))},
      {"", arrow::field("c", arrow::timestamp(TimeUnit::MICRO))}};
  std::string target = "| type | in MongoDB |\n|---|---|\n";
  for (const auto& [name, field] : types) {
    target += "| " + (*name == '\0' ? type_words(*field) : std::string(name)) + " | " +
              bson_type_words(*field, Timestamps::Text) + " |\n";
  }
  std::ifstream file(TIDEGATE_SOURCE_DIR "/docs/guides/mongodb.md");
  std::stringstream guide;
  guide << file.rdbuf();
  EXPECT_NE(guide.str().find(table), std::string::npos) << "mongodb.md must have:\n" << table;
  EXPECT_NE(guide.str().find(target), std::string::npos) << "mongodb.md must have:\n" << target;
}

}  // namespace
}  // namespace tidegate::engine::mongodb

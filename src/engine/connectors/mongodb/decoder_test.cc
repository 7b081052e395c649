// Documents as rows: what is refused instead of bent.

#include "engine/connectors/mongodb/decoder.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <gtest/gtest.h>

#include <limits>

#include "engine/connectors/mongodb/bson.h"

namespace tidegate::engine::mongodb {
namespace {

constexpr std::int64_t kLast = 253'402'300'799'999, kFirst = -62'167'219'200'000;

Doc at(std::int64_t ms) { return Doc().put("_id", 1).put_date("at", ms); }

// Seen here: in a field that holds texts, too, the year 292278994 became -6911.
TEST(MongoDecoder, ADateWithoutAYearIsNoTextOfAnotherYear) {
  DocumentDecoder texts({{.name = "at", .kind = ColumnKind::Text}});
  for (const std::int64_t ms : {std::numeric_limits<std::int64_t>::max(),
                                std::numeric_limits<std::int64_t>::min(), kLast + 1, kFirst - 1}) {
    const std::string why = texts.take(*at(ms).get());
    EXPECT_TRUE(why.starts_with("field \"at\": a date outside the years 0000 to 9999")) << why;
    EXPECT_NE(why.find("`mode` of the source to `document`"), std::string::npos) << why;
    DocumentDecoder dates({{.name = "at", .kind = ColumnKind::Date}});
    EXPECT_EQ(dates.take(*at(ms).get()), "") << "a date holds it";
  }
  EXPECT_EQ(texts.take(*at(kLast).get()), "");
  EXPECT_EQ(texts.take(*at(kFirst).get()), "");
  const auto batch = texts.finish();
  ASSERT_TRUE(batch) << describe(batch.error());
  const auto& column = static_cast<const arrow::StringArray&>(*(*batch)->column(0));
  ASSERT_EQ(column.length(), 2);
  EXPECT_EQ(column.GetView(0), "9999-12-31T23:59:59.999Z");
  EXPECT_EQ(column.GetView(1), "0000-01-01T00:00:00Z");
}

}  // namespace
}  // namespace tidegate::engine::mongodb

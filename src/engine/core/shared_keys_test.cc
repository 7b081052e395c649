#include "engine/core/shared_keys.h"

#include <arrow/array.h>
#include <arrow/json/from_string.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <gtest/gtest.h>

namespace tidegate::engine {
namespace {

TEST(SharedKeys, CountsRowsLessKeys) {
  const auto schema =
      arrow::schema({arrow::field("a", arrow::utf8()), arrow::field("b", arrow::int64())});
  const auto array = arrow::json::ArrayFromJSONString(
                         arrow::struct_(schema->fields()),
                         R"([["x", 1], ["x", 2], ["x", 1], ["", 1], ["1", 1], ["x", 1]])")
                         .ValueOrDie();
  const auto batch = arrow::RecordBatch::FromStructArray(array).ValueOrDie();
  struct Case {
    std::vector<std::string> key;
    std::vector<std::uint8_t> keep;
    std::size_t max;
    std::int64_t superseded;
    bool complete;
  };
  for (const Case& c : {Case{{"a", "b"}, {1, 1, 1, 1, 1, 1}, 100, 2, true},
                        {{"b", "a"}, {1, 1, 1, 1, 1, 0}, 100, 1, true},
                        {{"a"}, {1, 1, 1, 1, 1, 1}, 6, 3, true},
                        {{"b"}, {1, 1, 1, 1, 1, 1}, 6, 4, true},
                        {{"a"}, {1, 0, 1, 1, 1, 1}, 2, 1, false}}) {
    SharedKeys keys(c.key, c.max);
    keys.add(*batch, c.keep);
    EXPECT_EQ(keys.superseded(), c.superseded);
    EXPECT_EQ(keys.complete(), c.complete);
  }
}

}  // namespace
}  // namespace tidegate::engine

#include "engine/core/intake.h"

#include <arrow/array.h>
#include <arrow/json/from_string.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <gtest/gtest.h>

namespace tidegate::engine {
namespace {

ReadBatch read(const std::string& json) {
  const auto schema =
      arrow::schema({arrow::field("id", arrow::int64()), arrow::field("at", arrow::int64())});
  const auto array =
      arrow::json::ArrayFromJSONString(arrow::struct_(schema->fields()), json).ValueOrDie();
  return {.batch = arrow::RecordBatch::FromStructArray(array).ValueOrDie(),
          .bytes = 10,
          .rejected = {{"t line 3", "odd", "3"}}};
}

BoundFilter filter(const EntityState& known) {
  return BoundFilter({.entity = "t",
                      .cursor = "at",
                      .has_key = false,
                      .from = known.cursor,
                      .to = {},
                      .known = known});
}

TEST(Intake, TakesWhatIsInsideTheBoundNewAndBeforeTheLimit) {
  BoundFilter first = filter({});
  ASSERT_TRUE(first.apply(read("[[1, 10], [2, 20]]").batch));
  EntityState known;
  ASSERT_TRUE(first.save(known));
  // Of the first batch one row is before the bound and one at it is known; two more are new.
  struct Case {
    bool bounded;
    std::optional<std::int64_t> limit;
    std::int64_t taken, read, deduplicated;
    bool full;
  };
  for (const Case& c : std::initializer_list<Case>{{false, {}, 6, 8, 0, false},
                                                   {false, 7, 6, 8, 0, false},
                                                   {false, 6, 6, 8, 0, true},
                                                   {false, 5, 5, 7, 0, true},
                                                   {true, {}, 4, 7, 1, false},
                                                   {true, 4, 4, 7, 1, true},
                                                   {true, 3, 3, 6, 1, true},
                                                   {true, 1, 1, 4, 1, true}}) {
    Intake intake(c.bounded ? std::optional(filter(known)) : std::nullopt, c.limit);
    protocol::EntityResult counts;
    std::int64_t taken = 0;
    for (const char* rows : {"[[1, 10], [2, 20], [3, 20], [4, 30]]", "[[5, 40], [6, 50]]"}) {
      ReadBatch batch = read(rows);
      const auto wanted = intake.take(batch, counts);
      ASSERT_TRUE(wanted) << wanted.error().message;
      taken += (*wanted)->num_rows();
      EXPECT_EQ(batch.rejected.size(), 1U);
    }
    const auto limit = testing::PrintToString(c.limit);
    EXPECT_EQ(taken, c.taken) << c.bounded << limit;
    EXPECT_EQ(counts.rows_read, c.read) << c.bounded << limit;
    EXPECT_EQ(counts.rows_deduplicated, c.deduplicated) << c.bounded << limit;
    EXPECT_EQ(counts.bytes, 20);
    EXPECT_EQ(intake.full(), c.full) << c.bounded << limit;
  }
}

TEST(Intake, KeepsTheBoundOfWhatItTook) {
  Intake intake(filter({}), std::nullopt);
  protocol::EntityResult counts;
  ReadBatch batch = read("[[1, 10], [2, 20]]");
  ASSERT_TRUE(intake.take(batch, counts));
  EntityState state;
  ASSERT_TRUE(intake.save(state));
  EXPECT_TRUE(intake.bounded());
  EXPECT_EQ(state.cursor->to_string(), "20");
  EntityState untouched;
  ASSERT_TRUE(Intake().save(untouched));
  EXPECT_FALSE(untouched.cursor);
}

}  // namespace
}  // namespace tidegate::engine

// Loads into tables that their user made.

#include <gmock/gmock.h>

#include "engine/connectors/postgres/load_fixture.h"

namespace tidegate::engine::postgres {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OwnTableTest : public LoadTest {
 protected:
  // In the place of the fixture's table.
  void make(const std::string& definition) {
    sql("DROP TABLE t; CREATE TABLE t (" + definition + ")");
    bench_.spec.known_state.clear();
    bench_.spec.take_over = true;
  }
  protocol::EntityResult try_load(const std::string& rows) {
    bench_.entity().batches = {batch_of(bench_.entity().schema, rows)};
    bench_.spec.fence = Fence(value(bench_.spec.fence) + 1);
    return bench_.run();
  }
};

TEST_F(OwnTableTest, AColumnThatTheDatabaseComputesIsNamedWithItsRemedy) {
  make("id bigint PRIMARY KEY, name text GENERATED ALWAYS AS ('n' || id) STORED");
  const auto r = try_load(R"([[1, "a"]])");
  EXPECT_EQ(r.error_kind, "configuration");
  EXPECT_THAT(r.error.value_or(""),
              AllOf(HasSubstr("\"name\" is computed by the database"), HasSubstr("leave it out")));
  bench_.spec.entities["t"].exclude_columns = {"name"};
  EXPECT_EQ(try_load(R"([[1, "a"]])").outcome, protocol::EntityOutcome::Succeeded);
  EXPECT_EQ(ask("SELECT name FROM t"), "n1");
}

TEST_F(OwnTableTest, AnIdentityColumnGetsTheSourcesNumbers) {
  make("id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text");
  EXPECT_THAT(load(R"([[7, "a"], [9, "b"]])"), ElementsAre("id=7|name=a", "id=9|name=b"));
  bench_.spec.mode = protocol::SyncMode::Incremental;
  bench_.spec.entities["t"] = {.cursor = "id", .primary_key = {"id"}};
  bench_.spec.reset_epoch = 1;
  load(R"([[7, "a"], [9, "b"]])");
  EXPECT_THAT(load(R"([[9, "c"], [11, "d"]])"),
              ElementsAre("id=11|name=d", "id=7|name=a", "id=9|name=c"));
}

TEST_F(OwnTableTest, AUuidOrAnEnumTakesItsTextsAndRefusesOthersByTheRow) {
  sql("CREATE TYPE mood AS ENUM ('fine', 'well')");
  make("id uuid PRIMARY KEY, name mood");
  bench_.entity().schema = arrow::schema(
      {arrow::field("id", arrow::utf8(), false), arrow::field("name", arrow::utf8())});
  bench_.spec.max_rejected = 2;
  const auto r = try_load(R"([["a0000000-0000-4000-8000-000000000001", "well"],
                              ["a0000000-0000-4000-8000-000000000002", "angry"],
                              ["no uuid", "fine"]])");
  EXPECT_EQ(r.outcome, protocol::EntityOutcome::Succeeded) << r.error.value_or("");
  EXPECT_EQ(r.rows_rejected, 2);
  EXPECT_EQ(ask("SELECT string_agg(id || ' ' || name, ',') FROM t"),
            "a0000000-0000-4000-8000-000000000001 well");
  EXPECT_THAT(ask("SELECT string_agg(reason, ' / ' ORDER BY id) FROM _tidegate_rejected"),
              AllOf(HasSubstr("angry"), HasSubstr("no uuid")));
}

// Its key keeps its name, which is what the new table's would be called.
TEST_F(OwnTableTest, ATableThatWasRenamedIsNotInTheWayOfTheNewOne) {
  sql("ALTER TABLE t RENAME TO t_old; DELETE FROM _tidegate_tables");
  EXPECT_THAT(load(R"([[3, "c"]])"), ElementsAre("id=3|name=c"));
  EXPECT_THAT(load(R"([[4, "d"]])"), ElementsAre("id=4|name=d"));
  EXPECT_EQ(ask("SELECT count(*) FROM t_old"), "2");
}

TEST_F(OwnTableTest, AValueThatOnlyTheServerRefusesIsFoundByItsRow) {
  const std::string latin = database_of(bench_.folder) + "l";
  run(*console(), "CREATE DATABASE " + latin +
                      " ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
  const SystemClock clock;
  SystemRng rng;
  const PathPolicy paths;
  const Context context{.clock = clock, .rng = rng, .paths = paths, .stop = {}};
  auto destination = postgres_connector().make_destination(config_of(latin), context);
  ASSERT_TRUE(destination) << describe(destination.error());
  bench_.entity().batches = {batch_of(kSchema, R"([[1, "a"], [2, "é"], [3, "🙂"]])")};
  bench_.spec.fence = Fence(value(bench_.spec.fence) + 1);
  bench_.spec.known_state.clear();
  const auto r = bench_.run(**destination);
  EXPECT_EQ(r.error_kind, "configuration");
  EXPECT_THAT(r.error.value_or(""),
              AllOf(HasSubstr("row 3 of those that were loaded"), HasSubstr("column \"name\"")));
  destination->reset();
  run(*console(), "DROP DATABASE " + latin);
}

}  // namespace
}  // namespace tidegate::engine::postgres

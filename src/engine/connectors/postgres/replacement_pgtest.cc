// When a full load's table takes the place of the old one, and what hangs on that.

#include "engine/connectors/postgres/replacement.h"

#include <gmock/gmock.h>

#include "engine/connectors/postgres/load_fixture.h"

namespace tidegate::engine::postgres {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ReplacementTest : public LoadTest {};

TEST_F(ReplacementTest, ATableOfTidegatesOwnIsReplacedAsAWhole) {
  const std::string before = oid();
  EXPECT_THAT(load(R"([[2, "c"], [3, null]])"), ElementsAre("id=2|name=c", "id=3|name=∅"));
  EXPECT_NE(oid(), before);
  EXPECT_EQ(last_.rows_deleted, 2);
  EXPECT_EQ(last_.rows_written, 2);
  EXPECT_EQ(stages(), "0");
  EXPECT_EQ(
      ask("SELECT conname FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'p'"),
      "_tidegate_pk_t");
  EXPECT_THAT(load("[]"), IsEmpty());
}

struct Hung {
  const char* what;
  const char* sql;
};
std::ostream& operator<<(std::ostream& out, const Hung& h) { return out << h.what; }

class WhatHangs : public ReplacementTest, public ::testing::WithParamInterface<Hung> {};

TEST_P(WhatHangs, StaysAndTheRowsAreReplaced) {
  sql(GetParam().sql);
  const std::string before = oid();
  EXPECT_THAT(load(R"([[2, "c"], [3, "d"]])"), ElementsAre("id=2|name=c", "id=3|name=d"));
  EXPECT_EQ(oid(), before);
  EXPECT_EQ(last_.rows_deleted, 2);
  EXPECT_EQ(last_.rows_written, 2);
  EXPECT_EQ(stages(), "0");
}

constexpr Hung kHung[] = {
    {"view", "CREATE VIEW v AS SELECT name FROM t"},
    {"function", "CREATE FUNCTION f(t) RETURNS text LANGUAGE sql AS 'SELECT $1.name'"},
    {"column of its type", "CREATE TABLE other (whole t)"},
    {"column of an array of its type", "CREATE TABLE other (many t[])"},
    {"index", "CREATE INDEX ON t (name)"},
    {"statistics", "CREATE STATISTICS s ON id, name FROM t"},
    {"check", "ALTER TABLE t ADD CHECK (name <> 'x')"},
    {"not null", "ALTER TABLE t ALTER name SET NOT NULL"},
    {"default", "ALTER TABLE t ALTER name SET DEFAULT 'n'"},
    {"column with a default", "ALTER TABLE t ADD more int DEFAULT 7"},
    {"owned sequence", "CREATE SEQUENCE q OWNED BY t.id"},
    {"trigger",
     "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION "
     "suppress_redundant_updates_trigger()"},
    {"rule", "CREATE RULE r AS ON UPDATE TO t DO ALSO NOTIFY x"},
    {"policy", "CREATE POLICY p ON t USING (true)"},
    {"row security", "ALTER TABLE t ENABLE ROW LEVEL SECURITY"},
    {"foreign key out",
     "CREATE TABLE p (name text PRIMARY KEY); INSERT INTO p VALUES ('a'), ('b'), "
     "('c'), ('d'); ALTER TABLE t ADD FOREIGN KEY (name) REFERENCES p"},
    {"child", "CREATE TABLE child () INHERITS (t)"},
    {"publication", "CREATE PUBLICATION p FOR TABLE t"},
    {"replica identity", "ALTER TABLE t REPLICA IDENTITY FULL"},
    {"storage options", "ALTER TABLE t SET (fillfactor = 50)"},
    {"statistics target", "ALTER TABLE t ALTER name SET STATISTICS 500"},
    {"compression", "ALTER TABLE t ALTER name SET STORAGE EXTERNAL"},
    {"grant of a column", "GRANT SELECT (name) ON t TO PUBLIC"},
    {"wider type", "ALTER TABLE t ALTER id TYPE numeric(20,0)"},
};
INSTANTIATE_TEST_SUITE_P(Postgres, WhatHangs, ::testing::ValuesIn(kHung));

TEST_F(ReplacementTest, APublicationOfAllTablesIsNotGivenTheStage) {
  sql("CREATE PUBLICATION p FOR ALL TABLES");
  const std::string before = oid();
  load(R"([[3, "d"]])");
  EXPECT_EQ(oid(), before);
}

TEST_F(ReplacementTest, GrantsAndCommentsAreTheOldOnes) {
  const std::string role = "r" + ask("SELECT floor(random() * 1e9)::text");
  sql("CREATE ROLE " + role + "; GRANT SELECT, DELETE ON t TO " + role +
      " WITH GRANT OPTION; GRANT SELECT ON t TO PUBLIC; COMMENT ON TABLE t IS 'it''s ours'; "
      "COMMENT ON COLUMN t.name IS 'of a person'");
  constexpr const char* kGrants =
      "SELECT string_agg(g::text, ' ' ORDER BY g::text) FROM pg_class, unnest(relacl) g WHERE oid "
      "= 't'::regclass";
  const std::string before = oid(), grants = ask(kGrants);
  sql("ALTER DEFAULT PRIVILEGES GRANT INSERT ON TABLES TO PUBLIC");
  load(R"([[3, "d"]])");
  EXPECT_NE(oid(), before);
  EXPECT_EQ(ask(kGrants), grants);
  EXPECT_EQ(ask("SELECT obj_description('t'::regclass)"), "it's ours");
  EXPECT_EQ(ask("SELECT col_description('t'::regclass, 2)"), "of a person");
  sql("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

// An owner's own privileges are no entry of the table's list until somebody else has some.
TEST_F(ReplacementTest, DefaultPrivilegesThatCameLaterGiveAndTakeNothing) {
  sql("ALTER DEFAULT PRIVILEGES GRANT INSERT ON TABLES TO PUBLIC");
  const std::string before = oid();
  load(R"([[3, "d"]])");
  EXPECT_NE(oid(), before);
  EXPECT_EQ(ask("SELECT coalesce(relacl, acldefault('r', relowner)) = acldefault('r', relowner) "
                "FROM pg_class WHERE oid = 't'::regclass"),
            "t");
}

// Names are looked up anew by every statement, and rows by the transaction's snapshot.
TEST_F(ReplacementTest, AReaderWithAnOlderSnapshotSeesAWholeTable) {
  const auto reader = console(database_of(bench_.folder));
  run(*reader, "BEGIN ISOLATION LEVEL REPEATABLE READ");
  ask(*reader, "SELECT 1");  // takes the snapshot
  load(R"([[3, "d"], [4, "e"], [5, "f"]])");
  EXPECT_EQ(ask(*reader, "SELECT count(*) FROM t"), "3");
  run(*reader, "COMMIT");
}

// Rows of one key that were dropped from the new table are there for an older snapshot.
TEST_F(ReplacementTest, AReaderWithAnOlderSnapshotSeesNoRowTwice) {
  const auto reader = console(database_of(bench_.folder));
  run(*reader, "BEGIN ISOLATION LEVEL REPEATABLE READ");
  ask(*reader, "SELECT 1");
  EXPECT_THAT(load(R"([[3, "d"], [4, "e"], [3, "f"]])"), ElementsAre("id=3|name=f", "id=4|name=e"));
  EXPECT_EQ(ask(*reader, "SELECT count(*) FROM t"), "2");
  run(*reader, "COMMIT");
}

TEST_F(ReplacementTest, WhoReadsTheOldTableIsNotWaitedForWithoutEnd) {
  const std::string before = oid();
  const auto reader = console(database_of(bench_.folder));
  run(*reader, "BEGIN");
  EXPECT_EQ(ask(*reader, "SELECT count(*) FROM t"), "2");
  load(R"([[3, "d"]])");
  EXPECT_EQ(oid(), before);
  EXPECT_EQ(ask(*reader, "SELECT count(*) FROM t"), "1");
  run(*reader, "COMMIT");
  EXPECT_EQ(stages(), "0");
}

TEST_F(ReplacementTest, AChangedSchemaIsInTheNewTable) {
  const std::string before = oid();
  const auto wider =
      arrow::schema({arrow::field("id", arrow::int64(), false), arrow::field("name", arrow::utf8()),
                     arrow::field("more", arrow::boolean())});
  bench_.entity().schema = wider;
  bench_.entity().batches = {batch_of(wider, R"([[1, "a", true]])")};
  bench_.spec.fence = Fence(value(bench_.spec.fence) + 1);
  EXPECT_EQ(bench_.run().outcome, protocol::EntityOutcome::Succeeded);
  EXPECT_NE(oid(), before);
  EXPECT_THAT(bench_.stored(), ElementsAre("id=1|name=a|more=1"));
}

// ---- rows that are replaced in a table that stays

TEST_F(ReplacementTest, ATableThatOthersReferToIsNotEmptied) {
  sql("CREATE TABLE child (id bigint REFERENCES t ON DELETE CASCADE); INSERT INTO child VALUES "
      "(1)");
  bench_.entity().batches = {batch_of(kSchema, R"([[1, "c"], [3, "d"]])")};
  bench_.spec.fence = Fence(9);
  const auto refused = bench_.run();
  EXPECT_EQ(refused.outcome, protocol::EntityOutcome::Failed);
  EXPECT_THAT(refused.error.value_or(""),
              AllOf(HasSubstr("foreign keys of child"), HasSubstr("--incremental")));
  EXPECT_THAT(bench_.stored(), ElementsAre("id=1|name=a", "id=2|name=b"));
  EXPECT_EQ(ask("SELECT count(*) FROM child"), "1");
}

TEST_F(ReplacementTest, ATriggerThatKeepsOldRowsFailsTheLoad) {
  sql("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL;END'");
  sql("CREATE TRIGGER k BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep()");
  bench_.entity().batches = {batch_of(kSchema, R"([[3, "d"]])")};
  bench_.spec.fence = Fence(9);
  const auto failed = bench_.run();
  EXPECT_EQ(failed.outcome, protocol::EntityOutcome::Failed);
  EXPECT_THAT(failed.error.value_or(""), HasSubstr("would hold 3 rows after a full load of 1"));
  EXPECT_THAT(bench_.stored(), ElementsAre("id=1|name=a", "id=2|name=b"));
}

// The old rows are about to go: what they are is no obstacle.
TEST_F(ReplacementTest, ANewKeyNeedNotFitTheOldRows) {
  bench_.entity().primary_key = {};
  load(R"([[1, "a"], [1, "b"]])");
  sql("CREATE VIEW v AS SELECT name FROM t");
  bench_.entity().primary_key = {"id"};
  EXPECT_THAT(load(R"([[1, "c"], [2, "d"]])"), ElementsAre("id=1|name=c", "id=2|name=d"));
}

// Casts round, cut and drop without a word.
TEST_F(ReplacementTest, AValueThatTheColumnWouldBendIsRejected) {
  sql("DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, name varchar(3))");
  bench_.spec.schema_change = protocol::SchemaChange::Ignore;
  bench_.spec.max_rejected = 5;
  bench_.spec.known_state.clear();
  bench_.spec.take_over = true;
  EXPECT_THAT(load(R"([[1, "abc"], [2, "abcd"], [3, null]])"),
              ElementsAre("id=1|name=abc", "id=3|name=∅"));
  EXPECT_EQ(last_.rows_rejected, 1);
  EXPECT_THAT(ask("SELECT reason FROM _tidegate_rejected"), HasSubstr("abcd does not fit"));
}

TEST_F(ReplacementTest, RowsAreMergedIntoAPartitionedTable) {
  sql("DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, name text) PARTITION BY RANGE (id); "
      "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (2); "
      "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (2) TO (100)");
  bench_.spec.known_state.clear();
  bench_.spec.mode = protocol::SyncMode::Incremental;
  bench_.spec.entities["t"] = {.cursor = "id", .primary_key = {"id"}};
  bench_.spec.reset_epoch = 1;
  EXPECT_THAT(load(R"([[1, "a"], [2, "b"]])"), ElementsAre("id=1|name=a", "id=2|name=b"));
  EXPECT_THAT(load(R"([[2, "c"], [3, "d"]])"),
              ElementsAre("id=1|name=a", "id=2|name=c", "id=3|name=d"));
  EXPECT_EQ(last_.rows_updated, 1);
  EXPECT_EQ(last_.rows_written, 2);
}

// Both saw a table that was nobody's.
TEST_F(ReplacementTest, OfTwoJobsThatMakeOneTableTheSecondIsRefused) {
  const auto open = [&](Destination& destination, const char* job) {
    return *destination.open(
        {.job = job, .entity = "new", .run_id = RunId("r"), .fence = Fence(1)});
  };
  const auto a = bench_.destination(), b = bench_.destination();
  auto first = open(*a, "job-a"), second = open(*b, "job-b");
  for (Writer* writer : {first.get(), second.get()}) {
    ASSERT_TRUE(
        writer->begin({.kind = LoadKind::Replace, .schema = kSchema, .key = {"id"}, .cursor = {}}));
    ASSERT_TRUE(writer->write(*batch_of(kSchema, R"([[7, "z"]])")));
  }
  ASSERT_TRUE(first->flush());
  ASSERT_TRUE(first->commit(Writer::NewState{"{}", 0}));
  const auto refused = second->flush();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::Conflict) << describe(refused.error());
}

// The stage was committed, and then its worker was killed.
TEST_F(ReplacementTest, WhatAKilledAttemptLeftIsTakenAway) {
  WritePlan plan{.job = bench_.spec.job, .entity = "t", .run_id = RunId("r"), .fence = Fence(50)};
  {
    const auto destination = bench_.destination();
    auto writer = destination->open(plan);
    ASSERT_TRUE(writer) << describe(writer.error());
    const auto batch = batch_of(kSchema, R"([[7, "z"]])");
    ASSERT_TRUE((*writer)->begin(
        {.kind = LoadKind::Replace, .schema = kSchema, .key = {"id"}, .cursor = {}}));
    ASSERT_TRUE((*writer)->write(*batch));
    ASSERT_TRUE((*writer)->flush());
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()");
  }
  EXPECT_EQ(stages(), "1");
  EXPECT_THAT(bench_.stored(), ElementsAre("id=1|name=a", "id=2|name=b"));
  bench_.spec.fence = Fence(50);
  EXPECT_THAT(load(R"([[3, "d"]])"), ElementsAre("id=3|name=d"));
  EXPECT_EQ(stages(), "0");
}

}  // namespace
}  // namespace tidegate::engine::postgres

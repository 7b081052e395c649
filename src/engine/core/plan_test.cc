#include "engine/core/plan.h"

#include <arrow/type.h>
#include <gtest/gtest.h>

namespace tidegate::engine {
namespace {

using protocol::RunSpec;
using protocol::SyncMode;

EntityInfo orders() {
  EntityInfo e;
  e.name = "orders";
  e.schema = arrow::schema({arrow::field("id", arrow::int64()), arrow::field("name", arrow::utf8()),
                            arrow::field("at", arrow::timestamp(arrow::TimeUnit::MICRO)),
                            arrow::field("flag", arrow::boolean())});
  e.cursor_candidates = {"at", "id"};
  return e;
}

RunSpec spec(SyncMode mode) {
  RunSpec s;
  s.job = "j";
  s.run_id = RunId("r");
  s.mode = mode;
  return s;
}

std::string refusal(const RunSpec& s, const EntityInfo& e = orders()) {
  const auto r = make_request(s, e, "src");
  if (r) return "accepted";
  EXPECT_EQ(r.error().code, Code::Invalid);
  return r.error().message;
}

TEST(MakeRequest, AnIncrementalModeWithoutCursorNamesTheCandidates) {
  const std::string why = refusal(spec(SyncMode::Incremental));
  EXPECT_NE(why.find("orders"), std::string::npos) << why;
  EXPECT_NE(why.find("\"at\" and \"id\""), std::string::npos) << why;
}

TEST(MakeRequest, IncrementalWithoutAKeyIsRefusedAndAppendIsNot) {
  RunSpec s = spec(SyncMode::Incremental);
  s.entities["orders"].cursor = "at";
  EXPECT_NE(refusal(s).find("primary key"), std::string::npos);
  s.mode = SyncMode::IncrementalAppend;
  EXPECT_EQ(refusal(s), "accepted");
  s.mode = SyncMode::Incremental;
  EntityInfo with_key = orders();
  with_key.primary_key = {"id"};
  EXPECT_EQ(refusal(s, with_key), "accepted");
}

TEST(MakeRequest, OddSettingsAreRefusedByName) {
  struct Row {
    protocol::EntityOptions options;
    SyncMode mode;
    const char* says;
  };
  const Row rows[] = {
      {{.cursor = "nope", .primary_key = {"id"}}, SyncMode::Incremental, "no column \"nope\""},
      {{.cursor = "flag", .primary_key = {"id"}}, SyncMode::Incremental, "cannot be a cursor"},
      {{.cursor = "at", .primary_key = {"key"}}, SyncMode::Incremental, "no column \"key\""},
      {{.cursor = "id", .lookback = Millis(1)}, SyncMode::IncrementalAppend, "lookback"},
      {{.cursor = "at", .lookback = Millis(1)}, SyncMode::IncrementalAppend, "twice"},
      {{.cursor = "at", .primary_key = {"id"}, .exclude_columns = {"at"}},
       SyncMode::Incremental,
       "include it"},
      {{.include_columns = {"nmae"}}, SyncMode::Full, "did you mean \"name\""},
      {{.exclude_columns = {"id", "name", "at", "flag"}}, SyncMode::Full, "no column is left"},
  };
  for (const Row& row : rows) {
    RunSpec s = spec(row.mode);
    s.entities["orders"] = row.options;
    EXPECT_NE(refusal(s).find(row.says), std::string::npos) << refusal(s);
  }
}

TEST(MakeRequest, AnEntityWithoutAnyColumnSaysSo) {
  EntityInfo empty;
  empty.name = "orders";
  empty.schema = arrow::schema(arrow::FieldVector{});
  const auto request = make_request(spec(SyncMode::Full), empty, "src");
  ASSERT_FALSE(request);
  EXPECT_NE(request.error().message.find("an empty file has not even a header"), std::string::npos)
      << request.error().message;
}

TEST(MakeRequest, AnExactNameWinsOverAGlob) {
  RunSpec s = spec(SyncMode::Full);
  s.entities["*"].exclude_columns = {"flag"};
  EXPECT_EQ(make_request(s, orders(), "src")->schema->num_fields(), 3);
  s.entities["orders"] = {};
  EXPECT_EQ(make_request(s, orders(), "src")->schema->num_fields(), 4);
}

// Seen here: the destination's table lost its key without a word.
TEST(MakeRequest, AKeyThatIsLeftOutIsTold) {
  EntityInfo keyed = orders();
  keyed.primary_key = {"id"};
  RunSpec s = spec(SyncMode::Full);
  EXPECT_TRUE(make_request(s, keyed, "src")->warnings.empty());
  s.entities["orders"].exclude_columns = {"id"};
  const auto r = make_request(s, keyed, "src");
  ASSERT_EQ(r->warnings.size(), 1U);
  EXPECT_NE(r->warnings.front().find("primary key (\"id\")"), std::string::npos);
  EXPECT_EQ(decide(s, *r, {}, Instant{})->warnings, r->warnings);
}

// Seen here: `--incremental` into a folder of CSV files succeeded once and failed from then on, and
// a key in mode full was taken and kept every row.
TEST(MakeRequest, ADestinationWithoutKeysTakesNone) {
  EntityInfo keyed = orders();
  keyed.primary_key = {"id"};
  RunSpec s = spec(SyncMode::Incremental);
  s.entities["orders"].cursor = "at";
  auto r = make_request(s, keyed, "src", false);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().reason, "mode_unsupported");
  s.mode = SyncMode::Full;
  r = make_request(s, keyed, "src", false);
  ASSERT_TRUE(r) << "the source's own key is no wish";
  EXPECT_FALSE(r->keyed());
  s.entities["orders"].primary_key = {"id"};
  r = make_request(s, keyed, "src", false);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().reason, "key_unsupported");
  s.mode = SyncMode::IncrementalAppend;
  EXPECT_TRUE(make_request(s, keyed, "src", false));
}

struct Decided {
  RunSpec run = spec(SyncMode::Incremental);
  WriterState found;
  EntityRequest request;
  Result<EntityDecision> operator()() {
    return decide(run, request, found, from_ms(1'700'000'000'000));
  }
};

// A job that has committed up to at = 2026-01-01.
Decided committed(SyncMode mode = SyncMode::Incremental) {
  Decided d;
  d.run = spec(mode);
  d.run.entities["orders"] = {.cursor = "at", .primary_key = {"id"}};
  d.request = *make_request(d.run, orders(), "src");
  EntityState state;
  state.mode = mode;
  state.fingerprint = d.request.fingerprint;
  state.run_id = "r";
  if (is_incremental(mode)) {
    state.cursor = *CursorValue::parse(CursorKind::Timestamp, "2026-01-01T00:00:00Z");
    state.seen_at_bound = {{"hash", 1}};
  }
  d.found = {.destination_id = "dest",
             .epoch = 1,
             .sequence = 4,
             .state = encode(state),
             .fence = Fence(1),
             .table = "orders",
             .table_exists = true,
             .table_empty = false};
  d.run.known_state["orders"] = {"dest", 1, 4, d.found.state};
  return d;
}

TEST(Decide, GoesOnFromTheBoundInclusively) {
  const auto d = committed()();
  ASSERT_TRUE(d);
  EXPECT_EQ(d->load, LoadKind::Merge);
  ASSERT_TRUE(d->from);
  EXPECT_EQ(d->from->to_string(), "2026-01-01T00:00:00Z");
  EXPECT_FALSE(d->to);
  EXPECT_TRUE(d->advance);
}

TEST(Decide, LookbackMovesTheLowerBoundAndLagTheUpper) {
  Decided c = committed();
  c.request.lookback = Millis(60'000);
  c.request.lag = Millis(1'000);
  const auto d = c();
  ASSERT_TRUE(d);
  EXPECT_EQ(d->from->to_string(), "2025-12-31T23:59:00Z");
  EXPECT_EQ(d->to->to_string(), "2023-11-14T22:13:19Z");
}

TEST(Decide, StartsFromNothingByReplacing) {
  Decided c = committed();
  c.found = {.table = "orders"};
  c.run.known_state.clear();
  const auto d = c();
  ASSERT_TRUE(d);
  EXPECT_EQ(d->load, LoadKind::Replace);
  EXPECT_FALSE(d->from);
}

TEST(Decide, ATableThatIsGoneIsReadInFullAndSaidSo) {
  Decided c = committed();
  c.found.table_exists = false;
  c.found.table_empty = true;
  const auto d = c();
  ASSERT_TRUE(d);
  EXPECT_EQ(d->load, LoadKind::Replace);
  EXPECT_FALSE(d->from);
  EXPECT_EQ(d->warnings.size(), 1U);
}

// Seen here: a day's file with only a header made the run exit 2, "the cursor was date and is text
// now".
TEST(Decide, ACursorColumnWithoutValuesIsNoChangeOfKind) {
  Decided c = committed();
  EntityInfo e = orders();
  const int at = e.schema->GetFieldIndex("at");
  e.schema = *e.schema->SetField(at, arrow::field("at", arrow::null()));
  for (const auto mode : {SyncMode::Incremental, SyncMode::IncrementalAppend}) {
    c.run.mode = mode;
    auto& options = c.run.entities["orders"];
    options.lag = Millis(1000);
    const auto request = make_request(c.run, e, "src");
    ASSERT_TRUE(request) << request.error().message;
    c.request = *request;
    const auto d = c();
    ASSERT_TRUE(d) << d.error().message;
    ASSERT_TRUE(d->from);
    EXPECT_FALSE(d->to);
    options.lookback = Millis(1);
    EXPECT_EQ(make_request(c.run, e, "src").has_value(), mode == SyncMode::Incremental);
    options.lookback.reset();
  }
}

TEST(Decide, AChangedDestinationIsNeverReadFromZeroInSilence) {
  struct Row {
    const char* name;
    std::function<void(Decided&)> change;
  };
  const Row rows[] = {
      {"another id", [](Decided& c) { c.found.destination_id = "other"; }},
      {"no state",
       [](Decided& c) {
         c.found.destination_id.clear(), c.found.state.clear(), c.found.sequence = 0;
       }},
      {"older epoch", [](Decided& c) { c.found.epoch = 0; }},
      {"older commit", [](Decided& c) { c.found.sequence = 3; }},
      {"same commit, other state", [](Decided& c) { c.run.known_state["orders"].state = "{}"; }},
  };
  for (const Row& row : rows) {
    Decided c = committed();
    row.change(c);
    const auto d = c();
    ASSERT_FALSE(d) << row.name;
    EXPECT_EQ(d.error().reason, "destination_changed") << row.name;
    c.run.reset_epoch = 2;
    EXPECT_TRUE(c()) << row.name;
  }
}

// Seen here: full_append went on into a destination that had been swapped or restored.
TEST(Decide, EveryModeButFullChecksTheDestination) {
  for (const SyncMode mode :
       {SyncMode::Incremental, SyncMode::IncrementalAppend, SyncMode::FullAppend, SyncMode::Full}) {
    Decided c = committed(mode);
    c.run.run_id = RunId("another");
    c.found.destination_id = "other";
    EXPECT_EQ(c().has_value(), mode == SyncMode::Full);
  }
}

TEST(Decide, ADestinationThatIsAheadIsBelieved) {
  Decided c = committed();
  c.found.sequence = 5;
  EXPECT_TRUE(c());
  c = committed();
  c.found.epoch = 2;
  c.found.sequence = 1;
  EXPECT_TRUE(c());
}

// Symptom: "not valid JSON at byte 281: syntax error", of what and what to do nobody said.
TEST(Decide, AStateThatCannotBeReadAsksForAReset) {
  for (const char* text :
       {"{\"source\": \"\xff\"}", "{", "[]", "{\"mode\": \"x\", \"format\": 1}"}) {
    for (const SyncMode mode :
         {SyncMode::Full, SyncMode::FullAppend, SyncMode::IncrementalAppend}) {
      RunSpec s = spec(mode);
      s.entities["orders"].cursor = "at";
      WriterState found;
      found.state = text;
      found.destination_id = "d";
      // The server's copy of it is no better.
      s.known_state["orders"] = {"d", 0, 0, "other"};
      const auto d = decide(s, *make_request(s, orders(), "src"), found, Instant{});
      ASSERT_FALSE(d) << text;
      EXPECT_EQ(d.error().reason, "bad_state") << d.error().message;
      for (const char* part : {"\"orders\"", "--reset", "jobs reset"}) {
        EXPECT_NE(d.error().message.find(part), std::string::npos) << d.error().message;
      }
      s.reset_epoch = 1;
      EXPECT_TRUE(decide(s, *make_request(s, orders(), "src"), found, Instant{}));
    }
  }
}

TEST(Decide, AResetStartsOverOnceAndKeepsItsEpoch) {
  Decided c = committed();
  c.run.reset_epoch = 2;
  auto d = c();
  ASSERT_TRUE(d);
  EXPECT_EQ(d->load, LoadKind::Replace);
  EXPECT_EQ(d->epoch, 2);
  c.found.epoch = 2;
  d = c();
  ASSERT_TRUE(d);
  EXPECT_EQ(d->load, LoadKind::Merge);
}

TEST(Decide, AnotherFingerprintAsksForAReset) {
  for (const auto& part : {&Fingerprint::source, &Fingerprint::columns, &Fingerprint::where,
                           &Fingerprint::cursor, &Fingerprint::key}) {
    Decided c = committed();
    c.request.fingerprint.*part = "else";
    const auto d = c();
    ASSERT_FALSE(d);
    EXPECT_EQ(d.error().reason, "reset_needed");
  }
}

TEST(Decide, LimitsNeverReplaceNorAdvance) {
  Decided c = committed();
  c.run.limit = 5;
  const auto merge = c();
  ASSERT_TRUE(merge);
  EXPECT_EQ(merge->load, LoadKind::Merge);
  EXPECT_FALSE(merge->advance);
  c.run.limit.reset();
  c.run.where = "id > 5";
  ASSERT_TRUE(c());
  EXPECT_EQ(c()->load, LoadKind::Merge);
  EXPECT_FALSE(c()->advance);
  Decided append = committed(SyncMode::IncrementalAppend);
  append.run.limit = 5;
  EXPECT_FALSE(append());
  append.found = {.table = "orders"};
  append.run.known_state.clear();
  EXPECT_TRUE(append());
}

// Seen here: a limited run put one row into a table that somebody had emptied, and the next run
// went on behind the rows that were gone: exit code 0, one row of three.
TEST(Decide, ALimitedRunIntoATableThatWasEmptiedIsRefused) {
  for (const SyncMode mode : {SyncMode::Incremental, SyncMode::IncrementalAppend}) {
    for (const bool exists : {true, false}) {
      Decided c = committed(mode);
      c.found.table_exists = exists;
      c.found.table_empty = true;
      c.run.limit = 1;
      const auto refused = c();
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().reason, "limit_refused");
      EXPECT_NE(refused.error().message.find(exists ? "is empty" : "is gone"), std::string::npos)
          << refused.error().message;
      c.run.limit.reset();
      EXPECT_TRUE(c());
    }
  }
}

// Seen here: the rows that a limited run had replaced were known by what they had been before.
TEST(Decide, ALimitedMergeForgetsTheRowsAtTheBoundAndNothingElse) {
  Decided c = committed();
  c.run.limit = 1;
  const auto d = c();
  ASSERT_TRUE(d);
  ASSERT_TRUE(d->weakened);
  EXPECT_FALSE(d->advance);
  EntityState expected = *decode_state(c.found.state);
  expected.seen_at_bound.clear();
  expected.seen_dropped = true;
  EXPECT_EQ(encode(*d->weakened), encode(expected));
}

// Seen here: 12,000 rows shared the bound, were merged, and were appended once more after the mode
// had become incremental_append.
TEST(Decide, AnAppendBehindRowsThatAreNotRememberedAsksForAReset) {
  for (const bool recorded : {true, false}) {
    Decided c = committed();
    EntityState state = *decode_state(c.found.state);
    state.seen_at_bound.clear();
    state.seen_dropped = recorded;
    c.found.state = c.run.known_state["orders"].state = encode(state);
    EXPECT_TRUE(c()) << "merging goes on";
    c.run.mode = c.request.mode = SyncMode::IncrementalAppend;
    const auto refused = c();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().reason, "reset_needed");
  }
  Decided whole = committed();
  whole.run.mode = whole.request.mode = SyncMode::IncrementalAppend;
  EXPECT_TRUE(whole());
}

// A full_append has no position: its state says which load is complete, so a limited one keeps it.
TEST(Decide, ALimitedFullAppendRemembersItsLoad) {
  Decided c = committed(SyncMode::FullAppend);
  c.run.limit = 1;
  EXPECT_TRUE(c()->done) << "the same run";
  c.run.run_id = RunId("another");
  EXPECT_FALSE(c()->done);
  EXPECT_TRUE(c()->advance);
  Decided positioned = committed();
  positioned.run.mode = positioned.request.mode = SyncMode::FullAppend;
  positioned.run.limit = 1;
  EXPECT_EQ(positioned().error().reason, "limit_refused");
}

TEST(Decide, WhyALimitIsRefusedFitsTheDestination) {
  Decided c = committed(SyncMode::Full);
  c.run.entities.clear();
  c.run.limit = 1;
  for (const bool keys : {true, false}) {
    c.request = *make_request(c.run, orders(), "src", keys);
    const auto refused = c();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message.find("primary key") != std::string::npos, keys);
    EXPECT_EQ(refused.error().message.find("incremental"), std::string::npos);
  }
}

}  // namespace
}  // namespace tidegate::engine

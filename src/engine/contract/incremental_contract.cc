// What an incremental run, a limited one and a look at one must do behind a state.

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include "engine/contract/fixture.h"

namespace tidegate::engine::contract {

int link_incremental_suite() { return 1; }
namespace {

using protocol::EntityOutcome;
using protocol::SyncMode;
using Texts = std::vector<std::string>;

std::string why(const protocol::EntityResult& r) { return r.error.value_or("no error"); }

#define EXPECT_DONE(result)                                           \
  do {                                                                \
    const auto& done_ = (result);                                     \
    EXPECT_EQ(done_.outcome, EntityOutcome::Succeeded) << why(done_); \
  } while (false)

// `t` with the columns id, v and at, in that mode.
void make(Bench& bench, SyncMode mode) {
  bench.spec.mode = mode;
  bench.spec.entities["t"] = {.cursor = "at", .primary_key = {"id"}};
  bench.entity().schema =
      arrow::schema({arrow::field("id", arrow::int64()), arrow::field("v", arrow::utf8()),
                     arrow::field("at", arrow::int64())});
}

void set_rows(Bench& bench, const std::string& json) {
  bench.entity().batches = {batch_of(bench.entity().schema, json)};
}

// Seen here: a row that went back to an earlier value at the bound kept the value between.
TEST_P(DestinationContract, AnUpdateThatGoesBackAtTheBoundArrives) {
  if (!GetParam().merges) return;
  for (const char* at : {"10", "null"}) {
    Bench bench(GetParam());
    make(bench, SyncMode::Incremental);
    for (const char* v : {"a", "b", "a"}) {
      set_rows(bench, fmt::format(R"([[1, "{}", {}], [2, "x", {}]])", v, at, at));
      EXPECT_DONE(bench.run());
      EXPECT_EQ(bench.stored(), bench.expected()) << v;
    }
    EXPECT_EQ(bench.run().rows_deduplicated, 2);
  }
}

// Only the counts can tell: of a load that replaces by key, then of one that merges.
TEST_P(DestinationContract, KeyedRowsThatVanishOnTheWayFailTheRun) {
  if (!GetParam().merges) return;
  make(*bench_, SyncMode::Incremental);
  set_rows(*bench_, R"([[1, "a", 10], [2, "b", 10]])");
  const auto real = bench_->destination();
  LossyDestination lossy(*real);
  EXPECT_EQ(bench_->run(lossy).error_kind, "internal");
  EXPECT_TRUE(bench_->nothing_stored());
  EXPECT_DONE(bench_->run());
  const Texts before = bench_->stored();
  set_rows(*bench_, R"([[2, "B", 20], [3, "c", 20]])");
  EXPECT_EQ(bench_->run(lossy).error_kind, "internal");
  EXPECT_EQ(bench_->stored(), before);
}

// Seen here: what a limited run had replaced was "deduplicated" by what it had been before.
TEST_P(DestinationContract, ALimitedMergeKeepsNoRowFromTheNextRun) {
  if (!GetParam().merges) return;
  for (const char* at : {"10", "null"}) {
    Bench bench(GetParam());
    make(bench, SyncMode::Incremental);
    set_rows(bench, fmt::format(R"([[1, "a", {}], [2, "x", {}]])", at, at));
    EXPECT_DONE(bench.run());
    bench.remember();
    const Texts before = bench.stored();
    set_rows(bench, fmt::format(R"([[1, "b", {}], [2, "x", {}]])", at, at));
    bench.spec.limit = 1;
    EXPECT_DONE(bench.run());
    bench.remember();
    set_rows(bench, fmt::format(R"([[1, "a", {}], [2, "x", {}]])", at, at));
    bench.spec.limit.reset();
    EXPECT_DONE(bench.run());
    EXPECT_EQ(bench.stored(), before);
    bench.remember();
    EXPECT_EQ(bench.run().rows_deduplicated, 2);
  }
}

// Seen here: a column that the source had added stayed NULL in the rows at the bound.
TEST_P(DestinationContract, RowsAtTheBoundGetTheirValueInAColumnThatIsNew) {
  if (!GetParam().merges) return;
  make(*bench_, SyncMode::Incremental);
  set_rows(*bench_, R"([[1, "a", 10], [2, "b", null]])");
  EXPECT_DONE(bench_->run());
  auto fields = bench_->entity().schema->fields();
  fields.push_back(arrow::field("extra", arrow::int64()));
  bench_->entity().schema = arrow::schema(fields);
  set_rows(*bench_, R"([[1, "a", 10, 7], [2, "b", null, 8]])");
  EXPECT_DONE(bench_->run());
  EXPECT_EQ(bench_->stored(), bench_->expected());
}

// Seen here: the first load kept one version of each key and made a primary key, later ones all.
TEST_P(DestinationContract, IncrementalAppendKeepsEveryVersionAlsoOfItsFirstLoad) {
  if (!GetParam().appends) return;
  make(*bench_, SyncMode::IncrementalAppend);
  set_rows(*bench_, R"([[1, "a", 10], [1, "b", 20], [null, "no id", 20]])");
  EXPECT_DONE(bench_->run());
  EXPECT_EQ(bench_->stored(), bench_->expected());
  bench_->entity().batches.push_back(batch_of(bench_->entity().schema, R"([[1, "c", 30]])"));
  const auto r = bench_->run();
  EXPECT_DONE(r);
  EXPECT_EQ(r.schema_changes, Texts{});
  EXPECT_EQ(bench_->stored(), bench_->expected());
}

// Seen here: the second attempt of a limited full_append wrote its rows once more.
TEST_P(DestinationContract, ALimitedFullAppendAddsItsRowsOnce) {
  if (!GetParam().appends) return;
  make(*bench_, SyncMode::FullAppend);
  set_rows(*bench_, R"([[1, "a", 10], [2, "b", 20]])");
  bench_->spec.limit = 1;
  for (const char* run : {"run-1", "run-2"}) {
    bench_->spec.run_id = RunId(run);
    for (const int attempt : {1, 2}) {
      bench_->spec.attempt = attempt;
      EXPECT_DONE(bench_->run());
      bench_->remember();
    }
  }
  EXPECT_EQ(bench_->texts({"id", "_tidegate_load_id"}),
            (Texts{"id=1|_tidegate_load_id=run-1", "id=1|_tidegate_load_id=run-2"}));
}

// Seen here: `--incremental` into CSV files did its first load, the dry run found nothing wrong,
// and every later run failed; `--limit 1` in mode full failed with words about `incremental`.
TEST_P(DestinationContract, WhatADestinationWithoutKeysCannotDoIsRefusedAtOnce) {
  if (GetParam().merges) return;
  make(*bench_, SyncMode::Incremental);
  set_rows(*bench_, R"([[1, "a", 10], [1, "b", 20]])");
  EXPECT_EQ(bench_->look().error_kind, "configuration");
  EXPECT_EQ(bench_->run().error_kind, "configuration");
  bench_->spec.mode = SyncMode::Full;
  const auto keyed = bench_->run();
  EXPECT_EQ(keyed.error_kind, "configuration");
  EXPECT_NE(why(keyed).find("has no keys"), std::string::npos) << why(keyed);
  EXPECT_TRUE(bench_->nothing_stored());
  // The source's own key is no wish.
  bench_->spec.entities.clear();
  bench_->entity().primary_key = {"id"};
  EXPECT_DONE(bench_->run());
  EXPECT_EQ(bench_->stored(), bench_->expected());
  bench_->spec.limit = 1;
  const auto limited = bench_->run();
  EXPECT_EQ(limited.error_kind, "configuration");
  EXPECT_EQ(why(limited).find("incremental"), std::string::npos) << why(limited);
}

// Seen here: a dry run showed rows that were in the destination already.
TEST_P(DestinationContract, ALookShowsWhatTheRunWouldWrite) {
  make(*bench_, GetParam().merges ? SyncMode::Incremental : SyncMode::IncrementalAppend);
  set_rows(*bench_, R"([[1, "a", 10], [2, "b", 20], [3, "c", 20]])");
  EXPECT_DONE(bench_->run());
  bench_->entity().batches.push_back(batch_of(bench_->entity().schema, R"([[4, "d", 20]])"));
  const auto seen = bench_->look();
  ASSERT_EQ(seen.code, protocol::ExitCode::Done) << seen.error.value_or("");
  const auto& rows = seen.reply.at("entities").at(0).at("rows").as_array();
  ASSERT_EQ(rows.size(), 1U) << rows;
  EXPECT_EQ(rows[0].at("id").as_int64(), 4);
  EXPECT_EQ(bench_->run().rows_written, 1);
}

// Seen here: a dry run found nothing wrong with a file of which the run rejected two rows.
TEST_P(DestinationContract, ALookRejectsWhatTheRunWould) {
  make(*bench_, GetParam().merges ? SyncMode::Incremental : SyncMode::IncrementalAppend);
  set_rows(*bench_, R"([[1, "a", 10], [null, "no id", 20]])");
  bench_->entity().batches.push_back(batch_of(bench_->entity().schema, R"([[2, "b", 30]])"));
  bench_->entity().rejected = {{"t line 3", "it has 1 field", "3"}, {"t line 4", "odd", "4"}};
  const auto rejected = GetParam().merges ? 3 : 2;
  for (const std::int64_t accepted : {0, 3}) {
    bench_->spec.max_rejected = accepted;
    const auto seen = bench_->look();
    ASSERT_EQ(seen.entities.size(), 1U);
    EXPECT_EQ(seen.entities[0].rows_read, 5);
    EXPECT_EQ(seen.entities[0].rows_rejected, rejected);
    EXPECT_EQ(seen.error_kind.value_or(""), accepted == 0 ? "data" : "");
    const std::string words = seen.error.value_or("");
    EXPECT_EQ(words.find("t line 3: it has 1 field") != std::string::npos, accepted == 0) << words;
    EXPECT_TRUE(bench_->nothing_stored());
  }
  bench_->spec.max_rejected = 0;
  bench_->spec.limit = 1;
  EXPECT_EQ(bench_->look().entities.at(0).rows_read, 3) << "one row and those beside it";
  bench_->spec.limit.reset();
  bench_->spec.max_rejected = 3;
  const auto r = bench_->run();
  EXPECT_DONE(r);
  EXPECT_EQ(r.rows_rejected, rejected);
}

// Seen here: a dry run had the error and exit code of its last entity, a run those of the worst; an
// exception of one entity ended it without a result for the others.
TEST_P(DestinationContract, ALookEndsAsTheRunWould) {
  for (const char* name : {"a", "b", "c"}) {
    auto& e = bench_->entity(name);
    e.schema = arrow::schema({arrow::field("id", arrow::int64())});
    e.batches = {batch_of(e.schema, "[[1]]")};
  }
  bench_->entity("a").on_batch = [](int) -> Status { return fail(Code::Unavailable, "later"); };
  bench_->entity("b").on_batch = [](int) -> Status { throw std::runtime_error("thrown"); };
  bench_->spec.entities["c"].include_columns = {"nope"};
  const auto seen = bench_->look();
  EXPECT_EQ(seen.code, protocol::ExitCode::Retryable);
  EXPECT_EQ(seen.error_kind, "transient");
  EXPECT_EQ(seen.error, "3 of 3 entities did not finish: later");
  ASSERT_EQ(seen.entities.size(), 3U);
  EXPECT_EQ(seen.entities[1].error_kind, "internal");
  EXPECT_EQ(seen.entities[2].error_kind, "configuration");
}

}  // namespace
}  // namespace tidegate::engine::contract

// Rows, types, modes and schema changes: what every destination must do with good and odd data.

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <atomic>
#include <thread>

#include "engine/contract/fixture.h"
#include "engine/core/schema.h"
#include "protocol/fields.h"

namespace tidegate::engine::contract {

int link_destination_suite() { return 1; }
namespace {

using protocol::EntityOutcome;
using protocol::SyncMode;
using Texts = std::vector<std::string>;

std::shared_ptr<arrow::Schema> two_columns() {
  return arrow::schema({arrow::field("id", arrow::int64()), arrow::field("name", arrow::utf8())});
}

std::string why(const protocol::EntityResult& r) { return r.error.value_or("no error"); }

#define EXPECT_DONE(result)                                                          \
  do {                                                                               \
    const auto& done_ = (result);                                                    \
    EXPECT_EQ(done_.outcome, EntityOutcome::Succeeded) << why(done_);                \
    EXPECT_EQ(done_.rows_read, done_.rows_written + done_.rows_rejected +            \
                                   done_.rows_deduplicated + done_.rows_superseded); \
  } while (false)

// regressions.md: "every timestamp stored as 0001-01-01, exit code 0" and "numeric(12,2) becomes
// numeric".
TEST_P(DestinationContract, EveryTypeComesBackAsItWentIn) {
  auto& e = bench_->entity();
  e.schema = arrow::schema(
      {arrow::field("id", arrow::int64()), arrow::field("i8", arrow::int8()),
       arrow::field("u32", arrow::uint32()), arrow::field("u64", arrow::uint64()),
       arrow::field("f", arrow::float64()), arrow::field("dec", arrow::decimal128(12, 2)),
       arrow::field("wide", arrow::decimal128(38, 10)), arrow::field("flag", arrow::boolean()),
       arrow::field("text", arrow::utf8()), arrow::field("day", arrow::date32()),
       arrow::field("ts", arrow::timestamp(arrow::TimeUnit::MICRO)),
       arrow::field("tz", arrow::timestamp(arrow::TimeUnit::MICRO, "UTC")),
       mark_json(arrow::field("doc", arrow::utf8()))});
  const auto& d = GetParam();
  const std::string wide =
      std::string("1234567890123456789012345678").substr(38 - d.decimal_digits);
  const std::string doc = d.keeps_json_text ? R"({\"a\": [1, null]})" : R"({\"a\":[1,null]})";
  const auto at = [&](std::int64_t us) { return us - us % d.time_step_us; };
  e.batches = {
      batch_of(e.schema, fmt::format(
                             R"([[1, -128, 4294967295, 18446744073709551615, 0.1, "1234567890.10",
           "{}.0123456789", true, "x", 0, 0, {}, "{}"],
          [9223372036854775807, 127, 0, 0, -1.5e300, "-0.01", "0.0000000001", false, "007", {},
           {}, {}, "\"text\""],
          [-9223372036854775808, 0, 1, 1, 0, "0.00", "0.0000000000", true, "1e5", 20000, {},
           1700000000000000, "1.0"]])",
                             wide, at(1'001), doc, d.first_day, at(253'402'300'799'999'999),
                             at(-1'001), at(1'700'000'000'123'456)))};
  const auto r = bench_->run();
  EXPECT_DONE(r);
  EXPECT_EQ(r.rows_written, 3);
  if (GetParam().keeps_types) EXPECT_EQ(bench_->stored(), bench_->expected());
}

// Symptom: an entity that had the name of a file of the destination's own made all others fail.
TEST_P(DestinationContract, NoNameOfAnEntityIsInTheWayOfAnother) {
  for (const std::string name : {"id", "id.new", "state", "lock", "t"}) {
    auto& e = bench_->entity(name);
    e.schema = two_columns();
    e.batches = {batch_of(e.schema, R"([[1, "a"], [2, "b"]])")};
    SCOPED_TRACE(name);
    EXPECT_DONE(bench_->run(name));
    EXPECT_EQ(bench_->stored(name), bench_->expected(name));
  }
}

// regressions.md: "empty string and NULL are mixed up".
TEST_P(DestinationContract, EmptyTextAndNullStayApart) {
  auto& e = bench_->entity();
  e.schema = two_columns();
  e.batches = {
      batch_of(e.schema, R"([[1, ""], [2, null], [3, "NULL"], [4, " "], [null, "no id"]])")};
  EXPECT_DONE(bench_->run());
  EXPECT_EQ(bench_->stored(), bench_->expected());
}

TEST_P(DestinationContract, UnicodeNulBytesAndOddNamesSurvive) {
  auto& e = bench_->entity();
  e.schema = arrow::schema(
      {arrow::field("größe \"x\", y", arrow::utf8()), arrow::field("select", arrow::utf8())});
  e.batches = {batch_of(
      e.schema,
      R"([["naïve 😀 \u0000 end", "a,b\"c\nd\r\n"], ["\ufeffbom", "'quoted'"], ["\\", ";--"]])")};
  bench_->spec.max_rejected = GetParam().holds_nul ? 0 : 1;
  const auto r = bench_->run();
  EXPECT_EQ(r.outcome, EntityOutcome::Succeeded) << r.error.value_or("");
  EXPECT_EQ(r.rows_rejected, bench_->spec.max_rejected);
  if (!GetParam().holds_nul) e.batches = {(*e.batches[0]).Slice(1)};
  EXPECT_EQ(bench_->stored(), bench_->expected());
}

TEST_P(DestinationContract, WideRowsAndLongTexts) {
  auto& e = bench_->entity();
  arrow::FieldVector fields;
  std::string row = "[";
  for (int i = 0; i < 400; ++i) {
    fields.push_back(arrow::field(fmt::format("c{}", i), arrow::int64()));
    row += fmt::format("{}, ", i);
  }
  fields.push_back(arrow::field("long", arrow::utf8()));
  e.schema = arrow::schema(fields);
  e.batches = {batch_of(e.schema, "[" + row + "\"" + std::string(1 << 20, 'x') + "\"]]")};
  EXPECT_DONE(bench_->run());
  EXPECT_EQ(bench_->stored(), bench_->expected());
}

TEST_P(DestinationContract, AnEmptyStreamMakesAnEmptyTable) {
  auto& e = bench_->entity();
  e.schema = two_columns();
  EXPECT_DONE(bench_->run());
  EXPECT_EQ(bench_->stored(), Texts{});
}

// regressions.md: "88,701 rows read, 41,008 landed, succeeded".
TEST_P(DestinationContract, RowsThatVanishOnTheWayFailTheRun) {
  auto& e = bench_->entity();
  e.schema = two_columns();
  e.batches = {batch_of(e.schema, R"([[1, "a"], [2, "b"]])")};
  const auto real = bench_->destination();
  // The lost row is not reported; only the counts can tell.
  LossyDestination lossy(*real);
  const auto r = bench_->run(lossy);
  EXPECT_EQ(r.outcome, EntityOutcome::Failed);
  EXPECT_EQ(r.error_kind, "internal") << why(r);
  EXPECT_TRUE(bench_->nothing_stored());
}

TEST_P(DestinationContract, FullReplacesEverythingEachTime) {
  auto& e = bench_->entity();
  e.schema = two_columns();
  e.batches = {batch_of(e.schema, R"([[1, "a"], [2, "b"]])"), batch_of(e.schema, R"([[3, "c"]])")};
  EXPECT_DONE(bench_->run());
  e.batches = {batch_of(e.schema, R"([[2, "B"]])")};
  EXPECT_DONE(bench_->run());
  EXPECT_EQ(bench_->stored(), bench_->expected());
  e.batches = {};
  EXPECT_DONE(bench_->run());
  EXPECT_EQ(bench_->stored(), Texts{});
}

TEST_P(DestinationContract, FullKeepsOneRowOfADuplicateKey) {
  auto& e = bench_->entity();
  e.schema = two_columns();
  e.primary_key = {"id"};
  e.batches = {batch_of(e.schema, R"([[1, "a"], [2, "b"], [1, "later"]])")};
  const auto look = bench_->look().entities.at(0);
  const auto r = bench_->run();
  EXPECT_DONE(r);
  if (!GetParam().merges) return;
  EXPECT_EQ(r.rows_superseded, 1);
  EXPECT_EQ(r.rows_deduplicated, 0);
  EXPECT_EQ(look.rows_superseded, 1);
  EXPECT_EQ(look.warnings, r.warnings);
  ASSERT_EQ(r.warnings.size(), 1U);
  EXPECT_NE(r.warnings[0].find("1 row(s) share their key (id)"), std::string::npos);
  EXPECT_EQ(bench_->stored(), (Texts{"id=1|name=later", "id=2|name=b"}));
}

// Symptom: a progress bar ran backwards: rows counted as written when they were handed over, and
// then deduplicated by key, refused by the table or undone by a failure.
TEST_P(DestinationContract, ProgressNeverGoesBackAndEndsAtTheResult) {
  for (const bool fails : {false, true}) {
    Bench bench(GetParam());
    auto& e = bench.entity();
    e.schema = two_columns();
    e.primary_key = {"id"};
    e.batches = {batch_of(e.schema, R"([[1, "a"], [2, "b"], [1, "later"]])"),
                 batch_of(e.schema, R"([[2, "later"], [3, "c"]])")};
    const auto real = bench.destination();
    FaultyDestination faulty(*real, [&](Call call, Moment) -> Status {
      return fails && call == Call::Commit ? Status(fail(Code::Unavailable, "no")) : Status{};
    });
    const auto r = bench.run(faulty);
    EXPECT_EQ(r.outcome, fails ? EntityOutcome::Failed : EntityOutcome::Succeeded) << why(r);
    const auto seen = bench.sink.progress();
    ASSERT_GE(seen.size(), 2U);
    for (std::size_t i = 1; i < seen.size(); ++i) {
      EXPECT_GE(seen[i].rows_read, seen[i - 1].rows_read);
      EXPECT_GE(seen[i].rows_written, seen[i - 1].rows_written);
      EXPECT_GE(seen[i].bytes, seen[i - 1].bytes);
    }
    EXPECT_EQ(seen.back().rows_read, r.rows_read);
    EXPECT_EQ(seen.back().rows_written, r.rows_written);
  }
}

TEST_P(DestinationContract, FullAppendAddsEachLoadOnceWithItsRun) {
  if (!GetParam().appends) return;
  auto& e = bench_->entity();
  e.schema = two_columns();
  bench_->spec.mode = SyncMode::FullAppend;
  e.batches = {batch_of(e.schema, R"([[1, "a"]])")};
  EXPECT_DONE(bench_->run());
  EXPECT_DONE(bench_->run());  // a second attempt of the same run: nothing twice
  bench_->spec.run_id = RunId("run-2");
  EXPECT_DONE(bench_->run());
  EXPECT_EQ(bench_->texts({"id", "_tidegate_load_id"}),
            (Texts{"id=1|_tidegate_load_id=run-1", "id=1|_tidegate_load_id=run-2"}));
}

// regressions.md: "a run that dies midway skips for ever what it did not fetch", "strict `>`
// cursors". The watermark adversary: late rows with the bound's own value, NULL cursors, pages out
// of order.
TEST_P(DestinationContract, IncrementalLosesNothingAtTheBound) {
  for (const SyncMode mode : {SyncMode::Incremental, SyncMode::IncrementalAppend}) {
    if (mode == SyncMode::Incremental ? !GetParam().merges : !GetParam().appends) continue;
    Bench bench(GetParam());
    bench.spec.mode = mode;
    bench.spec.entities["t"].cursor = "at";
    if (mode == SyncMode::Incremental) bench.spec.entities["t"].primary_key = {"id"};
    auto& e = bench.entity();
    e.schema =
        arrow::schema({arrow::field("id", arrow::int64()), arrow::field("at", arrow::int64())});
    e.batches = {batch_of(e.schema, "[[3, 30], [1, 10], [9, null], [2, 20]]")};
    EXPECT_DONE(bench.run());
    e.batches.push_back(batch_of(e.schema, "[[4, 30], [10, null]]"));  // late, at the bound
    const auto late = bench.run();
    EXPECT_DONE(late);
    EXPECT_EQ(late.rows_written, 2);
    EXPECT_EQ(late.rows_deduplicated, 2);
    EXPECT_EQ(bench.stored(), bench.expected());
    e.batches.push_back(batch_of(e.schema, "[[6, 60], [5, 50], [7, 60]]"));
    EXPECT_DONE(bench.run());
    const auto idle = bench.run();
    EXPECT_DONE(idle);
    EXPECT_EQ(idle.rows_written, 0);
    EXPECT_EQ(bench.stored(), bench.expected());
  }
}

TEST_P(DestinationContract, IncrementalMergesChangesByKey) {
  if (!GetParam().merges) return;
  auto& e = bench_->entity();
  e.schema = arrow::schema({arrow::field("a", arrow::utf8()), arrow::field("b", arrow::int64()),
                            arrow::field("at", arrow::int64())});
  bench_->spec.mode = SyncMode::Incremental;
  bench_->spec.entities["t"] = {.cursor = "at", .primary_key = {"a", "b"}};
  e.batches = {batch_of(e.schema, R"([["x", 1, 1], ["x", 2, 2], ["y", 1, 3]])")};
  EXPECT_DONE(bench_->run());
  // The older version of a row arrives after the newer one: a page that was repeated.
  e.batches = {batch_of(e.schema, R"([["x", 1, 9], ["z", 1, 8], ["x", 1, 7]])")};
  const auto r = bench_->run();
  EXPECT_DONE(r);
  EXPECT_EQ(r.rows_updated, 1);
  EXPECT_EQ(r.rows_superseded, 1);
  // Its answer was lost: the next attempt tells what it did.
  ++bench_->spec.attempt;
  const auto again = bench_->run();
  EXPECT_DONE(again);
  EXPECT_EQ(again.rows_superseded, 1);
  EXPECT_EQ(again.warnings, r.warnings);
  EXPECT_EQ(bench_->stored(),
            (Texts{"a=x|b=1|at=9", "a=x|b=2|at=2", "a=y|b=1|at=3", "a=z|b=1|at=8"}));
}

TEST_P(DestinationContract, ARowWithoutItsKeyIsRejected) {
  if (!GetParam().merges) return;
  auto& e = bench_->entity();
  e.schema = two_columns();
  e.primary_key = {"id"};
  e.batches = {batch_of(e.schema, R"([[1, "a"], [null, "b"]])")};
  const auto refused = bench_->run();
  EXPECT_EQ(refused.error_kind, "data");
  EXPECT_TRUE(bench_->nothing_stored());
  bench_->spec.max_rejected = 1;
  const auto r = bench_->run();
  EXPECT_DONE(r);
  EXPECT_EQ(r.rows_rejected, 1);
  EXPECT_EQ(bench_->stored(), (Texts{"id=1|name=a"}));
}

TEST_P(DestinationContract, RowsTheSourceRejectsAreCountedAndKept) {
  auto& e = bench_->entity();
  e.schema = two_columns();
  e.batches = {batch_of(e.schema, R"([[1, "a"]])")};
  e.rejected = {{"file line 2", "column \"id\": 'x' is not a whole number", "x,b"}};
  EXPECT_EQ(bench_->run().error_kind, "data");
  EXPECT_TRUE(bench_->nothing_stored());
  bench_->spec.max_rejected = 1;
  const auto r = bench_->run();
  EXPECT_DONE(r);
  EXPECT_EQ(r.rows_read, 2);
  EXPECT_EQ(r.rows_rejected, 1);
}

TEST_P(DestinationContract, ANewColumnIsAddedIgnoredOrRefused) {
  if (!GetParam().appends) return;
  auto& e = bench_->entity();
  e.schema = two_columns();
  e.batches = {batch_of(e.schema, R"([[1, "a"]])")};
  bench_->spec.mode = SyncMode::IncrementalAppend;
  bench_->spec.entities["t"].cursor = "id";
  EXPECT_DONE(bench_->run());
  e.schema = arrow::schema({arrow::field("id", arrow::int64()), arrow::field("name", arrow::utf8()),
                            arrow::field("extra", arrow::float64())});
  e.batches = {batch_of(e.schema, R"([[2, "b", 0.5]])")};
  bench_->spec.schema_change = protocol::SchemaChange::Fail;
  const auto refused = bench_->run();
  EXPECT_EQ(refused.error_kind, "configuration");
  EXPECT_NE(why(refused).find("extra"), std::string::npos) << why(refused);
  EXPECT_EQ(bench_->look().entities.at(0).error, refused.error);
  bench_->spec.schema_change = protocol::SchemaChange::Ignore;
  EXPECT_DONE(bench_->run());
  EXPECT_EQ(bench_->texts({"id"}), (Texts{"id=1", "id=2"}));
  e.batches = {batch_of(e.schema, R"([[3, "c", 1.5]])")};
  bench_->spec.schema_change = protocol::SchemaChange::Evolve;
  const auto seen = bench_->look();
  const auto r = bench_->run();
  const auto& changes = seen.reply.at("entities").at(0).at("schemaChanges").as_array();
  EXPECT_EQ(changes, protocol::to_array(r.schema_changes));
  EXPECT_DONE(r);
  EXPECT_FALSE(r.schema_changes.empty());
  EXPECT_EQ(bench_->stored(),
            (Texts{"id=1|name=a|extra=∅", "id=2|name=b|extra=∅", "id=3|name=c|extra=1.5"}));
}

TEST_P(DestinationContract, AColumnsTypeIsWidenedWithoutLoss) {
  if (!GetParam().appends || !GetParam().widens) return;
  auto& e = bench_->entity();
  e.schema = arrow::schema(
      {arrow::field("id", arrow::int64()), arrow::field("v", arrow::decimal128(6, 2))});
  e.batches = {batch_of(e.schema, R"([[1, "1234.56"], [2, null]])")};
  bench_->spec.mode = SyncMode::IncrementalAppend;
  bench_->spec.entities["t"].cursor = "id";
  EXPECT_DONE(bench_->run());
  e.schema = arrow::schema(
      {arrow::field("id", arrow::int64()), arrow::field("v", arrow::decimal128(12, 4))});
  e.batches = {batch_of(e.schema, R"([[3, "0.0001"]])")};
  EXPECT_DONE(bench_->run());
  e.schema = arrow::schema({arrow::field("id", arrow::int64()), arrow::field("v", arrow::utf8())});
  e.batches = {batch_of(e.schema, R"([[4, "n/a"]])")};
  const auto r = bench_->run();
  EXPECT_DONE(r);
  EXPECT_FALSE(r.schema_changes.empty());
  // A column of decimals may have one scale for all: then it is the wider one's.
  Texts stored = bench_->stored();
  if (stored[0] == "id=1|v=1234.5600") stored[0] = "id=1|v=1234.56";
  EXPECT_EQ(stored, (Texts{"id=1|v=1234.56", "id=2|v=∅", "id=3|v=0.0001", "id=4|v=n/a"}));
}

TEST_P(DestinationContract, AColumnThatLeftTheSourceIsKept) {
  if (!GetParam().appends) return;
  auto& e = bench_->entity();
  e.schema = two_columns();
  e.batches = {batch_of(e.schema, R"([[1, "a"]])")};
  bench_->spec.mode = SyncMode::IncrementalAppend;
  bench_->spec.entities["t"].cursor = "id";
  EXPECT_DONE(bench_->run());
  e.schema = arrow::schema({arrow::field("id", arrow::int64())});
  e.batches = {batch_of(e.schema, "[[2]]")};
  EXPECT_DONE(bench_->run());
  EXPECT_EQ(bench_->texts({"id", "name"}), (Texts{"id=1|name=a", "id=2|name=∅"}));
}

// Symptom: the row at the bound was appended once more, without the column that had left.
TEST_P(DestinationContract, AColumnThatLeftTheSourceNeverDoublesTheRowsAtTheBound) {
  if (!GetParam().appends) return;
  auto& e = bench_->entity();
  e.schema = two_columns();
  e.batches = {batch_of(e.schema, R"([[1, "a"], [2, "b"]])")};
  bench_->spec.mode = SyncMode::IncrementalAppend;
  bench_->spec.entities["t"].cursor = "id";
  EXPECT_DONE(bench_->run());
  const Texts before = bench_->stored();
  e.schema = arrow::schema({arrow::field("id", arrow::int64())});
  e.batches = {batch_of(e.schema, "[[1], [2], [3]]")};
  const auto refused = bench_->run();
  EXPECT_EQ(refused.error_kind, "configuration");
  EXPECT_NE(why(refused).find("\"name\""), std::string::npos) << why(refused);
  EXPECT_NE(why(refused).find("eset the job"), std::string::npos) << why(refused);
  EXPECT_EQ(bench_->texts({"id", "name"}), before);
  bench_->spec.reset_epoch = 1;
  EXPECT_DONE(bench_->run());
  EXPECT_EQ(bench_->texts({"id"}), (Texts{"id=1", "id=2", "id=3"}));
}

// regressions.md: "full refresh drops, then renames: readers see nothing".
TEST_P(DestinationContract, AReaderNeverSeesAnEmptyOrPartialTable) {
  auto& e = bench_->entity();
  e.schema = two_columns();
  std::string rows = "[";
  for (int i = 0; i < 500; ++i) rows += fmt::format("{}[{}, \"r\"]", i == 0 ? "" : ",", i);
  for (int i = 0; i < 4; ++i) e.batches.push_back(batch_of(e.schema, rows + "]"));
  EXPECT_DONE(bench_->run());
  std::atomic<bool> stop = false;
  std::atomic<int> looks = 0;
  std::vector<std::string> odd;
  std::thread reader([&] {
    const auto source = bench_->reader();
    while (!stop || looks < 3) {
      const auto seen = read_everything(*source, "t");
      if (!seen && GetParam().reads_may_fail && seen.error().code == Code::Unavailable) continue;
      const std::size_t rows = seen ? row_texts(*seen, {}).size() : 0;
      if (rows != 2000) odd.push_back(seen ? fmt::format("{} rows", rows) : describe(seen.error()));
      ++looks;
    }
  });
  for (int i = 0; i < 10; ++i) {
    ++bench_->spec.attempt;
    EXPECT_DONE(bench_->run());
  }
  stop = true;
  reader.join();
  EXPECT_EQ(odd, Texts()) << "of " << looks << " looks";
}

// A limited run is a look, not a load: it never swaps, deletes or moves the state.
TEST_P(DestinationContract, ALimitedRunMovesNothing) {
  if (!GetParam().merges) return;
  auto& e = bench_->entity();
  e.schema = two_columns();
  e.primary_key = {"id"};
  e.batches = {batch_of(e.schema, R"([[1, "a"], [2, "b"], [3, "c"]])")};
  EXPECT_DONE(bench_->run());
  const auto states = bench_->sink.states().size();
  e.batches = {batch_of(e.schema, R"([[1, "new"], [4, "d"], [5, "e"]])")};
  bench_->spec.limit = 2;
  const auto r = bench_->run();
  EXPECT_DONE(r);
  EXPECT_EQ(r.rows_read, 2);
  EXPECT_EQ(bench_->sink.states().size(), states);
  EXPECT_EQ(bench_->stored(),
            (Texts{"id=1|name=new", "id=2|name=b", "id=3|name=c", "id=4|name=d"}));
}

TEST_P(DestinationContract, ALimitedRunThatCouldOnlyReplaceOrDoubleIsRefused) {
  auto& e = bench_->entity();
  e.schema = two_columns();
  e.batches = {batch_of(e.schema, R"([[1, "a"], [2, "b"]])")};
  EXPECT_DONE(bench_->run());
  bench_->spec.limit = 1;
  EXPECT_EQ(bench_->run().error_kind, "configuration");
  EXPECT_EQ(bench_->stored(), bench_->expected());
}

}  // namespace
}  // namespace tidegate::engine::contract

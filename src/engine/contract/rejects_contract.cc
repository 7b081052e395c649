// Rejected rows: each is kept once, with the run that saw it last, whatever happens to the run.

#include <arrow/record_batch.h>
#include <arrow/type.h>

#include "engine/contract/fixture.h"

namespace tidegate::engine::contract {

int link_rejects_suite() { return 1; }
namespace {

using protocol::EntityOutcome;
using protocol::SyncMode;
using Texts = std::vector<std::string>;

SyncMode incremental_mode(const DestinationUnderTest& d) {
  return d.merges ? SyncMode::Incremental : SyncMode::IncrementalAppend;
}

// `t` with the columns id and at, two batches, and the rejected row `line 2` with the first.
void make(Bench& bench, SyncMode mode) {
  bench.spec.mode = mode;
  bench.spec.max_rejected = 1;
  bench.spec.entities["t"].cursor = "at";
  if (mode == SyncMode::Incremental) bench.spec.entities["t"].primary_key = {"id"};
  auto& e = bench.entity();
  e.schema =
      arrow::schema({arrow::field("id", arrow::int64()), arrow::field("at", arrow::int64())});
  e.ordered = true;
  e.batches = {batch_of(e.schema, "[[1, 10]]"), batch_of(e.schema, "[[2, 20]]")};
  e.rejected = {{"line 2", "no number", "x"}};
}

// Seen here: each incremental run over a file rejected every bad line again, and the table of the
// rejected rows grew with every run.
TEST_P(DestinationContract, ARowThatIsRejectedByEachRunIsKeptOnce) {
  make(*bench_, incremental_mode(GetParam()));
  for (const char* run : {"run-1", "run-2", "run-3"}) {
    bench_->spec.run_id = RunId(run);
    const auto r = bench_->run();
    EXPECT_EQ(r.outcome, EntityOutcome::Succeeded) << r.error.value_or("");
    EXPECT_EQ(r.rows_rejected, 1);
    EXPECT_EQ(GetParam().rejected(bench_->folder), Texts{std::string(run) + "/1 line 2"});
  }
  // So is a row that the second attempt of a run rejects again, which counts once too.
  bench_->spec.attempt = 2;
  EXPECT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  EXPECT_EQ(GetParam().rejected(bench_->folder), Texts{"run-3/2 line 2"});
  bench_->spec.attempt = 1;
  // The same line with another text is another row; two equal ones of one run are two.
  bench_->spec.run_id = RunId("run-4");
  bench_->spec.max_rejected = 2;
  bench_->entity().rejected = {{"line 2", "no number", "y"}, {"line 2", "no number", "y"}};
  EXPECT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  EXPECT_EQ(GetParam().rejected(bench_->folder),
            (Texts{"run-3/2 line 2", "run-4/1 line 2", "run-4/1 line 2"}));
}

// Seen here: one byte that was no UTF-8 failed the whole load.
TEST_P(DestinationContract, ARejectedRowThatIsNoTextIsKept) {
  make(*bench_, incremental_mode(GetParam()));
  bench_->entity().rejected = {{"line \xFF", "no number: \xC3", std::string("\xFFz\0", 3)}};
  const auto r = bench_->run();
  EXPECT_EQ(r.outcome, EntityOutcome::Succeeded) << r.error.value_or("");
  EXPECT_EQ(GetParam().rejected(bench_->folder), Texts{"run-1/1 line \\xff"});
}

// Seen here: a run that failed behind a checkpoint recorded the rejected rows of the checkpoint
// once more.
TEST_P(DestinationContract, ACheckpointsRejectedRowsAreKeptOnceWhenTheRunFailsBehindIt) {
  make(*bench_, incremental_mode(GetParam()));
  bench_->checkpoint_rows = 1;
  bench_->entity().on_batch = [](int batch) -> Status {
    if (batch == 2) return fail(Code::Unavailable, "the source went away");
    return {};
  };
  const auto r = bench_->run();
  EXPECT_EQ(r.outcome, EntityOutcome::Failed);
  EXPECT_EQ(r.rows_written, 2);
  EXPECT_EQ(GetParam().rejected(bench_->folder), Texts{"run-1/1 line 2"});
}

// Seen here: "nothing was committed" after two commits.
TEST_P(DestinationContract, ARunThatFailsBehindACheckpointSaysWhatStays) {
  if (!GetParam().merges) return;
  make(*bench_, SyncMode::Incremental);
  bench_->checkpoint_rows = 1;
  bench_->entity().batches.push_back(batch_of(bench_->entity().schema, "[[null, 30]]"));
  const auto r = bench_->run();
  EXPECT_EQ(r.error_kind, "data");
  EXPECT_NE(r.error.value_or("").find("2 rows were committed and stay"), std::string::npos)
      << r.error.value_or("");
  EXPECT_EQ(GetParam().rejected(bench_->folder), (Texts{"run-1/1 line 2", "run-1/1 t"}));
}

// Seen here: an incremental run that failed took the rejected rows of all runs before it away.
TEST_P(DestinationContract, ARunThatFailsKeepsTheRejectedRowsOfEarlierRuns) {
  make(*bench_, incremental_mode(GetParam()));
  EXPECT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  bench_->spec.run_id = RunId("run-2");
  bench_->spec.max_rejected = 0;
  bench_->entity().rejected = {{"line 9", "no number", "z"}};
  EXPECT_EQ(bench_->run().error_kind, "data");
  EXPECT_EQ(GetParam().rejected(bench_->folder), (Texts{"run-1/1 line 2", "run-2/1 line 9"}));
}

// Seen here: a retry of a run left the rejected rows of its first attempt beside its own.
TEST_P(DestinationContract, AFullLoadKeepsItsOwnRejectedRowsOnly) {
  make(*bench_, SyncMode::Full);
  bench_->spec.max_rejected = 0;
  EXPECT_EQ(bench_->run().error_kind, "data");
  EXPECT_EQ(GetParam().rejected(bench_->folder), Texts{"run-1/1 line 2"});
  bench_->spec.attempt = 2;
  bench_->spec.max_rejected = 1;
  bench_->entity().rejected = {{"line 3", "no number", "y"}};
  EXPECT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  EXPECT_EQ(GetParam().rejected(bench_->folder), Texts{"run-1/2 line 3"});
}

}  // namespace
}  // namespace tidegate::engine::contract

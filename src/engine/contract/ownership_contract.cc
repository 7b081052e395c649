// Fences, owners, changed destinations, resets: who may write, and from where it goes on.

#include <arrow/record_batch.h>
#include <arrow/type.h>

#include "engine/contract/fixture.h"
#include "engine/core/state.h"

namespace tidegate::engine::contract {

int link_ownership_suite() { return 1; }

void OwnershipContract::SetUp() {
  DestinationContract::SetUp();
  auto& e = bench_->entity();
  e.schema =
      arrow::schema({arrow::field("id", arrow::int64()), arrow::field("at", arrow::int64())});
  e.batches = {batch_of(e.schema, "[[1, 10], [2, 20]]")};
  bench_->spec.mode = GetParam().merges    ? protocol::SyncMode::Incremental
                      : GetParam().appends ? protocol::SyncMode::IncrementalAppend
                                           : protocol::SyncMode::Full;
  bench_->spec.entities["t"] = {.cursor = "at", .primary_key = {"id"}};
}

namespace {

using protocol::EntityOutcome;
using protocol::SyncMode;
using Texts = std::vector<std::string>;

WritePlan plan_of(std::int64_t fence) {
  return {
      .job = "job-1", .entity = "t", .run_id = RunId("run-1"), .attempt = 1, .fence = Fence(fence)};
}

// promises.md 2: a worker that was declared dead and comes back cannot write, in any kind of load.
TEST_P(OwnershipContract, AnOlderAttemptIsRefusedAtEveryStep) {
  for (const LoadKind kind : {LoadKind::Replace, LoadKind::Append, LoadKind::Merge}) {
    if (kind == LoadKind::Merge && !GetParam().merges) continue;
    if (kind == LoadKind::Append && !GetParam().appends) continue;
    Bench bench(GetParam());
    bench.entity() = bench_->entity();
    ASSERT_EQ(bench.run().outcome, EntityOutcome::Succeeded);
    const Texts before = bench.stored();
    const auto old_destination = bench.destination();
    const auto old_writer = old_destination->open(plan_of(5));
    ASSERT_TRUE(old_writer) << describe(old_writer.error());
    const auto new_destination = bench.destination();
    const auto new_writer = new_destination->open(plan_of(6));
    ASSERT_TRUE(new_writer) << describe(new_writer.error());

    const auto step = [&]() -> Status {
      TG_CHECK(
          (*old_writer)
              ->begin(
                  {.kind = kind, .schema = bench.entity().schema, .key = {"id"}, .cursor = {}}));
      TG_CHECK((*old_writer)->write(*bench.entity().batches[0]));
      TG_CHECK((*old_writer)->flush());
      return (*old_writer)->commit(Writer::NewState{"{}", 0});
    };
    const Status refused = step();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::Fenced) << describe(refused.error());
    (void)(*old_writer)->abort({});
    EXPECT_EQ(bench.stored(), before);
  }
}

TEST_P(OwnershipContract, AnOlderFenceCannotClaim) {
  const auto d = bench_->destination();
  ASSERT_TRUE(d->open(plan_of(6)));
  const auto again = bench_->destination()->open(plan_of(5));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::Fenced);
  EXPECT_EQ(bench_->fence_found, Fence(6)) << "so that the next attempt's is greater";
}

TEST_P(OwnershipContract, WithoutAServerTheFenceGrowsByItself) {
  bench_->spec.fence = Fence{};
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  const auto found = bench_->destination()->inspect(plan_of(0));
  ASSERT_TRUE(found);
  EXPECT_GE(value(found->fence), 2);
}

TEST_P(OwnershipContract, InspectChangesNothing) {
  const auto empty = bench_->destination()->inspect(plan_of(1));
  ASSERT_TRUE(empty) << describe(empty.error());
  EXPECT_EQ(empty->destination_id, "");
  EXPECT_FALSE(empty->table_exists);
  EXPECT_TRUE(bench_->nothing_stored());
}

TEST_P(OwnershipContract, ATableOfAnotherJobIsRefusedUnlessTakenOver) {
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  bench_->spec.job = "job-2";
  const auto refused = bench_->run();
  EXPECT_EQ(refused.error_kind, "configuration");
  EXPECT_NE(refused.error.value_or("").find("job-1"), std::string::npos) << *refused.error;
  EXPECT_EQ(bench_->look().entities.at(0).error, refused.error);
  EXPECT_EQ(bench_->stored(), bench_->expected());
  bench_->spec.take_over = true;
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  EXPECT_EQ(bench_->stored(), bench_->expected());
  bench_->spec = {.job = "job-1",
                  .run_id = RunId("run-9"),
                  .fence = Fence(9),
                  .mode = bench_->spec.mode,
                  .entities = bench_->spec.entities};
  EXPECT_EQ(bench_->run().error_kind, "configuration");
}

TEST_P(OwnershipContract, ADestinationThatWasSwappedIsNoticed) {
  if (bench_->spec.mode == SyncMode::Full) return;
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  bench_->remember();
  GetParam().lose(bench_->folder, DestinationUnderTest::Loss::Removed);
  const auto refused = bench_->run();
  EXPECT_EQ(refused.outcome, EntityOutcome::Failed);
  EXPECT_NE(refused.error.value_or("").find("destination changed"), std::string::npos);
  EXPECT_TRUE(bench_->nothing_stored());
  bench_->spec.reset_epoch = 1;
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  EXPECT_EQ(bench_->stored(), bench_->expected());
}

TEST_P(OwnershipContract, ADestinationThatWentBackInTimeIsNoticed) {
  if (bench_->spec.mode == SyncMode::Full) return;
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  GetParam().back_up(bench_->folder);
  auto& e = bench_->entity();
  e.batches.push_back(batch_of(e.schema, "[[3, 30]]"));
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  bench_->remember();
  GetParam().restore(bench_->folder);
  const auto refused = bench_->run();
  EXPECT_NE(refused.error.value_or("").find("went back"), std::string::npos)
      << refused.error.value_or("");
}

// The worker died before it could record a commit: the destination is ahead, and right.
TEST_P(OwnershipContract, ADestinationThatIsAheadIsBelieved) {
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  bench_->remember();
  auto& e = bench_->entity();
  e.batches.push_back(batch_of(e.schema, "[[3, 30]]"));
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);  // not remembered
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  EXPECT_EQ(bench_->stored(), bench_->expected());
}

TEST_P(OwnershipContract, AResetReadsEverythingAgainAndReplaces) {
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  auto& e = bench_->entity();
  e.batches = {batch_of(e.schema, "[[2, 5]]")};  // rewritten below the bound
  bench_->spec.reset_epoch = 1;
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  EXPECT_EQ(bench_->stored(), bench_->expected());
  ASSERT_EQ(bench_->sink.states().back().state.epoch, 1);
  // The same reset is not done twice.
  ASSERT_EQ(bench_->run().rows_written, bench_->spec.mode == SyncMode::Full ? 1 : 0);
}

TEST_P(OwnershipContract, ChangedSettingsAskForAReset) {
  if (bench_->spec.mode == SyncMode::Full) return;
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  bench_->spec.entities["t"].cursor = "id";
  const auto refused = bench_->run();
  EXPECT_EQ(refused.error_kind, "configuration");
  EXPECT_NE(refused.error.value_or("").find("cursor"), std::string::npos);
  EXPECT_NE(refused.error.value_or("").find("reset"), std::string::npos);
  bench_->spec.entities["t"].cursor = "at";
  bench_->source.name = "elsewhere";
  EXPECT_EQ(bench_->run().error_kind, "configuration");
}

// regressions.md: "state emitted after a failed stream: data lost on the next run".
TEST_P(OwnershipContract, AFailedReadMovesNoState) {
  auto& e = bench_->entity();
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  const Texts before = bench_->stored();
  const auto states = bench_->sink.states().size();
  e.batches.push_back(batch_of(e.schema, "[[3, 30]]"));
  e.batches.push_back(batch_of(e.schema, "[[4, 40]]"));
  e.on_batch = [](int batch) -> Status {
    if (batch == 2) return fail(Code::Unavailable, "the source went away");
    return {};
  };
  const auto r = bench_->run();
  EXPECT_EQ(r.error_kind, "transient");
  EXPECT_EQ(bench_->stored(), before);
  EXPECT_EQ(bench_->sink.states().size(), states);
  e.on_batch = nullptr;
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  EXPECT_EQ(bench_->stored(), bench_->expected());
}

TEST_P(OwnershipContract, NothingIsCommittedAfterACancel) {
  auto& e = bench_->entity();
  ASSERT_EQ(bench_->run().outcome, EntityOutcome::Succeeded);
  const Texts before = bench_->stored();
  e.batches.push_back(batch_of(e.schema, "[[3, 30]]"));
  e.on_batch = [&](int) -> Status {
    bench_->lease->cancel("cancelled by a test");
    return {};
  };
  const auto r = bench_->run();
  EXPECT_EQ(r.outcome, EntityOutcome::Cancelled);
  EXPECT_EQ(bench_->stored(), before);
}

}  // namespace
}  // namespace tidegate::engine::contract

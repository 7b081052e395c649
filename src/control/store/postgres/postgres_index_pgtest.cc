// Every query of the loops has an index: how many rows the server looked at is counted.
#include <gmock/gmock.h>

#include "control/store/postgres/pg_test_fixture.h"

namespace tidegate::store {
namespace {

using contract::must;
using model::RunState;
using testing::SizeIs;
using namespace std::chrono_literals;

// 200 jobs, each with 20 ended runs, their logs and 25 slot records; j1 is due.
constexpr const char* kFill =
    "INSERT INTO sync_jobs (id, workspace_id, name, revision, source_id, destination_id, mode, "
    "overlap, enabled, next_slot, run_count, consecutive_failures, success_durations, reset_epoch, "
    "runs_kept, created_by, created_at, updated_at) SELECT 'j' || n, ws.id, 'j' || n, 1, 'src', "
    "'dst', 'full_refresh', 'skip', true, now() + CASE n WHEN 1 THEN interval '-1 minute' ELSE "
    "interval '1 hour' END, 20, 0, '[]', 0, 20, '', now(), now() FROM workspaces ws, "
    "generate_series(1, 200) n;"
    "INSERT INTO job_revisions SELECT 'j' || n, 1, (SELECT spec FROM job_revisions WHERE job_id = "
    "'model') FROM generate_series(1, 200) n;"
    "INSERT INTO sync_runs SELECT 'j' || j || '-' || n, ws.id, 'j' || j, 1, now() - (n + 1) * "
    "interval '1 hour', 'schedule', '', 'succeeded', 1, 0, 0, now() - (n + 1) * interval '1 hour', "
    "now(), now(), now(), '', 1, false, '', '', '', NULL, false, 'src', 'dst', now() FROM "
    "workspaces ws, generate_series(1, 200) j, generate_series(1, 20) n;"
    "INSERT INTO run_logs SELECT id, n, n, 10, false, '[]' FROM sync_runs, generate_series(1, 2) n;"
    "INSERT INTO slot_records SELECT 'j' || j, now() - n * interval '1 day', now() - n * interval "
    "'1 day', 1, 'skipped', 'overlap', now() FROM generate_series(1, 200) j, generate_series(1, "
    "25) "
    "n;";

// With statistics of the tables, and without any, as a new store has none for a while.
class PostgresIndexes : public testing::TestWithParam<bool> {
 protected:
  PostgresIndexes() : console_(schema_.url()) {
    const auto store = must(schema_.open());
    ws_ = must(store->find_workspace("default")).id;
    for (const auto kind : {model::ConnectionKind::Source, model::ConnectionKind::Destination}) {
      model::Connection c{.id = ConnectionId(kind == model::ConnectionKind::Source ? "src" : "dst"),
                          .workspace = ws_};
      c.kind = kind;
      c.name = "c";
      must(store->create_connection(c, {}));
    }
    model::SyncJob model{.id = JobId("model"), .workspace = ws_};
    model.spec.name = "model";
    model.spec.source_id = ConnectionId("src");
    model.spec.destination_id = ConnectionId("dst");
    must(store->create_job(model, {}));
    // What it reads itself is counted when it ends, so before the first look.
    const auto target = must(postgres::Target::parse(Secret(schema_.url())));
    must(must(postgres::Session::open(target, {}, "")).script(kFill));
    if (GetParam()) console_.run("ANALYZE");
  }
  // Rows and index entries of this store's tables that the server has looked at so far.
  std::int64_t looked_at() {
    // A session reports its numbers when it ends.
    EXPECT_TRUE(console_.eventually(
        "NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = 'tidegate')"));
    return std::stoll(console_.ask(
        "SELECT ((SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = $1) + "
        "(SELECT sum(greatest(idx_tup_read, idx_tup_fetch)) FROM pg_stat_user_indexes WHERE "
        "schemaname = $1))::text",
        schema_.name()));
  }
  template <class F>
  std::int64_t cost(F f) {
    const auto begin = looked_at();
    must(schema_.open()).reset();
    const auto opened = looked_at();
    auto store = must(schema_.open());
    f(*store);
    store.reset();
    return (looked_at() - opened) - (opened - begin);
  }

  ScratchSchema schema_;
  Console console_;
  WorkspaceId ws_;
};

INSTANTIATE_TEST_SUITE_P(Postgres, PostgresIndexes, testing::Bool(),
                         [](const auto& info) { return info.param ? "analyzed" : "new"; });

TEST_P(PostgresIndexes, TheLoopsLookAtLittleMoreThanWhatTheyFind) {
  const OwnerId owner("w");
  std::optional<LeaderLease> lease;
  EXPECT_LT(cost([&](Store& s) { lease = must(s.acquire_leader(owner, 8s)); }), 20);
  EXPECT_LT(
      cost([&](Store& s) { EXPECT_THAT(must(s.due_jobs(must(s.now()), 10)).jobs, SizeIs(1)); }),
      30);
  EXPECT_LT(cost([&](Store& s) {
              must(s.trigger_run({.workspace = ws_, .job = JobId("j1"), .run = RunId("r1")}));
            }),
            40);
  std::vector<ClaimedRun> runs;
  EXPECT_LT(cost([&](Store& s) { runs = must(s.claim_runs({.owner = owner, .max = 10})).runs; }),
            300)
      << "all jobs once, in a new store, but no runs that have ended";
  ASSERT_THAT(runs, SizeIs(1));
  const Renewal renewal{.held = contract::held(runs[0]),
                        .progress = {{"e", {.rows_read = 1}}},
                        .committed = {{"e", contract::known(0, 1)}}};
  EXPECT_LT(cost([&](Store& s) { must(s.renew_runs(owner, 12s, {&renewal, 1})); }), 40);
  EXPECT_LT(cost([&](Store& s) { must(s.expired_runs(10)); }), 20);
  EXPECT_LT(cost([&](Store& s) {
              const model::RunLogLine line{.message = "m"};
              must(s.append_log(contract::held(runs[0]), {&line, 1}, 1000));
            }),
            20);
  EXPECT_LT(cost([&](Store& s) {
              const AttemptEnd end = contract::end_of(runs[0], RunState::Succeeded);
              EXPECT_TRUE(must(s.finish_attempts({&end, 1})).at(0));
            }),
            60);
}

// A list counts all that it is about, and no more.
TEST_P(PostgresIndexes, ListsLookAtWhatTheyAreAboutOnly) {
  const auto list = [&](RunQuery q) {
    q.page.limit = 10;
    return cost([&](Store& s) { must(s.list_runs(q)); });
  };
  // Without statistics the planner does not know that a job is less than a workspace.
  if (GetParam()) EXPECT_LT(list({.workspace = ws_, .job = JobId("j7")}), 200);
  EXPECT_LT(list({.workspace = ws_, .state = RunState::Queued}), 40);
  EXPECT_LT(list({.workspace = ws_, .state = RunState::Running}), 40);
  EXPECT_LT(list({.workspace = ws_,
                  .since = std::chrono::floor<Millis>(std::chrono::system_clock::now()) - 3h}),
            400);
  EXPECT_LT(cost([&](Store& s) { must(s.list_slots({.workspace = ws_, .job = JobId("j7")})); }),
            600);
  EXPECT_LT(cost([&](Store& s) { must(s.read_log(RunId("j7-7"), 0, 100)); }), 20);
  EXPECT_LT(cost([&](Store& s) { must(s.get_run(ws_, RunId("j7-7"))); }), 10);
  EXPECT_LT(cost([&](Store& s) { must(s.list_jobs({.workspace = ws_, .page = {.limit = 5}})); }),
            450);
}

// Run every minute: with nothing to remove it must not walk through the history.
TEST_P(PostgresIndexes, PruningLooksAtNoRunThatStays) {
  EXPECT_LT(cost([&](Store& s) { must(s.prune({}, must(s.now()))); }), 6'000)
      << "the keys of the slot records once, and the jobs, but no run and no log";
}

}  // namespace
}  // namespace tidegate::store

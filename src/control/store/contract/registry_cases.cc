#include <gmock/gmock.h>

#include "control/store/contract/contract.h"

namespace tidegate::store::contract {

using model::ConnectionKind;
using model::RunState;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;

TEST_P(StoreContract, ConnectionsComeBackAndAreListedByKind) {
  auto c = connection("c1", ConnectionKind::Source);
  c.config = {
      {"url", "https://example.test/ü"}, {"password", {{"$sealed", "abc"}}}, {"n", nullptr}};
  c.exclusive_key = "sqlite:/x";
  must(store().create_connection(c, {}));
  const auto got = must(other().get_connection(ws_, ConnectionKind::Source, c.id));
  EXPECT_EQ(got.config, c.config);
  EXPECT_EQ(got.exclusive_key, c.exclusive_key);
  EXPECT_EQ(got.revision, 1);
  EXPECT_EQ(got.created_by, "tester");
  EXPECT_EQ(reason_of(store().get_connection(ws_, ConnectionKind::Destination, c.id)),
            "destination_not_found");
  EXPECT_EQ(reason_of(store().get_connection(WorkspaceId("x"), ConnectionKind::Source, c.id)),
            "data_source_not_found");
  ConnectionQuery q{.workspace = ws_};
  q.page.limit = 1;
  const auto page = must(store().list_connections(q));
  EXPECT_EQ(page.total, 2);
  EXPECT_EQ(page.items.at(0).id, c.id);
  q.page.cursor = page.next_cursor;
  EXPECT_EQ(must(store().list_connections(q)).items.at(0).id, ConnectionId("src"));
  EXPECT_EQ(
      must(store().list_connections({.workspace = ws_, .kind = ConnectionKind::Destination})).total,
      1);
  EXPECT_EQ(must(store().list_connections({.workspace = ws_, .name_contains = "C1"})).total, 1);
}

TEST_P(StoreContract, ConnectionNamesAreUniqueByKind) {
  auto same = connection("c2", ConnectionKind::Source);
  same.name = "name of src";
  EXPECT_EQ(reason_of(store().create_connection(same, {})), "name_taken");
  same.kind = ConnectionKind::Destination;
  EXPECT_FALSE(must(store().create_connection(same, Idempotency{"s", "k", "h"})).replayed);
  EXPECT_TRUE(must(store().create_connection(same, Idempotency{"s", "k", "h"})).replayed);
  same.workspace = WorkspaceId("nope");
  same.id = ConnectionId("c3");
  EXPECT_EQ(reason_of(store().create_connection(same, {})), "workspace_not_found");
}

TEST_P(StoreContract, UpdateOfAConnectionChecksNameAndRevision) {
  must(store().create_connection(connection("c1", ConnectionKind::Source), {}));
  auto c = connection("c1", ConnectionKind::Source);
  c.config = {{"path", "elsewhere"}};
  c.type = "file";
  c.updated_at = now() + 1s;
  const auto changed = must(store().update_connection(c, 1));
  EXPECT_EQ(changed.revision, 2);
  EXPECT_EQ(must(other().get_connection(ws_, c.kind, c.id)).config, c.config);
  EXPECT_EQ(must(other().get_connection(ws_, c.kind, c.id)).updated_at, now() + 1s);
  EXPECT_EQ(code_of(store().update_connection(c, 1)), Code::PreconditionFailed);
  c.name = "name of src";
  EXPECT_EQ(reason_of(store().update_connection(c, {})), "name_taken");
  c.id = ConnectionId("nope");
  EXPECT_EQ(code_of(store().update_connection(c, {})), Code::NotFound);
}

TEST_P(StoreContract, AConnectionInUseStays) {
  const JobId id = add(job("j1"));
  for (const auto& [kind, cid] :
       {std::pair{ConnectionKind::Source, "src"}, {ConnectionKind::Destination, "dst"}}) {
    const auto refused = store().delete_connection(ws_, kind, ConnectionId(cid), {});
    EXPECT_EQ(reason_of(refused), "connection_in_use");
    EXPECT_THAT(refused.error().message, testing::HasSubstr("name of j1"));
  }
  must(store().delete_job(ws_, id, {}));
  EXPECT_EQ(code_of(store().delete_connection(ws_, ConnectionKind::Source, ConnectionId("src"), 9)),
            Code::PreconditionFailed);
  must(store().delete_connection(ws_, ConnectionKind::Source, ConnectionId("src"), 1));
  EXPECT_EQ(
      code_of(store().delete_connection(ws_, ConnectionKind::Source, ConnectionId("src"), {})),
      Code::NotFound);
}

TEST_P(StoreContract, Workspaces) {
  EXPECT_THAT(must(store().list_workspaces()), SizeIs(1));
  const model::Workspace w{
      .id = WorkspaceId("w2"), .name = "team", .revision = 1, .created_at = base_};
  EXPECT_FALSE(must(store().create_workspace(w, Idempotency{"s", "k", "h"})).replayed);
  EXPECT_TRUE(must(store().create_workspace(w, Idempotency{"s", "k", "h"})).replayed);
  EXPECT_EQ(reason_of(store().create_workspace({.id = WorkspaceId("w3"), .name = "team"}, {})),
            "name_taken");
  // Named like another's id: the id wins.
  must(store().create_workspace({.id = WorkspaceId("w4"), .name = "w2"}, {}));
  EXPECT_EQ(must(other().find_workspace("w2")).id, w.id);
  EXPECT_EQ(must(other().find_workspace("team")).id, w.id);
  EXPECT_EQ(reason_of(store().find_workspace("nope")), "workspace_not_found");
  EXPECT_EQ(must(store().list_workspaces()).at(0).name, "default");
  EXPECT_EQ(reason_of(store().delete_workspace(ws_, {})), "workspace_not_empty");
  EXPECT_EQ(code_of(store().delete_workspace(w.id, 5)), Code::PreconditionFailed);
  must(store().delete_workspace(w.id, 1));
  EXPECT_EQ(code_of(store().delete_workspace(w.id, {})), Code::NotFound);
}

TEST_P(StoreContract, Tokens) {
  model::Token t{.id = TokenId("t1"),
                 .name = "ci",
                 .hash = "aa11",
                 .role = model::Role::Operator,
                 .workspaces = {ws_, WorkspaceId("w2")},
                 .expires_at = base_ + 1h,
                 .created_at = base_,
                 .created_by = "root"};
  must(store().create_token(t));
  EXPECT_EQ(reason_of(store().create_token(t)), "token_exists");
  const auto got = must(other().find_token("aa11"));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->name, "ci");
  EXPECT_EQ(got->role, model::Role::Operator);
  EXPECT_EQ(got->workspaces, t.workspaces);
  EXPECT_EQ(got->expires_at, base_ + 1h);
  t.id = TokenId("t2");
  EXPECT_EQ(reason_of(store().create_token(t)), "name_taken");
  EXPECT_FALSE(must(store().find_token("bb")));
  EXPECT_THAT(must(store().list_tokens()), SizeIs(1));
  EXPECT_TRUE(must(store().find_token("aa11"))) << "a store may keep what it has read";
  must(other().delete_token(TokenId("t1")));
  EXPECT_FALSE(must(store().find_token("aa11")))
      << "a revoked token is refused at once, everywhere";
  EXPECT_EQ(code_of(store().delete_token(TokenId("t1"))), Code::NotFound);
}

TEST_P(StoreContract, WorkersAreSeenWhileTheyBeat) {
  model::WorkerInfo w{.id = OwnerId("w1"),
                      .host = "h",
                      .boot_id = "b",
                      .pid = 42,
                      .pid_start = 7,
                      .version = "1",
                      .leader = true,
                      .draining = false,
                      .running = 3,
                      .capacity = 4,
                      .started_at = base_,
                      .seen_at = {},
                      .secret_keys = {"0a1b2c3d", "11223344"}};
  must(store().heartbeat(w));
  clock().advance(5s);
  w.id = OwnerId("w2");
  must(store().heartbeat(w));
  const auto both = must(other().list_workers(10s));
  ASSERT_THAT(both, SizeIs(2));
  EXPECT_EQ(both[0].seen_at, base_);
  EXPECT_EQ(both[1].seen_at, now());
  EXPECT_EQ(both[0].pid_start, 7);
  EXPECT_THAT(both[1].secret_keys, ElementsAre("0a1b2c3d", "11223344"));
  EXPECT_FALSE(both[0].leader) << "it does not hold the lease";
  must(store().acquire_leader(OwnerId("w2"), 8s));
  const auto led = must(other().list_workers(10s));
  EXPECT_FALSE(led[0].leader);
  EXPECT_TRUE(led[1].leader);
  clock().advance(8s);
  EXPECT_FALSE(must(other().list_workers(20s))[1].leader) << "its lease has ended";
  must(store().heartbeat(w));
  EXPECT_THAT(must(store().list_workers(2s)), SizeIs(1));
  must(store().forget_worker(OwnerId("w2")));
  EXPECT_THAT(must(store().list_workers(2s)), IsEmpty());
}

TEST_P(StoreContract, ChangesAreTold) {
  Listener mine, theirs;
  const auto a = store().watch(mine.handler());
  const auto b = other().watch(theirs.handler());
  const JobId id = add(job("j1"));
  EXPECT_TRUE(mine.wait_for(ChangeKind::Job, "j1"));
  ASSERT_TRUE(theirs.wait_for(ChangeKind::Job, "j1")) << "also another process's writes";
  trigger(id, "r1");
  EXPECT_TRUE(mine.wait_for(ChangeKind::Run, "r1"));
  ASSERT_TRUE(theirs.wait_for(ChangeKind::Run, "r1"));
  must(store().create_token({.id = TokenId("t1"), .name = "n", .hash = "h"}));
  ASSERT_TRUE(theirs.wait_for(ChangeKind::Token, "t1"));
}

// A change feed's own writes triggered re-scheduling.
TEST_P(StoreContract, PlanningAndRunningTellOfNoJobChange) {
  const JobId id = add(job("j1"));
  Listener mine;
  auto subscription = store().watch(mine.handler());
  plan(id, {base_});
  const auto c = claim("w1").at(0);
  const Renewal renewal{
      .held = held(c), .progress = {{"o", {1, 1, 1, {}}}}, .committed = {{"o", known(0, 1)}}};
  must(store().renew_runs(OwnerId("w1"), Millis(12'000), {&renewal, 1}));
  EXPECT_TRUE(finish(c, RunState::Succeeded));
  must(store().heartbeat({.id = OwnerId("w1")}));
  EXPECT_TRUE(mine.wait_for(ChangeKind::Run, c.run.id.str()));
  for (const Change& change : mine.take()) EXPECT_EQ(change.kind, ChangeKind::Run);
  subscription.reset();
  trigger(id, "after");
  EXPECT_THAT(mine.take(), IsEmpty()) << "an ended subscription is silent";
}

TEST_P(StoreContract, ASettingIsKeptOnceAndReplacedByComparison) {
  EXPECT_EQ(must(store().find_setting("key")), std::nullopt);
  EXPECT_EQ(must(store().keep_setting("key", "one")), "one");
  EXPECT_EQ(must(other().find_setting("key")), "one");
  EXPECT_EQ(must(other().keep_setting("key", "two")), "one") << "the first one stays";
  EXPECT_EQ(must(other().keep_setting("other", "two")), "two");

  const Status stale = other().replace_setting("key", "two", "three");
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().code, Code::PreconditionFailed);
  EXPECT_TRUE(other().replace_setting("key", "one", "three"));
  EXPECT_TRUE(store().replace_setting("key", "one", "three")) << "a repetition";
  EXPECT_EQ(must(store().keep_setting("key", "one")), "three");
  EXPECT_FALSE(store().replace_setting("missing", "", "x"));
}

TEST_P(StoreContract, ClockAndPing) {
  EXPECT_EQ(must(store().now()), now());
  EXPECT_TRUE(store().ping());
  EXPECT_FALSE(store().capabilities().name.empty());
}

}  // namespace tidegate::store::contract

// What opening a store does to a database, what a bad one gets, and what operators find.
#include <gmock/gmock.h>

#include <future>

#include "control/store/contract/contract.h"
#include "control/store/mongo/rows.h"
#include "control/store/mongo/servers_mongotest.h"

namespace tidegate::store {
namespace {

using contract::code_of;
using contract::must;
using contract::reason_of;
using mongo::Conn;
using mongo::text_of;
using mongo::bj::object;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
namespace bj = mongo::bj;
namespace coll = mongo::coll;

class MongoOpen : public testing::Test {
 protected:
  Result<std::unique_ptr<Store>> open() {
    return open_mongo_store(database_.options(&clock_), clock_, rng_);
  }
  Conn conn() { return Conn(database_.pool()); }
  std::vector<std::string> collections() {
    std::vector<std::string> names;
    const auto reply = must(conn().run({{"listCollections", 1}, {"nameOnly", true}}));
    for (const auto& c : reply.at("cursor").at("firstBatch").as_array()) {
      names.push_back(text_of(c.as_object(), "name"));
    }
    return names;
  }

  contract::ManualClock clock_{from_ms(1'767'225'600'000)};
  SystemRng rng_;
  mongo::TestDatabase database_{mongo::replica_set()};
};

TEST_F(MongoOpen, KeepsWhatWasWritten) {
  must(must(open())->create_workspace({.id = WorkspaceId("w"), .name = "w"}, {}));
  EXPECT_THAT(must(must(open())->list_workspaces()), SizeIs(2));
}

TEST_F(MongoOpen, ADeletedDefaultWorkspaceStaysAway) {
  must(must(open())->delete_workspace(WorkspaceId(std::string(rules::kDefaultWorkspaceId)), {}));
  EXPECT_THAT(must(must(open())->list_workspaces()), testing::IsEmpty());
}

TEST_F(MongoOpen, SeveralProcessesMayOpenAnEmptyDatabaseAtOnce) {
  std::vector<std::future<Result<std::unique_ptr<Store>>>> opening;
  for (int i = 0; i < 4; ++i) {
    opening.push_back(std::async(std::launch::async, [this] { return open(); }));
  }
  for (auto& o : opening) EXPECT_THAT(must(must(o.get())->list_workspaces()), SizeIs(1));
}

// The first process died after it had begun.
TEST_F(MongoOpen, AHalfMadeStoreIsCompleted) {
  must(conn().insert(coll::kSchema, object{{"_id", 0}, {"name", "begun"}}));
  must(conn().insert(coll::kKeys, object{{"_id", "k"}}));
  EXPECT_EQ(must(must(open())->list_workspaces()).at(0).name, "default");
}

// Of several that were started at once, one saw what another had just begun and took it for another
// program's; so did all, for ever, when that one had died there.
TEST_F(MongoOpen, ABegunStoreWithoutAVersionIsCompleted) {
  must(conn().run({{"create", coll::kSchema}}));
  EXPECT_EQ(must(must(open())->list_workspaces()).at(0).name, "default");
  EXPECT_EQ(must(conn().count(coll::kSchema, {{"_id", 0}})), 1) << "it says whose it is";
  // With all that it makes.
  must(conn().erase(coll::kSchema, {}));
  EXPECT_THAT(must(must(open())->list_workspaces()), SizeIs(1));
}

TEST_F(MongoOpen, ANewerSchemaIsRefusedUntouched) {
  must(conn().insert(coll::kSchema, object{{"_id", 99}, {"name", "future"}}));
  const auto refused = open();
  ASSERT_EQ(code_of(refused), Code::Invalid);
  EXPECT_EQ(refused.error().reason, "schema_too_new");
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr(database_.name()), HasSubstr("99"), HasSubstr("newer")));
  EXPECT_THAT(collections(), testing::ElementsAre(coll::kSchema));
}

TEST_F(MongoOpen, AnotherProgramsDatabaseIsRefusedUntouched) {
  must(conn().insert("invoices", object{{"_id", 1}}));
  const auto refused = open();
  ASSERT_EQ(code_of(refused), Code::Invalid);
  EXPECT_EQ(refused.error().reason, "not_a_store");
  EXPECT_THAT(collections(), testing::ElementsAre("invoices"));
  // Many programs have one of that name.
  must(conn().run({{"create", coll::kSchema}}));
  EXPECT_EQ(reason_of(open()), "not_a_store");
  must(conn().insert(coll::kSchema, object{{"_id", "66f0"}, {"version", 3}}));
  EXPECT_EQ(reason_of(open()), "not_a_store");
  EXPECT_THAT(collections(), testing::UnorderedElementsAre("invoices", coll::kSchema));
}

TEST_F(MongoOpen, NobodyAnswersIsSaidWithinSecondsWithoutThePassword) {
  MongoOptions o;
  o.uri = Secret(
      "mongodb://ann:hush%40hush@127.0.0.1:1,127.0.0.1:2/plans?serverSelectionTimeoutMS=300");
  const auto refused = open_mongo_store(o, clock_, rng_);
  ASSERT_EQ(code_of(refused), Code::Unavailable);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("'plans' on 127.0.0.1:1,127.0.0.1:2"),
                                             HasSubstr("check that"), Not(HasSubstr("hush"))));
}

TEST_F(MongoOpen, ABadUriIsRefusedWithoutThePassword) {
  for (const char* uri : {"postgres://ann:hush@h/db", "mongodb://ann:hush@h:99999/db",
                          "mongodb://ann:hush@", "mongodb://ann:hush@h/a b"}) {
    MongoOptions o;
    o.uri = Secret(uri);
    const auto refused = open_mongo_store(o, clock_, rng_);
    EXPECT_EQ(code_of(refused), Code::Invalid) << uri;
    if (!refused) EXPECT_THAT(refused.error().message, Not(HasSubstr("hush")));
  }
}

TEST_F(MongoOpen, WrongCredentialsAndMissingPrivilegesAreForbidden) {
  mongo::PrivateServer server;
  server.start();
  {
    MongoOptions admin;
    admin.uri = Secret(server.uri());
    const auto pool = must(mongo::Pool::open(admin));
    for (const auto* role : {"readWrite", "read"}) {
      must(Conn(*pool).run({{"createUser", role},
                            {"pwd", "hush"},
                            {"roles", bj::array{object{{"role", role}, {"db", "tidegate"}}}}},
                           "admin"));
    }
  }
  server.kill();
  server.start({"--auth"});
  const auto with = [&](const std::string& credentials) {
    MongoOptions o;
    o.uri = Secret(server.uri(credentials));
    return open_mongo_store(o, clock_, rng_);
  };
  const auto wrong = with("readWrite:wrong@");
  EXPECT_EQ(code_of(wrong), Code::Forbidden);
  EXPECT_THAT(wrong.error().message,
              AllOf(HasSubstr("check user, password"), Not(HasSubstr("wrong@"))));
  EXPECT_EQ(code_of(with("")), Code::Forbidden);
  const auto reader = with("read:hush@");
  EXPECT_EQ(code_of(reader), Code::Forbidden);
  EXPECT_THAT(reader.error().message, AllOf(HasSubstr("not authorized"), HasSubstr("readWrite")));
  const auto store = must(with("readWrite:hush@"));
  // Somebody changes the password while it runs: that is no fault of those who ask the API.
  server.kill();
  server.start();
  {
    MongoOptions admin;
    admin.uri = Secret(server.uri());
    must(Conn(*must(mongo::Pool::open(admin))).run({{"dropUser", "readWrite"}}, "admin"));
  }
  server.kill();
  server.start({"--auth"});
  EXPECT_EQ(code_of(store->ping()), Code::Unavailable);
}

TEST_F(MongoOpen, WhatMustBeUniqueIsSoInTheServer) {
  (void)must(open());
  const auto twice = [&](std::string_view collection, object a, object b) {
    a["_id"] = "a";
    b["_id"] = "b";
    must(conn().insert(collection, a));
    const bool refused = reason_of(conn().insert(collection, b)) == mongo::kDuplicate;
    must(conn().erase(collection, {}));
    return refused;
  };
  const object slot{{"jobId", "j"}, {"slot", mongo::date(clock_.now())}};
  EXPECT_TRUE(twice(coll::kRuns, slot, slot));
  EXPECT_FALSE(twice(coll::kRuns, {{"jobId", "j"}}, {{"jobId", "j"}})) << "manual runs are many";
  EXPECT_FALSE(
      twice(coll::kRuns, {{"jobId", "j"}, {"slot", nullptr}}, {{"jobId", "j"}, {"slot", nullptr}}));
  EXPECT_TRUE(twice(coll::kRuns, {{"lane", "j"}}, {{"lane", "j"}}));
  EXPECT_TRUE(twice(coll::kRuns, {{"exclusiveKey", "k"}}, {{"exclusiveKey", "k"}}));
  const object live{{"workspaceId", "w"}, {"name", "n"}, {"live", true}};
  object gone = live;
  gone["live"] = false;
  EXPECT_TRUE(twice(coll::kJobs, live, live));
  EXPECT_FALSE(twice(coll::kJobs, live, gone)) << "a deleted job's name is free";
  EXPECT_TRUE(twice(coll::kTokens, {{"name", "n"}, {"hash", "a"}}, {{"name", "m"}, {"hash", "a"}}));
}

TEST_F(MongoOpen, IndexesServeTheQueriesOfTheLoops) {
  (void)must(open());
  std::vector<std::string> names;
  for (const auto collection : {coll::kJobs, coll::kRuns, coll::kRecords}) {
    const auto reply = must(conn().run({{"listIndexes", collection}}));
    for (const auto& i : reply.at("cursor").at("firstBatch").as_array()) {
      names.push_back(std::string(collection) + " " + text_of(i.as_object(), "name"));
    }
  }
  for (const char* name : {"syncjobs workspaceId_name", "syncjobs nextSlot__id",
                           "sync_runs jobId_slot", "sync_runs sortAt__id", "sync_runs notBefore",
                           "sync_runs expiresAt", "sync_runs jobId_createdAt__id",
                           "sync_runs workspaceId_createdAt__id", "slot_records jobId_first"}) {
    EXPECT_THAT(names, Contains(name));
  }
}

// Names that an operator of MongoDB would read as a path or an operator.
TEST_F(MongoOpen, AnyNameOfAUserIsKept) {
  const auto store = must(open());
  const WorkspaceId ws = must(store->find_workspace("default")).id;
  model::Connection c{.id = ConnectionId("src"), .workspace = ws};
  c.name = "$where.%";
  c.config = {{"$sealed", "x"}, {"a.b", {{"", 18446744073709551615U}}}, {"%24", {{"$in", {1}}}}};
  must(store->create_connection(c, {}));
  EXPECT_EQ(must(store->get_connection(ws, c.kind, c.id)).config, c.config);
  EXPECT_EQ(must(store->list_connections({.workspace = ws, .name_contains = "$WHERE.%"})).total, 1);
  EXPECT_EQ(must(store->list_connections({.workspace = ws, .name_contains = "w.ere"})).total, 0);
  c.kind = model::ConnectionKind::Destination;
  c.id = ConnectionId("dst");
  must(store->create_connection(c, {}));
  model::SyncJob job{.id = JobId("j"), .workspace = ws};
  job.spec.name = "j";
  job.spec.source_id = ConnectionId("src");
  job.spec.destination_id = ConnectionId("dst");
  job.spec.entities["public.orders"].cursor = "$ts";
  job.spec.labels["$team.a"] = "b";
  must(store->create_job(job, {}));
  EXPECT_EQ(must(store->get_job(ws, job.id)).spec, job.spec);
  must(store->trigger_run({.workspace = ws, .job = job.id, .run = RunId("r")}));
  const auto run = must(store->claim_runs({.owner = OwnerId("w")})).runs.at(0);
  const Renewal renewal{.held = contract::held(run),
                        .progress = {{"public.orders", {1, 1, 1, {}}}},
                        .committed = {{"public.$orders", contract::known(0, 1)}}};
  must(store->renew_runs(OwnerId("w"), Millis(12'000), {&renewal, 1}));
  EXPECT_TRUE(must(store->get_run(ws, RunId("r"))).progress.contains("public.orders"));
  EXPECT_TRUE(must(store->get_job(ws, job.id)).known_state.contains("public.$orders"));
}

// db.worker_locks.find(), db.job_execution_locks.find() and
// db.syncjobs.find({}, {name: 1, lastRunAt: 1, lastError: 1}).
TEST_F(MongoOpen, TheOperatorsQueriesAnswer) {
  const auto store = must(open());
  const WorkspaceId ws = must(store->find_workspace("default")).id;
  for (const auto kind : {model::ConnectionKind::Source, model::ConnectionKind::Destination}) {
    model::Connection c{.id = ConnectionId(kind == model::ConnectionKind::Source ? "s" : "d"),
                        .workspace = ws};
    c.kind = kind;
    c.name = "c";
    must(store->create_connection(c, {}));
  }
  model::SyncJob job{.id = JobId("j"), .workspace = ws};
  job.spec.name = "nightly";
  job.spec.source_id = ConnectionId("s");
  job.spec.destination_id = ConnectionId("d");
  job.next_slot = clock_.now();
  must(store->create_job(job, {}));
  const auto lease = must(store->acquire_leader(OwnerId("leader"), Millis(8000)));
  const PlanStep step{.job = job.id,
                      .expected_revision = 1,
                      .expected_next_slot = job.next_slot,
                      .runs = {{RunId("r"), clock_.now(), {}, clock_.now()}}};
  must(store->apply_plan(*lease, {&step, 1}));
  const auto run = must(store->claim_runs({.owner = OwnerId("w")})).runs.at(0);

  const object a_date{{"$type", "date"}};
  const auto leader = must(conn().find_one(
      "worker_locks",
      {.filter = {{"acquiredAt", a_date}, {"renewedAt", a_date}, {"expiresAt", a_date}}}));
  ASSERT_TRUE(leader);
  EXPECT_EQ(text_of(*leader, "_id"), "scheduler");
  EXPECT_EQ(text_of(*leader, "owner"), "leader");
  EXPECT_EQ(mongo::number_of(*leader, "fence"), value(lease->fence));

  const auto lock =
      must(conn().find_one("job_execution_locks", {.filter = {{"expiresAt", a_date}}}));
  ASSERT_TRUE(lock);
  EXPECT_EQ(text_of(*lock, "_id"), "j");
  EXPECT_EQ(text_of(*lock, "runId"), "r");
  EXPECT_EQ(text_of(*lock, "owner"), "w");
  EXPECT_EQ(mongo::number_of(*lock, "fence"), value(run.run.fence));

  const auto planned = must(conn().find_one("slots", {.filter = {{"jobId", "j"}}}));
  EXPECT_EQ(text_of(*planned, "outcome"), "planned");
  const auto end = contract::end_of(run, model::RunState::Failed);
  EXPECT_TRUE(must(store->finish_attempts({&end, 1})).at(0));
  const auto listed = must(conn().find_one(
      "syncjobs", {.filter = {{"lastRunAt", a_date}},
                   .projection = {{"name", 1}, {"lastRunAt", 1}, {"lastError", 1}}}));
  ASSERT_TRUE(listed);
  EXPECT_EQ(text_of(*listed, "name"), "nightly");
  EXPECT_EQ(text_of(*listed, "lastError"), "the source closed the connection");
  EXPECT_EQ(must(conn().count("job_execution_locks", {})), 0);
  EXPECT_EQ(text_of(*must(conn().find_one("slots", {})), "outcome"), "failed");
}

// Leases end by the server's clock, never by that of this machine.
TEST_F(MongoOpen, TimeIsTheServers) {
  const auto store = must(open_mongo_store(database_.options(), clock_, rng_));
  const auto hello = must(conn().run({{"hello", 1}}, "admin"));
  const Instant first = must(store->now());
  EXPECT_GE(first, mongo::time_of(hello, "localTime"));
  clock_.step_wall(std::chrono::hours(-1));
  EXPECT_EQ(must(store->now()), first)
      << "neither does it move with the wall clock of this machine";
}

}  // namespace
}  // namespace tidegate::store

#include "control/store/mongo/schema.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "control/store/mongo/rows.h"

namespace tidegate::store::mongo {
namespace {

constexpr int kNewest = 2;
constexpr std::int64_t kWireVersion5_0 = 13;

constexpr std::string_view kCollections[] = {
    coll::kJobs,    coll::kRuns,         coll::kLogs,       coll::kRecords, coll::kLocks,
    coll::kSources, coll::kDestinations, coll::kWorkspaces, coll::kTokens,  coll::kWorkers,
    coll::kKeys,    coll::kCounters,     coll::kSettings,   coll::kSchema,  coll::kSessions};

struct Index {
  std::string_view collection;
  bj::object keys;
  bool unique = false;
  bj::object only = {};  // the documents in it; empty: all
};

// No TTL index: its clock is the server's and its deletions would not count as pruned. Removal is
// prune()'s alone.
std::vector<Index> indexes() {
  const auto present = [](std::string_view field) {
    return bj::object{{field, bj::object{{"$exists", true}}}};
  };
  const bj::object slot{{"slot", bj::object{{"$type", "date"}}}};
  const bj::object live{{"live", true}}, queued{{"state", "queued"}}, running{{"state", "running"}};
  return {
      {coll::kJobs, {{"workspaceId", 1}, {"name", 1}}, true, live},
      {coll::kJobs, {{"nextSlot", 1}, {"_id", 1}}, false, live},
      {coll::kJobs, {{"pause.until", 1}}, false, present("pause")},
      {coll::kRuns, {{"jobId", 1}, {"slot", 1}}, true, slot},
      {coll::kRuns, {{"lane", 1}}, true, present("lane")},
      {coll::kRuns, {{"exclusiveKey", 1}}, true, present("exclusiveKey")},
      {coll::kRuns, {{"sortAt", 1}, {"_id", 1}}, false, queued},
      {coll::kRuns, {{"notBefore", 1}}, false, queued},
      {coll::kRuns, {{"expiresAt", 1}}, false, running},
      {coll::kRuns, {{"jobId", 1}, {"state", 1}, {"createdAt", 1}}},
      {coll::kRuns, {{"jobId", 1}, {"createdAt", 1}, {"_id", 1}}},
      {coll::kRuns, {{"workspaceId", 1}, {"createdAt", 1}, {"_id", 1}}},
      {coll::kRuns, {{"state", 1}, {"createdAt", 1}, {"_id", 1}}},
      {coll::kRuns, {{"finishedAt", 1}}},
      {coll::kRecords, {{"jobId", 1}, {"first", 1}}, true},
      {coll::kRecords, {{"jobId", 1}, {"last", 1}}},
      {coll::kRecords, {{"last", 1}}},
      {coll::kLogs, {{"runId", 1}, {"lastSeq", 1}}},
      {coll::kSources, {{"workspaceId", 1}, {"name", 1}}, true},
      {coll::kDestinations, {{"workspaceId", 1}, {"name", 1}}, true},
      {coll::kWorkspaces, {{"name", 1}}, true},
      {coll::kTokens, {{"name", 1}}, true},
      {coll::kTokens, {{"hash", 1}}, true},
      {coll::kWorkers, {{"seenAt", 1}}},
      {coll::kKeys, {{"createdAt", 1}}},
  };
}

bj::object create_index(const Index& index) {
  std::string name;
  for (const auto& key : index.keys) name += (name.empty() ? "" : "_") + std::string(key.key());
  bj::object o{{"key", index.keys}, {"name", name}};
  if (index.unique) o["unique"] = true;
  if (!index.only.empty()) o["partialFilterExpression"] = index.only;
  return o;
}

bj::object majority() { return {{"w", "majority"}, {"wtimeout", 30'000}}; }

Status create_indexes(Conn& conn) {
  const auto all = indexes();
  for (const auto collection : kCollections) {
    bj::array wanted;
    for (const Index& index : all) {
      if (index.collection == collection) wanted.push_back(create_index(index));
    }
    if (wanted.empty()) continue;
    TG_CHECK(conn.run({{"createIndexes", collection},
                       {"indexes", std::move(wanted)},
                       {"writeConcern", majority()}}));
  }
  return {};
}

// Who holds which run: a view, so that it can never differ from the runs.
bj::array run_locks() {
  const bj::object fields{{"_id", "$jobId"}, {"runId", "$_id"},   {"owner", 1},
                          {"fence", 1},      {"exclusiveKey", 1}, {"expiresAt", 1}};
  return {bj::object{{"$match", bj::object{{"state", "running"}}}},
          bj::object{{"$project", fields}}};
}

// The ledger: every slot's outcome.
bj::array slots() {
  const bj::object active{{"$in", bj::array{"$state", bj::array{"queued", "running"}}}};
  const bj::object outcome{{"$cond", bj::array{active, "planned", "$state"}}};
  const bj::object of_run{{"jobId", 1},         {"first", "$slot"},
                          {"last", "$slot"},    {"count", bj::object{{"$literal", 1}}},
                          {"outcome", outcome}, {"reason", "$errorKind"},
                          {"runId", "$_id"}};
  const bj::object others{{"coll", coll::kRecords}, {"pipeline", bj::array{}}};
  return {bj::object{{"$match", bj::object{{"slot", bj::object{{"$type", "date"}}}}}},
          bj::object{{"$project", of_run}}, bj::object{{"$unionWith", others}}};
}

Status create(Conn& conn, bj::object command) {
  command["writeConcern"] = majority();
  const auto made = conn.run(command);
  // Another process was faster.
  if (made || made.error().reason == kExists) return {};
  return fail(made.error());
}

Result<std::set<std::string>> collections_of(Conn& conn) {
  TG_TRY(const auto reply, conn.run({{"listCollections", 1},
                                     {"nameOnly", true},
                                     {"cursor", bj::object{{"batchSize", 10'000}}}}));
  std::set<std::string> names;
  for (const auto& item : reply.at("cursor").at("firstBatch").as_array()) {
    names.insert(text_of(item.as_object(), "name"));
  }
  return names;
}

Status mark(Conn& conn, int version, std::string_view name, Instant now) {
  TG_CHECK(conn.update(coll::kSchema, {{"_id", version}},
                       {{"$setOnInsert", bj::object{{"name", name}, {"appliedAt", date(now)}}}},
                       true));
  return {};
}

// Made by a store, or by the server for one.
bool is_ours(const std::string& name) {
  return name == coll::kRunLocks || name == coll::kSlots || name.starts_with("system.") ||
         std::ranges::find(kCollections, name) != std::end(kCollections);
}

bool grants(const bj::object& privilege, std::string_view database, std::string_view collection,
            std::string_view action) {
  const auto* resource = privilege.if_contains("resource");
  const auto* actions = privilege.if_contains("actions");
  if (resource == nullptr || actions == nullptr) return false;
  const bj::object& r = resource->as_object();
  const std::string db = text_of(r, "db"), on = text_of(r, "collection");
  const bool here =
      flag_of(r, "anyResource") ||
      (r.contains("db") && (db.empty() || db == database) && (on.empty() || on == collection));
  return here && std::ranges::any_of(actions->as_array(), [&](const bj::value& a) {
           return a.is_string() && a.get_string() == action;
         });
}

}  // namespace

int newest_schema() { return kNewest; }

std::vector<std::string> missing_privileges(const bj::object& connection_status,
                                            const std::string& database, bool replicated) {
  std::vector<std::string> missing;
  const auto* info = connection_status.if_contains("authInfo");
  if (info == nullptr) return missing;
  const auto* users = info->as_object().if_contains("authenticatedUsers");
  const auto* privileges = info->as_object().if_contains("authenticatedUserPrivileges");
  if (users == nullptr || users->as_array().empty() || privileges == nullptr ||
      privileges->as_array().empty()) {
    return missing;
  }
  std::vector<std::string_view> needed{
      "find", "insert", "update", "remove", "createCollection", "createIndex", "listCollections"};
  if (replicated) needed.push_back("changeStream");
  for (const auto action : needed) {
    const bool everywhere = std::ranges::all_of(kCollections, [&](std::string_view collection) {
      return std::ranges::any_of(privileges->as_array(), [&](const bj::value& p) {
        return grants(p.as_object(), database, collection, action);
      });
    });
    if (!everywhere) missing.emplace_back(action);
  }
  return missing;
}

Result<ServerFacts> facts_from(const bj::object& hello, const std::string& name) {
  if (number_of(hello, "maxWireVersion") < kWireVersion5_0) {
    return fail(Code::Invalid,
                fmt::format("{}: the server is too old (wire version {}); Tidegate needs MongoDB "
                            "5.0 or newer. Nothing was changed",
                            name, number_of(hello, "maxWireVersion")),
                "store_too_old");
  }
  return ServerFacts{.replicated =
                         hello.contains("setName") || text_of(hello, "msg") == "isdbgrid"};
}

Result<ServerFacts> inspect(Conn& conn, const Pool& pool) {
  TG_TRY(const auto hello, conn.run({{"hello", 1}}, "admin"));
  TG_TRY(const ServerFacts facts, facts_from(hello, pool.name()));
  TG_TRY(const auto status, conn.run({{"connectionStatus", 1}, {"showPrivileges", true}}));
  const auto missing = missing_privileges(status, pool.database(), facts.replicated);
  if (!missing.empty()) {
    return fail(Code::Forbidden,
                fmt::format("{}: the user of the store's URI may not {} there; grant it the role "
                            "readWrite on this database. Nothing was changed",
                            pool.name(), fmt::join(missing, ", ")),
                "store_forbidden");
  }
  return facts;
}

Result<std::optional<int>> present_version(Conn& conn, const Pool& pool) {
  TG_TRY(const auto present, collections_of(conn));
  TG_TRY(const auto newest, conn.find_one(coll::kSchema, {.filter = {}, .sort = {{"_id", -1}}}));
  if (newest && number_of(*newest, "_id") > kNewest) {
    return fail(Code::Invalid,
                fmt::format("{} has schema version {}, this tidegate knows up to {}; it was "
                            "written by a newer tidegate: start that one. Nothing was changed",
                            pool.name(), number_of(*newest, "_id"), kNewest),
                "schema_too_new");
  }
  // Others number theirs in a field.
  if (newest && newest->at("_id").is_number()) return static_cast<int>(number_of(*newest, "_id"));
  if (present.empty()) return std::nullopt;
  // Begun by a process that is about to say so, or died before it did.
  if (!newest && present.contains(std::string(coll::kSchema)) &&
      std::ranges::all_of(present, is_ours)) {
    return 0;
  }
  return fail(Code::Invalid,
              fmt::format("{} belongs to something else (it has collections, but no version in "
                          "{}); choose another database for the store. Nothing was changed",
                          pool.name(), coll::kSchema),
              "not_a_store");
}

Status migrate(Conn& conn, const Pool& pool, Instant now) {
  TG_TRY(const auto present, collections_of(conn));
  TG_TRY(const auto version, present_version(conn, pool));
  // Version 0 says whose database it is, should the process die before the rest is there.
  if (version.value_or(0) == 0) TG_CHECK(mark(conn, 0, "begun", now));
  for (const auto name : kCollections) {
    if (!present.contains(std::string(name))) TG_CHECK(create(conn, {{"create", name}}));
  }
  if (!present.contains(std::string(coll::kRunLocks))) {
    TG_CHECK(create(
        conn, {{"create", coll::kRunLocks}, {"viewOn", coll::kRuns}, {"pipeline", run_locks()}}));
  }
  if (!present.contains(std::string(coll::kSlots))) {
    TG_CHECK(
        create(conn, {{"create", coll::kSlots}, {"viewOn", coll::kRuns}, {"pipeline", slots()}}));
  }
  TG_CHECK(create_indexes(conn));
  if (version == kNewest) return {};
  TG_CHECK(conn.update(coll::kWorkspaces, {{"_id", rules::kDefaultWorkspaceId}},
                       {{"$setOnInsert", bj::object{{"name", rules::kDefaultWorkspaceName},
                                                    {"revision", 1},
                                                    {"seq", 1},
                                                    {"createdAt", date(now)}}}},
                       true));
  return mark(conn, kNewest, "collections, views, indexes", now);
}

}  // namespace tidegate::store::mongo

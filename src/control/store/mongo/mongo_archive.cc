#include <algorithm>
#include <map>

#include "base/overloaded.h"
#include "control/store/archive_walk.h"
#include "control/store/mongo/ledger.h"
#include "control/store/mongo/mongo_state.h"
#include "control/store/mongo/query.h"

namespace tidegate::store::mongo {

using model::ConnectionKind;
using model::Run;

namespace {

constexpr std::size_t kPage = 200;
constexpr std::size_t kLargePage = 100;  // of what may be large: jobs, runs
constexpr std::size_t kLogPage = 32;

bj::object lease_id() { return {{"_id", "scheduler"}}; }

Status whole(const std::optional<bj::object>& lease) {
  return rules::check_whole(OwnerId(lease ? text_of(*lease, "owner") : ""));
}

bj::object after_id(const std::string& id) { return {{"_id", bj::object{{"$gt", id}}}}; }

// Reads one job's runs and slots after the other's, in a snapshot where the server has them.
class Pages final : public ArchivePages {
 public:
  explicit Pages(Pool& pool) : conn_(pool) {}

  Status begin(bool replicated) {
    if (!replicated) return {};
    TG_TRY(snapshot_, conn_.begin_snapshot(coll::kSchema));
    return {};
  }

  bool is_snapshot() const override { return snapshot_; }

  Result<std::vector<ArchiveRecord>> head() override {
    std::vector<ArchiveRecord> page;
    const bj::object by_id{{"_id", 1}};
    TG_TRY(const auto workspaces, conn_.find(coll::kWorkspaces, {.filter = {}, .sort = by_id}));
    for (const auto& o : workspaces) page.emplace_back(workspace_from(o));
    TG_TRY(const auto tokens, conn_.find(coll::kTokens, {.filter = {}, .sort = by_id}));
    for (const auto& o : tokens) {
      TG_TRY(auto token, token_from(o));
      page.emplace_back(std::move(token));
    }
    TG_TRY(const auto lease, conn_.find_one(coll::kLocks, {.filter = lease_id()}));
    TG_CHECK(whole(lease));
    page.emplace_back(ArchivedFence{Fence{lease ? number_of(*lease, "fence") : 0}});
    return page;
  }

  // First all sources, then all destinations: their ids are in two collections.
  Result<std::vector<model::Connection>> connections(const ConnectionId& after) override {
    std::string from = after.str();
    for (; kind_ <= static_cast<int>(ConnectionKind::Destination); ++kind_, from.clear()) {
      TG_TRY(auto page,
             list<model::Connection>(connections_of(static_cast<ConnectionKind>(kind_)),
                                     after_id(from), {{"_id", 1}}, kPage, connection_from));
      if (!page.empty()) return page;
    }
    return std::vector<model::Connection>();
  }

  Result<std::vector<ArchivedJob>> jobs(const JobId& after) override {
    return list<ArchivedJob>(coll::kJobs, after_id(after.str()), {{"_id", 1}}, kLargePage,
                             [](bj::object o) -> Result<ArchivedJob> {
                               TG_TRY(auto row, job_from(std::move(o)));
                               return ArchivedJob{std::move(row.job), row.fence, row.deleted};
                             });
  }

  Result<std::vector<model::SlotRecord>> slots(const std::vector<JobId>& jobs,
                                               const SlotAfter& after) override {
    return of_jobs<model::SlotRecord>(jobs, after.job, [&](const JobId& job, bool goes_on) {
      bj::object filter{{"jobId", job.str()}};
      if (goes_on) filter["first"] = bj::object{{"$gt", date(after.first)}};
      return list<model::SlotRecord>(
          coll::kRecords, std::move(filter), {{"first", 1}}, kPage,
          [](const bj::object& o) -> Result<model::SlotRecord> { return record_from(o); });
    });
  }

  Result<std::vector<Run>> runs(const std::vector<JobId>& jobs, const RunAfter& after) override {
    return of_jobs<Run>(jobs, after.job, [&](const JobId& job, bool goes_on) {
      bj::object filter{{"jobId", job.str()}};
      if (goes_on) {
        require(filter, beyond("createdAt", date(after.created_at), "_id",
                               bj::string(after.id.str()), true));
      }
      return list<Run>(coll::kRuns, std::move(filter), {{"createdAt", 1}, {"_id", 1}}, kLargePage,
                       [](bj::object o) -> Result<Run> {
                         TG_TRY(auto row, run_from(std::move(o)));
                         return std::move(row.run);
                       });
    });
  }

  Result<std::vector<ArchivedLog>> logs(const std::vector<RunId>& runs,
                                        const LogAfter& after) override {
    bj::array others;
    for (const RunId& run : runs) {
      if (run > after.run) others.emplace_back(run.str());
    }
    bj::object filter{{"runId", bj::object{{"$in", std::move(others)}}}};
    if (!after.run.empty()) {
      const bj::object same{{"runId", after.run.str()},
                            {"lastSeq", bj::object{{"$gt", after.seq}}}};
      filter = {{"$or", bj::array{same, std::move(filter)}}};
    }
    return list<ArchivedLog>(coll::kLogs, std::move(filter), {{"runId", 1}, {"lastSeq", 1}},
                             kLogPage, [](const bj::object& o) -> Result<ArchivedLog> {
                               ArchivedLog log{.run = RunId(text_of(o, "runId")), .lines = {}};
                               read_lines(o, 0, SIZE_MAX, log.lines);
                               return log;
                             });
  }

 private:
  template <class T, class From>
  Result<std::vector<T>> list(std::string_view collection, bj::object filter, bj::object sort,
                              std::size_t limit, From&& from) {
    TG_TRY(auto documents,
           conn_.find(collection,
                      {.filter = std::move(filter), .sort = std::move(sort), .limit = limit}));
    std::vector<T> page;
    for (auto& o : documents) {
      TG_TRY(T item, from(std::move(o)));
      page.push_back(std::move(item));
    }
    return page;
  }

  // The first page that is not empty, from the job `after` on, where it goes on.
  template <class T, class Read>
  Result<std::vector<T>> of_jobs(const std::vector<JobId>& jobs, const JobId& after, Read&& read) {
    const auto first = after.empty() ? jobs.begin() : std::ranges::find(jobs, after);
    for (auto job = first; job != jobs.end(); ++job) {
      TG_TRY(auto page, read(*job, !after.empty() && job == first));
      if (!page.empty()) return page;
    }
    return std::vector<T>();
  }

  Conn conn_;
  bool snapshot_ = false;
  int kind_ = 0;  // of the connections that are read
};

Result<rules::Contents> contents(Conn& db) {
  rules::Contents has;
  const std::pair<bool*, std::string_view> collections[] = {{&has.jobs, coll::kJobs},
                                                            {&has.runs, coll::kRuns},
                                                            {&has.slots, coll::kRecords},
                                                            {&has.connections, coll::kSources}};
  for (const auto& [some, name] : collections) {
    TG_TRY(*some, db.exists(name, {}));
  }
  TG_TRY(const bool destinations, db.exists(coll::kDestinations, {}));
  has.connections = has.connections || destinations;
  TG_TRY(has.workspaces,
         db.exists(coll::kWorkspaces, {{"_id", bj::object{{"$ne", rules::kDefaultWorkspaceId}}}}));
  TG_TRY(const auto tokens, db.find(coll::kTokens, {.filter = {}}));
  for (const auto& o : tokens) {
    TG_TRY(const auto token, token_from(o));
    has.tokens = has.tokens || !rules::made_at_start(token);
  }
  return has;
}

// First of all, since on a standalone server somebody may be faster.
Status take_lease(Tx& tx, std::optional<bj::object> found, const OwnerId& owner) {
  TG_TRY(const auto has, contents(tx.db));
  TG_CHECK(rules::check_empty(has));
  bj::object lease = found.value_or(lease_id());
  lease["owner"] = owner.str();
  lease["fence"] = value(rules::next_fence(Fence{number_of(lease, "fence")}, tx.now));
  lease["acquiredAt"] = date(tx.now);
  lease["renewedAt"] = date(tx.now);
  lease["expiresAt"] = date(rules::kForEver);
  const Status taken =
      found ? tx.put(coll::kLocks, lease, number_of(*found, "seq")) : tx.add(coll::kLocks, lease);
  if (!taken && taken.error().reason == kDuplicate) tx.db.lost_race();
  return taken;
}

// Documents that follow one another in one collection are one command. What is there already
// stays.
class Inserts {
 public:
  Inserts(Conn& db, std::string_view self) : db_(db), self_(self) {}

  Status add(std::string_view collection, bj::object document) {
    if (collection != collection_) TG_CHECK(flush());
    collection_ = collection;
    document["seq"] = 1;
    document["writtenBy"] = self_;
    documents_.push_back(std::move(document));
    return {};
  }
  Status flush() {
    const auto documents = std::exchange(documents_, {});
    const Status all = db_.insert(collection_, documents);
    if (all || all.error().reason != kDuplicate) return all;
    for (const auto& document : documents) {
      const Status one = db_.insert(collection_, document);
      if (one || one.error().reason != kDuplicate) {
        TG_CHECK(one);
        continue;
      }
      // A name or a slot that another document has is no repetition.
      TG_TRY(const bool there, db_.exists(collection_, {{"_id", document.at("_id")}}));
      if (!there) return one;
    }
    return {};
  }

 private:
  Conn& db_;
  std::string_view self_;
  std::string_view collection_;
  std::vector<bj::object> documents_;
};

class Loader {
 public:
  Loader(Conn& db, std::string_view self) : db_(db), inserts_(db, self) {}

  Status load(const ArchiveRecord& record) {
    return std::visit(
        Overloaded{
            [&](const model::Workspace& w) {
              return inserts_.add(coll::kWorkspaces, to_document(w));
            },
            [&](const model::Token& t) { return inserts_.add(coll::kTokens, to_document(t)); },
            [&](const ArchivedFence& f) -> Status {
              TG_CHECK(db_.update(coll::kLocks, lease_id(),
                                  {{"$max", bj::object{{"fence", value(f.fence)}}}}));
              return {};
            },
            [&](const model::Connection& c) {
              return inserts_.add(connections_of(c.kind), to_document(c));
            },
            [&](const model::SlotRecord& r) {
              return inserts_.add(coll::kRecords, record_document(r.job, r));
            },
            [&](const Run& run) {
              return inserts_.add(coll::kRuns, to_document(RunRow{.run = run}));
            },
            [&](const ArchivedLog& log) { return load_log(log); },
            [&](const ArchivedJob& job) { return load_job(job); },
        },
        record);
  }
  // The runs keep where their logs end.
  Status finish() {
    TG_CHECK(inserts_.flush());
    for (const auto& [run, end] : log_ends_) {
      const bj::object shorter{{"logSeq", bj::object{{"$lt", end.seq}}}};
      const bj::object none{{"logSeq", bj::object{{"$exists", false}}}};
      TG_CHECK(db_.update(coll::kRuns, {{"_id", run.str()}, {"$or", bj::array{shorter, none}}},
                          {{"$set", bj::object{{"logSeq", end.seq}, {"logFull", false}}},
                           {"$inc", bj::object{{"logBytes", end.bytes}}}}));
    }
    return {};
  }

 private:
  Status load_log(const ArchivedLog& log) {
    rules::LogTail& end = log_ends_[log.run];
    end.seq = log.lines.back().seq;
    end.bytes += rules::log_bytes(log.lines);
    return inserts_.add(coll::kLogs, log_document(log.run, log.lines));
  }
  Status load_job(const ArchivedJob& j) {
    TG_CHECK(inserts_.flush());
    TG_TRY(const auto runs, db_.count(coll::kRuns, {{"jobId", j.job.id.str()}}));
    return inserts_.add(
        coll::kJobs, to_document(JobRow{
                         .job = j.job, .fence = j.fence, .deleted = j.deleted, .runs_kept = runs}));
  }

  Conn& db_;
  Inserts inserts_;
  std::map<RunId, rules::LogTail> log_ends_;
};

}  // namespace

Result<std::unique_ptr<ArchiveReader>> MongoStore::read_archive() {
  auto pages = std::make_unique<Pages>(*pool_);
  TG_CHECK(pages->begin(replicated_));
  return walk_archive(std::move(pages));
}

Result<Instant> MongoStore::begin_restore(const std::string& archive) {
  return write([&](Tx& tx) -> Result<Instant> {
    TG_TRY(auto found, tx.db.find_one(coll::kLocks, {.filter = lease_id()}));
    const OwnerId mine = rules::restore_owner(archive);
    const bj::object lease = found.value_or(lease_id());
    const OwnerId holder(text_of(lease, "owner"));
    const bool held = !holder.empty() && time_of(lease, "expiresAt") > tx.now;
    Instant since = tx.now;
    if (holder == mine) {
      since = time_of(lease, "acquiredAt");
    } else {
      if (rules::is_restore(holder)) return rules::other_restore(holder);
      if (held) return rules::store_in_use(holder);
      TG_CHECK(take_lease(tx, std::move(found), mine));
    }
    // Also again: a standalone server may have been interrupted in between.
    for (const auto name : {coll::kWorkspaces, coll::kTokens, coll::kKeys}) {
      TG_CHECK(tx.db.erase(name, {}));
    }
    return since;
  });
}

Status MongoStore::check_whole() {
  Conn conn(*pool_);
  TG_TRY(const auto lease, conn.find_one(coll::kLocks, {.filter = lease_id()}));
  return whole(lease);
}

// Not in a transaction, which would end with the first document that is there already. Nobody reads
// what is not whole.
Status MongoStore::load_archive(std::span<const ArchiveRecord> records) {
  TG_CHECK(rules::check_loadable(records));
  return write_one([&](Tx& tx) -> Status {
    Loader loader(tx.db, tx.self);
    for (const ArchiveRecord& record : records) TG_CHECK(loader.load(record));
    return loader.finish();
  });
}

Status MongoStore::end_restore(const std::string& archive) {
  return write_one([&](Tx& tx) -> Status {
    for (const auto kind : {ChangeKind::Workspace, ChangeKind::Token, ChangeKind::Connection,
                            ChangeKind::Job, ChangeKind::Run}) {
      tx.note(kind, "");
    }
    const bj::object mine{{"_id", "scheduler"}, {"owner", rules::restore_owner(archive).str()}};
    TG_CHECK(tx.db.update(coll::kLocks, mine,
                          {{"$set", bj::object{{"owner", ""}, {"expiresAt", date(tx.now)}}},
                           {"$inc", bj::object{{"seq", 1}}}}));
    return {};
  });
}

}  // namespace tidegate::store::mongo

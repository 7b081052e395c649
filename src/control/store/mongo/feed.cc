#include "control/store/mongo/feed.h"

#include <algorithm>
#include <condition_variable>

#include "base/log.h"
#include "control/store/mongo/rows.h"

namespace tidegate::store::mongo {
namespace {

constexpr std::string_view kCounted[] = {"job", "run", "connection", "workspace", "token"};
constexpr std::int64_t kAwaitMs = 500;  // how long the server waits for an event; also for stop()
constexpr Millis kQuiet{5};             // after an empty answer, should the server not wait at all
constexpr Millis kFirstPause{100}, kLongestPause{5000};
// An event that the server cannot send, as one that is too large, comes again with each resumption.
constexpr int kResumptions = 8;

bool is_cut(const bson_error_t& error) {
  return error.code == server_code::kHistoryLost ||
         error.code == server_code::kInvalidResumeToken ||
         error.code == server_code::kChangeStreamFatal;
}

std::size_t index_of(ChangeKind kind) { return static_cast<std::size_t>(kind); }

std::optional<ChangeKind> kind_of(std::string_view collection) {
  if (collection == coll::kJobs) return ChangeKind::Job;
  if (collection == coll::kRuns) return ChangeKind::Run;
  if (collection == coll::kSources || collection == coll::kDestinations) {
    return ChangeKind::Connection;
  }
  if (collection == coll::kWorkspaces) return ChangeKind::Workspace;
  if (collection == coll::kTokens) return ChangeKind::Token;
  return std::nullopt;
}

// The server sends what matters to a subscriber: no renewal of a lease, no slot that moved on, and
// nothing that this process wrote itself.
bj::object pipeline(const std::string& self) {
  const bj::array things{coll::kJobs,       coll::kSources, coll::kDestinations,
                         coll::kWorkspaces, coll::kTokens,  coll::kRuns};
  const bj::object written{{"ns.coll", bj::object{{"$in", things}}},
                           {"operationType", bj::object{{"$in", bj::array{"insert", "replace"}}}},
                           {"fullDocument.writtenBy", bj::object{{"$ne", self}}}};
  bj::array settled = things;
  settled.pop_back();
  const bj::object removed{{"ns.coll", bj::object{{"$in", settled}}}, {"operationType", "delete"}};
  const bj::object progress{{"ns.coll", coll::kRuns},
                            {"operationType", "update"},
                            {"updateDescription.updatedFields.progress.by",
                             bj::object{{"$exists", true}, {"$ne", self}}}};
  const bj::object cut{
      {"operationType", bj::object{{"$in", bj::array{"invalidate", "drop", "dropDatabase"}}}}};
  const bj::object match{{"$or", bj::array{written, removed, progress, cut}}};
  const bj::object fields{{"operationType", 1}, {"ns", 1}, {"documentKey", 1}};
  return {{"pipeline", bj::array{bj::object{{"$match", match}}, bj::object{{"$project", fields}}}}};
}

}  // namespace

// ---- the change stream

struct Feed::Stream {
  explicit Stream(Pool& pool) : conn(pool) {}
  ~Stream() {
    if (raw != nullptr) mongoc_change_stream_destroy(raw);
    if (database != nullptr) mongoc_database_destroy(database);
  }
  Conn conn;
  mongoc_database_t* database = nullptr;
  mongoc_change_stream_t* raw = nullptr;
};

Feed::~Feed() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Feed::start() {
  const std::scoped_lock lock(thread_mutex_);
  if (thread_.joinable()) return;
  if (!streams_) {
    log::info("this MongoDB server cannot push changes (it is not a replica set): they are polled",
              {{"every_ms", std::int64_t{poll_interval_.count()}}});
    thread_ = std::jthread(
        [this, seen = foreign_changes()](const std::stop_token& stop) { poll(stop, seen); });
    return;
  }
  std::optional<Bson> token;
  Error error;
  auto stream = open_stream(token, error);
  thread_ = std::jthread([this, stream = std::move(stream)](const std::stop_token& stop) mutable {
    follow(stop, std::move(stream));
  });
}

// Forgets a token that the server cannot go on from: its oplog has moved past it, or the database
// was dropped meanwhile.
std::unique_ptr<Feed::Stream> Feed::open_stream(std::optional<Bson>& token, Error& error) {
  auto stream = std::make_unique<Stream>(pool_);
  if (stream->conn.client() == nullptr) {
    error = {Code::Unavailable, "no connection is free", {}, {}};
    return nullptr;
  }
  stream->database = mongoc_client_get_database(stream->conn.client(), pool_.database().c_str());
  Bson options = to_bson({{"maxAwaitTimeMS", kAwaitMs}});
  if (token) BSON_APPEND_DOCUMENT(options.get(), "resumeAfter", token->get());
  const Bson stages = to_bson(pipeline(self_));
  stream->raw = mongoc_database_watch(stream->database, stages.get(), options.get());
  bson_error_t failed;
  const bson_t* reply = nullptr;
  if (!mongoc_change_stream_error_document(stream->raw, &failed, &reply)) return stream;
  error = pool_.error(failed, reply);
  if (token && is_cut(failed)) {
    log::warn("the change stream cannot go on where it stood; everything is read again",
              {{"error", error.message}});
    token.reset();
  }
  return nullptr;
}

// False: the stream has ended with this event.
bool Feed::deliver(const bson_t& event) {
  const bj::object o = from_bson(event);
  if (text_of(o, "operationType") == "invalidate") return false;
  const auto* ns = o.if_contains("ns");
  const auto* key = o.if_contains("documentKey");
  if (ns == nullptr || key == nullptr || !ns->is_object() || !key->is_object()) {
    tell_all();  // a collection was dropped
    return true;
  }
  const auto kind = kind_of(text_of(ns->get_object(), "coll"));
  if (!kind) return true;
  const Change change{*kind, text_of(key->get_object(), "_id")};
  hub_.publish({&change, 1});
  return true;
}

void Feed::tell_all() {
  std::vector<Change> all;
  for (std::size_t i = 0; i < std::size(kCounted); ++i) {
    all.push_back({static_cast<ChangeKind>(i), ""});
  }
  hub_.publish(all);
}

bool Feed::wait(const std::stop_token& stop, Millis span) const {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, span, [] { return false; });
  return !stop.stop_requested();
}

// Waits for an event and delivers it. False: the stream is over, to be opened again after `token`.
bool Feed::next(Stream& stream, std::optional<Bson>& token, const std::stop_token& stop) {
  const bson_t* event = nullptr;
  const bool some = mongoc_change_stream_next(stream.raw, &event);
  if (some && !deliver(*event)) {
    log::warn("the change stream was invalidated; everything is read again");
    token.reset();
    return false;
  }
  if (const bson_t* at = mongoc_change_stream_get_resume_token(stream.raw); at != nullptr) {
    token = Bson(bson_copy(at));
  }
  bson_error_t failed;
  const bson_t* reply = nullptr;
  if (some) return true;
  if (!mongoc_change_stream_error_document(stream.raw, &failed, &reply)) {
    (void)wait(stop, kQuiet);
    return true;
  }
  log::warn("the change stream broke off; it is opened again",
            {{"error", pool_.error(failed, reply).message}});
  if (is_cut(failed)) token.reset();
  return false;
}

void Feed::follow(const std::stop_token& stop, std::unique_ptr<Stream> stream) {
  std::optional<Bson> token;
  Millis longest = kFirstPause;
  int failures = 0;
  while (!stop.stop_requested()) {
    if (stream != nullptr && next(*stream, token, stop)) {
      longest = kFirstPause;
      failures = 0;
      continue;
    }
    if (stream != nullptr) ++failures;
    if (failures > kResumptions && token) {
      log::warn("the change stream breaks off at the same place; everything is read again");
      token.reset();
    }
    stream.reset();
    const auto pause = Millis(rng_.below(static_cast<std::uint64_t>(longest.count())) + 1);
    if (!wait(stop, pause)) return;
    longest = std::min(longest * 2, kLongestPause);
    Error error;
    stream = open_stream(token, error);
    if (stream == nullptr) {
      if (error.code != Code::Unavailable) ++failures;
      continue;
    }
    log::info("the change stream goes on", {{"resumed", token.has_value()}});
    if (!token) tell_all();
  }
}

// ---- counters

void Feed::tell(Conn& conn, std::span<const Change> changes) {
  hub_.publish(changes);
  if (streams_) return;
  bj::object raised;
  const std::scoped_lock lock(own_mutex_);
  for (const Change& c : changes) {
    if (c.kind == ChangeKind::Run) continue;  // they change all the time: every look tells of them
    const auto i = index_of(c.kind);
    raised[kCounted[i]] = number_of(raised, kCounted[i]) + 1;
    ++own_[i];
  }
  if (raised.empty()) return;
  // A hint that is lost is made good by the subscribers' own looking.
  (void)conn.update(coll::kCounters, {{"_id", "changes"}}, {{"$inc", raised}}, true);
}

std::optional<Feed::Counters> Feed::foreign_changes() {
  Conn conn(pool_);
  const std::scoped_lock lock(own_mutex_);
  auto found = conn.find_one(coll::kCounters, {.filter = {{"_id", "changes"}}});
  if (!found) return std::nullopt;
  Counters foreign{};
  for (std::size_t i = 0; i < foreign.size(); ++i) {
    foreign[i] = (*found ? number_of(**found, kCounted[i]) : 0) - own_[i];
  }
  return foreign;
}

void Feed::poll(const std::stop_token& stop, std::optional<Counters> seen) {
  while (wait(stop, poll_interval_)) {
    const auto foreign = foreign_changes();
    if (!foreign) {
      seen.reset();  // what happened while the server was away is not known
      continue;
    }
    if (seen) {
      std::vector<Change> changes{{ChangeKind::Run, ""}};
      for (std::size_t i = 0; i < foreign->size(); ++i) {
        if ((*foreign)[i] != (*seen)[i]) changes.push_back({static_cast<ChangeKind>(i), ""});
      }
      hub_.publish(changes);
    } else {
      tell_all();
    }
    seen = foreign;
  }
}

}  // namespace tidegate::store::mongo

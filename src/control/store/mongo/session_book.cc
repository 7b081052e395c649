#include "control/store/mongo/session_book.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/log.h"
#include "control/store/mongo/rows.h"

namespace tidegate::store::mongo {
namespace {

constexpr std::size_t kIdDigits = 32;  // of a UUID, in hex

std::uint8_t digit(char c) { return static_cast<std::uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); }

// {killSessions: [{id: UUID}, …]}
Bson kill_command(const std::vector<std::string>& sessions) {
  Bson command;
  bson_t list;
  BSON_APPEND_ARRAY_BEGIN(command.get(), "killSessions", &list);
  std::size_t n = 0;
  for (const std::string& id : sessions) {
    std::array<std::uint8_t, kIdDigits / 2> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::uint8_t>(digit(id[2 * i]) << 4 | digit(id[2 * i + 1]));
    }
    bson_t session;
    const std::string key = std::to_string(n++);
    bson_append_document_begin(&list, key.data(), static_cast<int>(key.size()), &session);
    BSON_APPEND_BINARY(&session, "id", BSON_SUBTYPE_UUID, bytes.data(), bytes.size());
    bson_append_document_end(&list, &session);
  }
  bson_append_array_end(command.get(), &list);
  return command;
}

std::vector<std::string> sessions_of(const bj::object& document) {
  std::vector<std::string> out;
  const auto* list = document.if_contains("sessions");
  if (list == nullptr || !list->is_array()) return out;
  for (const auto& id : list->get_array()) {
    if (!id.is_string() || id.get_string().size() != kIdDigits) continue;
    if (id.get_string().find_first_not_of("0123456789abcdef") != bj::string::npos) continue;
    out.emplace_back(id.get_string());
  }
  return out;
}

}  // namespace

SessionBook::SessionBook(Pool& pool, std::string self, std::function<Result<Instant>()> now)
    : pool_(pool),
      self_(std::move(self)),
      now_(std::move(now)),
      thread_([this](const std::stop_token& stop) { loop(stop); }) {}

SessionBook::~SessionBook() {
  thread_.request_stop();
  thread_.join();
  if (sessions_.empty() || failing_) return;
  Conn conn(pool_);
  // Else the others do it.
  (void)conn.erase(coll::kSessions, {{"_id", self_}});
}

Status SessionBook::note(const std::string& session) {
  {
    const std::scoped_lock lock(mutex_);
    if (!sessions_.insert(session).second) return {};
  }
  Status written = beat();
  if (!written) {
    const std::scoped_lock lock(mutex_);
    sessions_.erase(session);
  }
  return written;
}

Status SessionBook::beat() {
  bj::array sessions;
  {
    const std::scoped_lock lock(mutex_);
    for (const std::string& id : sessions_) sessions.emplace_back(id);
  }
  if (sessions.empty()) return {};
  TG_TRY(const Instant now, now_());
  Conn conn(pool_);
  TG_CHECK(conn.update(coll::kSessions, {{"_id", self_}},
                       {{"$set", bj::object{{"sessions", sessions}, {"seenAt", date(now)}}}},
                       true));
  return {};
}

Status SessionBook::end_silent() {
  TG_TRY(const Instant now, now_());
  Conn conn(pool_);
  const bj::object silent{{"_id", bj::object{{"$ne", self_}}},
                          {"seenAt", bj::object{{"$lte", date(now - kSessionSilence)}}}};
  TG_TRY(const auto found, conn.find(coll::kSessions, {.filter = silent}));
  for (const bj::object& other : found) {
    const std::vector<std::string> sessions = sessions_of(other);
    const Bson command = kill_command(sessions);
    bson_error_t error;
    if (!sessions.empty() && !mongoc_client_command_simple(conn.client(), "admin", command.get(),
                                                           nullptr, nullptr, &error)) {
      return fail(pool_.error(error));
    }
    // A process that was only frozen writes itself down again.
    TG_CHECK(conn.erase(coll::kSessions, {{"_id", text_of(other, "_id")},
                                          {"seenAt", date(time_of(other, "seenAt"))}}));
    log::info("open transactions of a silent process were ended",
              {{"process", text_of(other, "_id")},
               {"sessions", static_cast<std::int64_t>(sessions.size())}});
  }
  return {};
}

void SessionBook::loop(const std::stop_token& stop) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  while (!wake_.wait_for(lock, stop, kSessionBeat, [&] { return stop.stop_requested(); })) {
    Status done = beat();
    if (done) done = end_silent();
    if (!done && !failing_) {
      log::warn("transactions of silent processes cannot be ended",
                {{"error", describe(done.error())}});
    }
    failing_ = !done;
  }
}

}  // namespace tidegate::store::mongo

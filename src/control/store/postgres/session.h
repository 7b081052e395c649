#pragma once
// One connection of libpq with its prepared statements. Used by one thread at a time. A call ends
// within its deadline even when the server is frozen or the network swallows everything.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "control/store/postgres/params.h"
#include "control/store/postgres/result.h"
#include "control/store/postgres/target.h"

struct pg_conn;

namespace tidegate::store::postgres {

struct Timeouts {
  Millis connect{5'000};              // to one host
  Millis answer{10'000};              // to a flight, before the connection counts as lost
  Millis statement{30'000};           // ended by the server
  Millis lock{5'000};                 // waiting for one row
  Millis idle_in_transaction{5'000};  // of a process that froze inside a transaction
};

class Session {
 public:
  // Connected and set up; `schema` empty: the search_path stays what the URL and the server say.
  // Invalid, with nothing sent: the server is older than 13.
  static Result<Session> open(const Target& target, const Timeouts& timeouts,
                              const std::string& schema);

  // All statements in one flight: one round trip, one result each. Without a BEGIN they are one
  // transaction of their own. The first error, the rest was not executed then.
  Result<std::vector<Rows>> run(const std::vector<Query>& queries);
  template <class... Args>
  Result<Rows> exec(std::string sql, const Args&... args) {
    TG_TRY(auto rows, run({query(std::move(sql), args...)}));
    return std::move(rows.front());
  }
  // The same within one read-only snapshot.
  Result<std::vector<Rows>> snapshot(std::vector<Query> queries);
  // Several statements without parameters.
  Status script(const std::string& sql);
  // From now on, in place of Timeouts::answer.
  void answer_within(Millis limit) { answer_ = limit; }

  // SQLSTATE of the last failure of run(); empty when the server did not speak.
  const std::string& sqlstate() const { return sqlstate_; }
  bool broken() const { return broken_; }
  // The last failure was that of a statement prepared before a migration, or one that a pooler
  // lost: nothing was done, another session will do it.
  bool outdated() const;
  // Idle, in no transaction, not closed by the other side, and not known to take no writes.
  bool usable();
  int socket() const;
  // Sender's payload for each notification that has arrived. Unavailable: connection lost.
  Status notifications(const std::function<void(std::string_view)>& each);

 private:
  struct Close {
    void operator()(pg_conn* c) const;
  };
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  using Steady = std::chrono::steady_clock;
  using Deadline = Steady::time_point;
  // What was sent: each has one result. A statement that was prepared for the first time may be
  // kept once its result is good.
  struct Sent {
    std::string fresh;  // the text that was prepared; empty: a statement that was executed
  };

  Session(pg_conn* conn, const Target& target, const Timeouts& timeouts)
      : conn_(conn), target_(&target), timeouts_(timeouts), answer_(timeouts.answer) {}
  static Result<Session> connect(const Target& target, const Target::Params& host,
                                 const Timeouts& timeouts);
  Status set_up(const std::string& schema);
  Status send(const Query& q, std::vector<Sent>& sent);
  Result<std::vector<Rows>> receive(const std::vector<Sent>& sent, Deadline deadline);
  // nullopt: the end of a statement's results.
  Result<std::optional<Rows>> next_result(Deadline deadline);
  Status wait(short events, Deadline deadline);
  std::unexpected<Error> lost();
  std::unexpected<Error> failed(const Rows& result);

  std::unique_ptr<pg_conn, Close> conn_;
  const Target* target_;
  Timeouts timeouts_;
  Millis answer_;
  std::unordered_map<std::string, std::string, Hash, std::equal_to<>> statements_;
  std::uint64_t last_statement_ = 0;
  std::string sqlstate_;
  bool broken_ = false;
};

}  // namespace tidegate::store::postgres

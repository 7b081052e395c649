#pragma once
// Transactions of processes that died or froze inside one. A MongoDB server keeps such a
// transaction open, and what it wrote locked, for a minute (transactionLifetimeLimitSeconds), also
// when its client's connection is gone: a leader killed there would hold up its successor for so
// long. So each process writes down which sessions it has and that it lives, and each ends the
// sessions of those that have been silent. A user may always end sessions of its own.

#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "base/time.h"
#include "control/store/mongo/tx.h"

namespace tidegate::store::mongo {

inline constexpr Millis kSessionBeat{1'000};
// Shorter than any lease of the defaults; no transaction waits for anything but the server.
inline constexpr Millis kSessionSilence{4'000};

// Thread-safe.
class SessionBook {
 public:
  // `now`: the server's time. REQUIRES: pool outlives this, and all that `now` uses.
  SessionBook(Pool& pool, std::string self, std::function<Result<Instant>()> now);
  ~SessionBook();  // forgets this process's sessions
  SessionBook(const SessionBook&) = delete;
  SessionBook& operator=(const SessionBook&) = delete;

  // To be called before the first statement of a transaction; costs a write when the session is
  // new, which is seldom: the driver keeps them. `session`: Conn::session().
  Status note(const std::string& session);

 private:
  void loop(const std::stop_token& stop);
  Status beat();        // this process lives, and has these sessions
  Status end_silent();  // those of others that do not

  Pool& pool_;
  const std::string self_;
  const std::function<Result<Instant>()> now_;
  std::mutex mutex_;
  std::set<std::string> sessions_;  // guarded by mutex_
  bool failing_ = false;            // only of the thread, and when it has ended
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace tidegate::store::mongo

#pragma once
// Transactions over the pool: each write is one, repeated when PostgreSQL chose it as the victim of
// a conflict with another one.

#include <functional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "control/store/postgres/pool.h"
#include "control/store/types.h"

namespace tidegate::store::postgres {

// One write transaction. Statements that go in one flight cost one round trip.
class Tx {
 public:
  explicit Tx(Session& connection) : db(connection) {}

  // BEGIN, the store's time, and these; the results of these.
  Result<std::vector<Rows>> start(std::vector<Query> queries = {});
  // These and COMMIT; the results of these.
  Result<std::vector<Rows>> commit(std::vector<Query> queries = {});
  // These and ROLLBACK, where there is nothing to keep; the results of these.
  Result<std::vector<Rows>> give_up(std::vector<Query> queries = {});
  void note(ChangeKind kind, std::string id) { changes.push_back({kind, std::move(id)}); }

  Session& db;
  Instant now;  // from start() on
  std::vector<Change> changes;
  bool ended = false;

 private:
  Result<std::vector<Rows>> end(const char* how, std::vector<Query> queries);
};

// Thread-safe.
class Database {
 public:
  using Publish = std::function<void(std::span<const Change>)>;
  // REQUIRES: what is referred to outlives this.
  Database(Pool& pool, Rng& rng, Publish publish)
      : pool_(pool), rng_(rng), publish_(std::move(publish)) {}

  // f(Session&) → Result<…>: flights that read, or one that writes.
  template <class F>
  std::invoke_result_t<F&, Session&> read(F&& f, Pool::Use use = Pool::Use::Quick) {
    for (bool again = false;; again = true) {
      TG_TRY(const auto lease, pool_.acquire(use));
      auto result = f(*lease);
      if (result || again || !lease->outdated()) return result;
    }
  }
  // f(Tx&) → Result<…>. f calls start(); commit() when it has something to send along. f may run
  // several times; only what it noted in the run that was committed is published.
  template <class F>
  std::invoke_result_t<F&, Tx&> write(F&& f) {
    for (int attempt = 1;; ++attempt) {
      TG_TRY(const auto lease, pool_.acquire(Pool::Use::Quick));
      Tx tx(*lease);
      auto result = f(tx);
      if (result && !tx.ended) {
        if (auto committed = tx.commit(); !committed) result = fail(std::move(committed.error()));
      }
      if (result) {
        publish_(tx.changes);
        return result;
      }
      if (!undo(tx) || attempt == kTries) return result;
      pause(attempt);
    }
  }
  // The same for f that needs no more than one statement after the other.
  template <class F>
  std::invoke_result_t<F&, Tx&> write_simply(F&& f) {
    return write([&](Tx& tx) -> std::invoke_result_t<F&, Tx&> {
      TG_TRY(const auto begun, tx.start());
      return f(tx);
    });
  }

 private:
  static constexpr int kTries = 6;
  // Rolls back; true: it may succeed when it is repeated.
  static bool undo(Tx& tx);
  void pause(int attempt);

  Pool& pool_;
  Rng& rng_;
  Publish publish_;
};

}  // namespace tidegate::store::postgres

#pragma once
// The one writing connection of a process, on its own thread, with group commit: all operations
// that wait share one transaction, each in its own savepoint, and are answered after the commit.

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/time.h"
#include "control/store/change_hub.h"
#include "control/store/sqlite/db.h"
#include "control/store/sqlite/file_guard.h"
#include "control/store/sqlite/lock_holder.h"

namespace tidegate::store::sqlite {

inline constexpr std::size_t kChangeKinds = 5;  // of ChangeKind, in its order
using Counters = std::array<std::int64_t, kChangeKinds>;

// What an operation gets. It must not end the transaction.
struct Tx {
  Db& db;
  Instant now;
  BootInstant boot_now;
  std::vector<Change> changes;  // published after the commit

  void note(ChangeKind kind, std::string id) { changes.push_back({kind, std::move(id)}); }
};

// Thread-safe.
class Writer {
 public:
  // REQUIRES: clock, guard and hub outlive this.
  Writer(Db db, const Clock& clock, LockPatience patience, ProcessIdentity self, FileGuard& guard,
         ChangeHub& hub);
  // Finishes what is queued.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Runs body(Tx&) -> Result<T> and answers after the commit. An error of the body undoes what it
  // wrote and nothing else. REQUIRES: not called from a body or a change handler.
  template <class F>
  auto run(F&& body) -> std::invoke_result_t<F&, Tx&> {
    OpOf<F> op(body);
    execute(op);
    return std::move(*op.result);
  }

  // Why the last write failed; a write that was tried and succeeded clears it. When the last one
  // failed, tries one: nobody else may be writing.
  Status probe();

  // Calls look(own) while this process commits nothing: how often it has raised each counter of
  // change_counters and, for runs, which have none, how often it has committed. What `look` reads
  // of the file beyond that was written by others.
  template <class F>
  auto between_commits(F look) const {
    const std::scoped_lock lock(commit_mutex_);
    return look(own_);
  }

 private:
  class Op {
   public:
    virtual ~Op() = default;
    virtual bool apply(Tx& tx) = 0;
    virtual void fail_with(const Error& error) = 0;
    virtual const Error* error() const = 0;  // none: it succeeded
    bool done = false;                       // guarded by the writer's mutex
  };
  template <class F>
  class OpOf final : public Op {
   public:
    explicit OpOf(F& body) : body_(body) {}
    bool apply(Tx& tx) override {
      result.emplace(body_(tx));
      return result->has_value();
    }
    void fail_with(const Error& error) override { result.emplace(std::unexpected(error)); }
    const Error* error() const override { return *result ? nullptr : &result->error(); }
    std::optional<std::invoke_result_t<F&, Tx&>> result;

   private:
    F& body_;
  };

  void execute(Op& op);
  void loop();
  void transact(const std::vector<Op*>& batch);
  Status apply_all(const std::vector<Op*>& batch, Tx& tx);
  Status begin();
  Status commit(const Counters& bumped);
  void remember(const Status& status);
  Status bump(const std::vector<Change>& changes, Counters& bumped);
  void register_self();  // again at the next commit, until it succeeds
  void forget_self();

  Db db_;
  const Clock& clock_;
  LockPatience patience_;
  ProcessIdentity self_;
  bool registered_ = false;
  FileGuard& guard_;
  ChangeHub& hub_;

  mutable std::mutex mutex_;
  std::condition_variable queued_, answered_;
  std::vector<Op*> queue_;
  bool failing_ = false;  // guarded by mutex_: the last write
  std::atomic<bool> stopping_ = false;
  mutable std::mutex commit_mutex_;
  Counters own_{};                 // guarded by commit_mutex_
  std::int64_t changes_seen_ = 0;  // rows changed up to the last commit
  std::thread thread_;
};

}  // namespace tidegate::store::sqlite

#include "control/store/sqlite/writer.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace tidegate::store::sqlite {
namespace {

constexpr int kBusySliceMs = 100;       // between two looks at who holds the lock
constexpr std::size_t kMaxBatch = 256;  // so that one answer never waits for thousands

}  // namespace

Writer::Writer(Db db, const Clock& clock, LockPatience patience, ProcessIdentity self,
               FileGuard& guard, ChangeHub& hub)
    : db_(std::move(db)),
      clock_(clock),
      patience_(std::move(patience)),
      self_(std::move(self)),
      guard_(guard),
      hub_(hub),
      thread_([this] { loop(); }) {}

Writer::~Writer() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    queued_.notify_one();
  }
  thread_.join();
}

void Writer::execute(Op& op) {
  std::unique_lock lock(mutex_);
  queue_.push_back(&op);
  queued_.notify_one();
  answered_.wait(lock, [&] { return op.done; });
}

void Writer::loop() {
  sqlite3_busy_timeout(db_.raw(), kBusySliceMs);
  register_self();
  std::vector<Op*> batch;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      queued_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) break;
      const auto n = static_cast<std::ptrdiff_t>(std::min(queue_.size(), kMaxBatch));
      batch.assign(queue_.begin(), queue_.begin() + n);
      queue_.erase(queue_.begin(), queue_.begin() + n);
    }
    if (!registered_) register_self();
    transact(batch);
    const std::scoped_lock lock(mutex_);
    for (Op* op : batch) op->done = true;
    answered_.notify_all();
  }
  forget_self();
}

Status Writer::begin() {
  TG_CHECK(guard_.check());
  for (;;) {
    auto begun = db_.run("BEGIN IMMEDIATE");
    if (begun) {
      patience_.granted();
      return {};
    }
    if (begun.error().reason != "store_locked") return fail(begun.error());
    if (stopping_) return fail(begun.error());
    TG_CHECK(patience_.refused(db_));
  }
}

Status Writer::apply_all(const std::vector<Op*>& batch, Tx& tx) {
  for (Op* op : batch) {
    TG_CHECK(db_.run("SAVEPOINT op"));
    const std::size_t noted = tx.changes.size();
    const bool ok = op->apply(tx);
    // A full disk or an I/O error ends the whole transaction, whatever the savepoint: all share it.
    if (!db_.in_transaction()) {
      if (const Error* error = op->error(); error != nullptr) return fail(*error);
      return fail(Code::Internal, fmt::format("a write to {} lost its transaction", db_.path()));
    }
    if (!ok) {
      tx.changes.resize(noted);
      if (const Error* error = op->error(); error != nullptr) remember(fail(*error));
      TG_CHECK(db_.run("ROLLBACK TO op"));
    }
    TG_CHECK(db_.run("RELEASE op"));
  }
  return {};
}

Status Writer::bump(const std::vector<Change>& changes, Counters& bumped) {
  bool any = false;
  for (const Change& c : changes) {
    if (c.kind == ChangeKind::Run) continue;
    bumped[static_cast<std::size_t>(c.kind)] = 1;
    any = true;
  }
  if (!any) return {};
  const auto of = [&](ChangeKind kind) { return bumped[static_cast<std::size_t>(kind)]; };
  return db_.exec(
      "UPDATE change_counters SET job = job + ?, connection = connection + ?, "
      "workspace = workspace + ?, token = token + ? WHERE id = 1",
      of(ChangeKind::Job), of(ChangeKind::Connection), of(ChangeKind::Workspace),
      of(ChangeKind::Token));
}

Status Writer::commit(const Counters& bumped) {
  const std::scoped_lock lock(commit_mutex_);
  TG_CHECK(db_.run("COMMIT"));
  for (std::size_t i = 0; i < kChangeKinds; ++i) own_[i] += bumped[i];
  // A transaction that wrote nothing is no commit of the file.
  const std::int64_t changes = db_.total_changes();
  if (changes == std::exchange(changes_seen_, changes)) return {};
  ++own_[static_cast<std::size_t>(ChangeKind::Run)];
  // What went into a file that has left its place meanwhile must not be acknowledged.
  TG_CHECK(guard_.check());
  remember({});
  return {};
}

// Errors of the file, not those that an operation answers with.
void Writer::remember(const Status& status) {
  if (!status && !status.error().reason.starts_with("store_")) return;
  const std::scoped_lock lock(mutex_);
  failing_ = !status;
}

Status Writer::probe() {
  {
    const std::scoped_lock lock(mutex_);
    if (!failing_) return {};
  }
  return run([this](Tx& tx) { return register_process(tx.db, self_, tx.now); });
}

void Writer::transact(const std::vector<Op*>& batch) {
  if (auto begun = begin(); !begun) {
    remember(begun);
    for (Op* op : batch) op->fail_with(begun.error());
    return;
  }
  Tx tx{db_, clock_.now(), clock_.boot_now(), {}};
  Counters bumped{};
  Status status = apply_all(batch, tx);
  if (status) status = bump(tx.changes, bumped);
  if (status) status = commit(bumped);
  if (status) {
    hub_.publish(tx.changes);
    return;
  }
  if (db_.in_transaction()) (void)db_.run("ROLLBACK");
  remember(status);
  // Also those that had failed by themselves: what they saw of the others is void.
  for (Op* op : batch) op->fail_with(status.error());
}

// Before the first operation, and on its own: a process that freezes inside a transaction must have
// been registered by an earlier one.
void Writer::register_self() {
  Status status = begin();
  if (status) status = register_process(db_, self_, clock_.now());
  if (status) status = commit({});
  registered_ = status.has_value();
  if (registered_) return;
  if (db_.in_transaction()) (void)db_.run("ROLLBACK");
  log::warn("this process could not be registered in the store",
            {{"error", std::string_view(status.error().message)}});
}

void Writer::forget_self() {
  Status status = db_.exec("BEGIN IMMEDIATE");
  if (status) status = forget_process(db_, self_);
  if (status) status = commit({});
  // Not worth a word: whoever opens the store next removes rows of processes that are gone.
  if (!status && db_.in_transaction()) (void)db_.run("ROLLBACK");
}

}  // namespace tidegate::store::sqlite

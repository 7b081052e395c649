#pragma once
// A store whose n-th write fails: before it is made, or after it ("committed but reply lost").

#include <memory>
#include <utility>

#include "control/store/store.h"

namespace tidegate::crash {

using namespace store;  // NOLINT: a decorator of that namespace's class

enum class Fault { Before, After };

class FaultyStore final : public Store {
 public:
  // The store behind; before the first use, and after a restart. REQUIRES: it outlives its use.
  void set_inner(Store& inner) { inner_ = &inner; }
  // The n-th write from now on, counted from 1; 0: none.
  void fail_write(std::int64_t n, Fault fault) {
    writes_ = 0;
    at_ = n;
    fault_ = fault;
  }
  std::int64_t writes() const { return writes_; }

  Capabilities capabilities() const override { return inner_->capabilities(); }
  Result<Instant> now() override { return inner_->now(); }
  Status ping() override { return inner_->ping(); }
  Result<std::optional<std::string>> find_replay(const Idempotency& o) override {
    return inner_->find_replay(o);
  }
  std::unique_ptr<Subscription> watch(ChangeHandler h) override {
    return inner_->watch(std::move(h));
  }

  Result<Created<JobId>> create_job(const model::SyncJob& j,
                                    const std::optional<Idempotency>& o) override {
    return write([&] { return inner_->create_job(j, o); });
  }
  Result<model::SyncJob> get_job(const WorkspaceId& w, const JobId& i) override {
    return inner_->get_job(w, i);
  }
  Result<Listing<model::SyncJob>> list_jobs(const JobQuery& q) override {
    return inner_->list_jobs(q);
  }
  Result<model::SyncJob> update_job(const UpdateJob& u) override {
    return write([&] { return inner_->update_job(u); });
  }
  Result<model::SyncJob> set_pause(const WorkspaceId& w, const JobId& i, IfRevision r,
                                   const std::optional<model::Pause>& p,
                                   const std::optional<Idempotency>& o) override {
    return write([&] { return inner_->set_pause(w, i, r, p, o); });
  }
  Result<model::SyncJob> reset_job(const WorkspaceId& w, const JobId& i, IfRevision r,
                                   const std::optional<Idempotency>& o) override {
    return write([&] { return inner_->reset_job(w, i, r, o); });
  }
  Status delete_job(const WorkspaceId& w, const JobId& i, IfRevision r) override {
    return write([&] { return inner_->delete_job(w, i, r); });
  }

  Result<std::optional<LeaderLease>> acquire_leader(const OwnerId& o, Millis t) override {
    return write([&] { return inner_->acquire_leader(o, t); });
  }
  Status renew_leader(const LeaderLease& l) override {
    return write([&] { return inner_->renew_leader(l); });
  }
  Status release_leader(const LeaderLease& l) override {
    return write([&] { return inner_->release_leader(l); });
  }
  Result<Due> due_jobs(Instant n, std::size_t l) override { return inner_->due_jobs(n, l); }
  Result<std::vector<PlanResult>> apply_plan(const LeaderLease& l,
                                             std::span<const PlanStep> s) override {
    return write([&] { return inner_->apply_plan(l, s); });
  }
  Result<Claim> claim_runs(const ClaimParams& p) override {
    return write([&] { return inner_->claim_runs(p); });
  }
  Result<std::vector<RenewOutcome>> renew_runs(const OwnerId& o, Millis t,
                                               std::span<const Renewal> r) override {
    return write([&] { return inner_->renew_runs(o, t, r); });
  }
  Result<std::vector<Status>> finish_attempts(std::span<const AttemptEnd> e) override {
    return write([&] { return inner_->finish_attempts(e); });
  }
  Result<std::vector<ClaimedRun>> expired_runs(std::size_t l) override {
    return inner_->expired_runs(l);
  }
  Result<std::size_t> release_orphans(const LeaderLease& l,
                                      std::span<const OrphanDecision> d) override {
    return write([&] { return inner_->release_orphans(l, d); });
  }
  Result<Created<RunId>> trigger_run(const TriggerRun& t) override {
    return write([&] { return inner_->trigger_run(t); });
  }
  Result<model::Run> request_cancel(const WorkspaceId& w, const RunId& r,
                                    const std::optional<Idempotency>& o) override {
    return write([&] { return inner_->request_cancel(w, r, o); });
  }

  Result<model::Run> get_run(const WorkspaceId& w, const RunId& i) override {
    return inner_->get_run(w, i);
  }
  Result<Listing<model::Run>> list_runs(const RunQuery& q) override { return inner_->list_runs(q); }
  Result<Listing<model::LedgerEntry>> list_slots(const LedgerQuery& q) override {
    return inner_->list_slots(q);
  }
  Status append_log(const HeldRun& h, std::span<const model::RunLogLine> l,
                    std::size_t m) override {
    return write([&] { return inner_->append_log(h, l, m); });
  }
  Result<std::vector<model::RunLogLine>> read_log(const RunId& r, std::int64_t a,
                                                  std::size_t l) override {
    return inner_->read_log(r, a, l);
  }
  Result<std::size_t> prune(const Retention& r, Instant n) override {
    return write([&] { return inner_->prune(r, n); });
  }

  Result<Created<ConnectionId>> create_connection(const model::Connection& c,
                                                  const std::optional<Idempotency>& o) override {
    return write([&] { return inner_->create_connection(c, o); });
  }
  Result<model::Connection> get_connection(const WorkspaceId& w, model::ConnectionKind k,
                                           const ConnectionId& i) override {
    return inner_->get_connection(w, k, i);
  }
  Result<Listing<model::Connection>> list_connections(const ConnectionQuery& q) override {
    return inner_->list_connections(q);
  }
  Result<model::Connection> update_connection(const model::Connection& c, IfRevision r) override {
    return write([&] { return inner_->update_connection(c, r); });
  }
  Status delete_connection(const WorkspaceId& w, model::ConnectionKind k, const ConnectionId& i,
                           IfRevision r) override {
    return write([&] { return inner_->delete_connection(w, k, i, r); });
  }
  Result<Created<WorkspaceId>> create_workspace(const model::Workspace& w,
                                                const std::optional<Idempotency>& o) override {
    return write([&] { return inner_->create_workspace(w, o); });
  }
  Result<model::Workspace> find_workspace(const std::string& i) override {
    return inner_->find_workspace(i);
  }
  Result<std::vector<model::Workspace>> list_workspaces() override {
    return inner_->list_workspaces();
  }
  Status delete_workspace(const WorkspaceId& i, IfRevision r) override {
    return write([&] { return inner_->delete_workspace(i, r); });
  }
  Status create_token(const model::Token& t) override {
    return write([&] { return inner_->create_token(t); });
  }
  Result<std::optional<model::Token>> find_token(const std::string& h) override {
    return inner_->find_token(h);
  }
  Result<std::vector<model::Token>> list_tokens() override { return inner_->list_tokens(); }
  Status delete_token(const TokenId& i) override {
    return write([&] { return inner_->delete_token(i); });
  }
  Status heartbeat(const model::WorkerInfo& w) override {
    return write([&] { return inner_->heartbeat(w); });
  }
  Status forget_worker(const OwnerId& i) override {
    return write([&] { return inner_->forget_worker(i); });
  }
  Result<std::vector<model::WorkerInfo>> list_workers(Millis m) override {
    return inner_->list_workers(m);
  }
  Result<std::optional<std::string>> find_setting(const std::string& n) override {
    return inner_->find_setting(n);
  }
  Result<std::string> keep_setting(const std::string& n, const std::string& v) override {
    return write([&] { return inner_->keep_setting(n, v); });
  }
  Status replace_setting(const std::string& n, const std::string& f,
                         const std::string& t) override {
    return write([&] { return inner_->replace_setting(n, f, t); });
  }

  Result<std::unique_ptr<ArchiveReader>> read_archive() override { return inner_->read_archive(); }
  Result<Instant> begin_restore(const std::string& a) override {
    return write([&] { return inner_->begin_restore(a); });
  }
  Status check_whole() override { return inner_->check_whole(); }
  Status load_archive(std::span<const ArchiveRecord> r) override {
    return write([&] { return inner_->load_archive(r); });
  }
  Status end_restore(const std::string& a) override {
    return write([&] { return inner_->end_restore(a); });
  }

 private:
  template <class F>
  auto write(F f) -> decltype(f()) {
    const bool now = ++writes_ == at_;
    if (now && fault_ == Fault::Before)
      return fail(Code::Unavailable, "injected: before the write");
    auto result = f();
    if (now) return fail(Code::Unavailable, "injected: the reply was lost");
    return result;
  }

  Store* inner_ = nullptr;
  std::int64_t writes_ = 0, at_ = 0;
  Fault fault_ = Fault::Before;
};

}  // namespace tidegate::crash

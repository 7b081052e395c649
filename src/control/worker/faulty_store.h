#pragma once
// Test only: a Store before which every call passes a gate that may fail it before its effect,
// after it (committed, but the answer was lost) or while it is still on its way, and may let time
// pass before and after it.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "control/store/store.h"

namespace tidegate::worker::testing {

// Late: the sender gives up, and the request reaches the store after that. Broken: an error that
// waiting does not mend, without an effect.
enum class Fault : std::uint8_t { None, Before, After, Late, Broken };

class FaultyStore : public store::Store {
 public:
  // Before a request is made.
  using Gate = std::function<Fault(std::string_view method)>;
  // Between the effect and its answer; false: the answer is lost.
  using Answer = std::function<bool(std::string_view method)>;
  // Fault::Late: calls the effect some time later, or never.
  using Later = std::function<void(std::function<void()> effect)>;
  // A change on its way to a handler.
  using Feed = std::function<void(const store::Change&, const store::ChangeHandler&)>;

  explicit FaultyStore(std::shared_ptr<store::Store> inner) : inner_(std::move(inner)) {}
  void set_gate(Gate gate) { gate_ = std::move(gate); }
  void set_answer(Answer answer) { answer_ = std::move(answer); }
  void set_later(Later later) { later_ = std::move(later); }
  void set_feed(Feed feed) { feed_ = std::move(feed); }
  store::Store& inner() { return *inner_; }

  store::Capabilities capabilities() const override { return inner_->capabilities(); }
  std::unique_ptr<store::Subscription> watch(store::ChangeHandler handler) override {
    if (!feed_) return inner_->watch(std::move(handler));
    return inner_->watch([this, handler = std::move(handler)](const store::Change& change) {
      feed_(change, handler);
    });
  }

#define TG_FORWARD(type, name, params, ...)                                   \
  type name params override {                                                 \
    return call<type>(#name, &store::Store::name __VA_OPT__(, ) __VA_ARGS__); \
  }
  using Ws = WorkspaceId;
  using Once = std::optional<store::Idempotency>;
  using If = store::IfRevision;
  using Kind = model::ConnectionKind;
  template <class T>
  using List = Result<std::vector<T>>;
  TG_FORWARD(Result<Instant>, now, ())
  TG_FORWARD(Status, ping, ())
  TG_FORWARD(Result<std::optional<std::string>>, find_replay, (const store::Idempotency& o), o)
  // jobs
  TG_FORWARD(Result<store::Created<JobId>>, create_job, (const model::SyncJob& j, const Once& o), j,
             o)
  TG_FORWARD(Result<model::SyncJob>, get_job, (const Ws& w, const JobId& i), w, i)
  TG_FORWARD(Result<store::Listing<model::SyncJob>>, list_jobs, (const store::JobQuery& q), q)
  TG_FORWARD(Result<model::SyncJob>, update_job, (const UpdateJob& u), u)
  TG_FORWARD(Result<model::SyncJob>, set_pause,
             (const Ws& w, const JobId& i, If r, const std::optional<model::Pause>& p,
              const Once& o),
             w, i, r, p, o)
  TG_FORWARD(Result<model::SyncJob>, reset_job, (const Ws& w, const JobId& i, If r, const Once& o),
             w, i, r, o)
  TG_FORWARD(Status, delete_job, (const Ws& w, const JobId& i, If r), w, i, r)
  // queue
  TG_FORWARD(Result<std::optional<store::LeaderLease>>, acquire_leader,
             (const OwnerId& o, Millis t), o, t)
  TG_FORWARD(Status, renew_leader, (const store::LeaderLease& l), l)
  TG_FORWARD(Status, release_leader, (const store::LeaderLease& l), l)
  TG_FORWARD(Result<Due>, due_jobs, (Instant n, std::size_t l), n, l)
  TG_FORWARD(List<store::PlanResult>, apply_plan,
             (const store::LeaderLease& l, std::span<const store::PlanStep> s), l, s)
  TG_FORWARD(Result<Claim>, claim_runs, (const store::ClaimParams& p), p)
  TG_FORWARD(List<store::RenewOutcome>, renew_runs,
             (const OwnerId& o, Millis t, std::span<const store::Renewal> r), o, t, r)
  TG_FORWARD(List<Status>, finish_attempts, (std::span<const store::AttemptEnd> e), e)
  TG_FORWARD(List<store::ClaimedRun>, expired_runs, (std::size_t l), l)
  TG_FORWARD(Result<std::size_t>, release_orphans,
             (const store::LeaderLease& l, std::span<const store::OrphanDecision> d), l, d)
  TG_FORWARD(Result<store::Created<RunId>>, trigger_run, (const store::TriggerRun& t), t)
  TG_FORWARD(Result<model::Run>, request_cancel, (const Ws& w, const RunId& r, const Once& o), w, r,
             o)
  // history
  TG_FORWARD(Result<model::Run>, get_run, (const Ws& w, const RunId& r), w, r)
  TG_FORWARD(Result<store::Listing<model::Run>>, list_runs, (const store::RunQuery& q), q)
  TG_FORWARD(Result<store::Listing<model::LedgerEntry>>, list_slots, (const store::LedgerQuery& q),
             q)
  TG_FORWARD(Status, append_log,
             (const store::HeldRun& h, std::span<const model::RunLogLine> l, std::size_t m), h, l,
             m)
  TG_FORWARD(List<model::RunLogLine>, read_log, (const RunId& r, std::int64_t a, std::size_t l), r,
             a, l)
  TG_FORWARD(Result<std::size_t>, prune, (const store::Retention& r, Instant n), r, n)
  // registry
  TG_FORWARD(Result<store::Created<ConnectionId>>, create_connection,
             (const model::Connection& c, const Once& o), c, o)
  TG_FORWARD(Result<model::Connection>, get_connection,
             (const Ws& w, Kind k, const ConnectionId& i), w, k, i)
  TG_FORWARD(Result<store::Listing<model::Connection>>, list_connections,
             (const store::ConnectionQuery& q), q)
  TG_FORWARD(Result<model::Connection>, update_connection, (const model::Connection& c, If r), c, r)
  TG_FORWARD(Status, delete_connection, (const Ws& w, Kind k, const ConnectionId& i, If r), w, k, i,
             r)
  TG_FORWARD(Result<store::Created<WorkspaceId>>, create_workspace,
             (const model::Workspace& w, const Once& o), w, o)
  TG_FORWARD(Result<model::Workspace>, find_workspace, (const std::string& n), n)
  TG_FORWARD(List<model::Workspace>, list_workspaces, ())
  TG_FORWARD(Status, delete_workspace, (const Ws& w, If r), w, r)
  TG_FORWARD(Status, create_token, (const model::Token& t), t)
  TG_FORWARD(Result<std::optional<model::Token>>, find_token, (const std::string& h), h)
  TG_FORWARD(List<model::Token>, list_tokens, ())
  TG_FORWARD(Status, delete_token, (const TokenId& i), i)
  TG_FORWARD(Status, heartbeat, (const model::WorkerInfo& w), w)
  TG_FORWARD(Status, forget_worker, (const OwnerId& i), i)
  TG_FORWARD(List<model::WorkerInfo>, list_workers, (Millis s), s)
  TG_FORWARD(Result<std::optional<std::string>>, find_setting, (const std::string& n), n)
  TG_FORWARD(Result<std::string>, keep_setting, (const std::string& n, const std::string& v), n, v)
  TG_FORWARD(Status, replace_setting,
             (const std::string& n, const std::string& f, const std::string& t), n, f, t)
  // archive
  TG_FORWARD(Result<std::unique_ptr<store::ArchiveReader>>, read_archive, ())
  TG_FORWARD(Result<Instant>, begin_restore, (const std::string& a), a)
  TG_FORWARD(Status, check_whole, ())
  TG_FORWARD(Status, load_archive, (std::span<const store::ArchiveRecord> r), r)
  TG_FORWARD(Status, end_restore, (const std::string& a), a)
#undef TG_FORWARD

 private:
  template <class T>
  static std::vector<T> owned(std::span<const T> values) {
    return {values.begin(), values.end()};
  }
  template <class T>
  static T owned(const T& value) {
    return value;
  }

  template <class T, class Method, class... Args>
  T call(std::string_view name, Method method, const Args&... args) {
    const Fault fault = gate_ ? gate_(name) : Fault::None;
    if (fault == Fault::Before) return fail(Code::Unavailable, "the store is away");
    if (fault == Fault::Broken) return fail(Code::Internal, "a row cannot be read");
    if (fault == Fault::Late) {
      later_([inner = inner_, method, kept = std::tuple(owned(args)...)] {
        std::apply([&](const auto&... arg) { (void)((*inner).*method)(arg...); }, kept);
      });
      return fail(Code::Unavailable, "no answer came in time");
    }
    T result = ((*inner_).*method)(args...);
    const bool answered = !answer_ || answer_(name);
    if (fault == Fault::After || !answered) return fail(Code::Unavailable, "the answer was lost");
    return result;
  }

  std::shared_ptr<store::Store> inner_;
  Gate gate_;
  Answer answer_;
  Later later_;
  Feed feed_;
};

}  // namespace tidegate::worker::testing

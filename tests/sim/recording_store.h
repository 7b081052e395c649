#pragma once
// The store behind all faults: sees each request when it takes effect, keeps books of its own, and
// says where an answer breaks a promise.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/worker/faulty_store.h"
#include "tests/sim/report.h"
#include "tests/sim/slot_checker.h"

namespace tidegate::sim {

class RecordingStore final : public worker::testing::FaultyStore {
 public:
  // `passed`: true time. `completed`: whether the destination has the last commit of an attempt.
  RecordingStore(std::shared_ptr<store::Store> inner, Report& report,
                 std::function<Millis()> passed, std::function<bool(const RunId&, Fence)> completed)
      : FaultyStore(std::move(inner)),
        report_(report),
        passed_(std::move(passed)),
        completed_(std::move(completed)) {}

  // When the last lease ends that the store gave to an attempt, or to a leader.
  Millis lease_of(const RunId& run, Fence fence) const;
  Millis lease_of_leader(const OwnerId& owner) const;
  std::vector<Era> eras(const JobId& job) const;
  const std::map<JobId, std::vector<Era>>& all_eras() const { return eras_; }

  Result<store::Created<JobId>> create_job(const model::SyncJob& job, const Once& once) override;
  Result<model::SyncJob> update_job(const UpdateJob& update) override;
  Status delete_job(const Ws& ws, const JobId& id, If revision) override;
  Result<std::optional<store::LeaderLease>> acquire_leader(const OwnerId& owner,
                                                           Millis ttl) override;
  Status renew_leader(const store::LeaderLease& lease) override;
  Status release_leader(const store::LeaderLease& lease) override;
  List<store::PlanResult> apply_plan(const store::LeaderLease& lease,
                                     std::span<const store::PlanStep> steps) override;
  Result<Claim> claim_runs(const store::ClaimParams& params) override;
  List<store::RenewOutcome> renew_runs(const OwnerId& owner, Millis ttl,
                                       std::span<const store::Renewal> renewals) override;
  List<Status> finish_attempts(std::span<const store::AttemptEnd> ends) override;
  Result<std::size_t> release_orphans(const store::LeaderLease& lease,
                                      std::span<const store::OrphanDecision> decisions) override;
  Status append_log(const store::HeldRun& held, std::span<const model::RunLogLine> lines,
                    std::size_t max_bytes) override;

 private:
  struct Held {
    JobId job;
    Fence fence{};
    OwnerId owner;
    std::string key;
    bool allows_overlap = false;
  };
  void violation(const std::string& what);
  void begin(const store::ClaimedRun& claimed, const store::ClaimParams& params);
  bool holds(const RunId& run, Fence fence) const;
  void end(const store::AttemptEnd& end);
  bool leads(const store::LeaderLease& lease) const {
    return lease.owner == leader_ && lease.fence == leader_fence_;
  }

  Report& report_;
  const std::function<Millis()> passed_;
  const std::function<bool(const RunId&, Fence)> completed_;

  OwnerId leader_;
  Fence leader_fence_{};
  Millis leader_until_{0};
  std::map<OwnerId, Millis> leader_leases_;
  std::map<JobId, Fence> fences_;
  std::map<RunId, Held> running_;
  std::map<RunId, std::pair<Fence, std::string>>
      ended_;  // the last attempt that did, and its outcome
  std::map<std::pair<RunId, Fence>, Millis> leases_;
  std::map<JobId, std::vector<Era>> eras_;
};

}  // namespace tidegate::sim

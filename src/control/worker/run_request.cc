#include "control/worker/run_request.h"

#include <utility>

namespace tidegate::worker {

Result<protocol::Request> run_request(const store::ClaimedRun& claimed, BootInstant lease_until,
                                      const EndpointResolver& resolve, const WorkerOptions& options,
                                      Masker& masker) {
  protocol::Request request;
  TG_TRY(request.source, resolve(claimed.source));
  TG_TRY(request.destination, resolve(claimed.destination));
  masker.add(claimed.source.config, request.source->config);
  masker.add(claimed.destination.config, request.destination->config);
  request.kind = protocol::RequestKind::Run;
  request.path_roots = options.path_roots;
  request.forbidden_paths = options.forbidden_paths;

  const model::JobSpec& spec = claimed.job.spec;
  protocol::RunSpec& run = request.run;
  run.job = claimed.job.id.str();
  run.run_id = claimed.run.id;
  run.attempt = claimed.run.attempt;
  run.fence = claimed.run.fence;
  run.mode = spec.mode;
  run.entity_filter = spec.entity_filter;
  run.only_entities = claimed.run.only_entities;
  run.entities = spec.entities;
  run.schema_change = spec.schema_change;
  run.max_rejected = spec.max_rejected;
  run.known_state = claimed.job.known_state;
  run.reset_epoch = claimed.job.reset_epoch;
  run.lease_until = lease_until;
  run.patience = options.patience;
  return request;
}

store::AttemptEnd configuration_failure(const store::HeldRun& held, const Error& error) {
  store::AttemptEnd end;
  end.held = held;
  end.next = model::RunState::Failed;
  end.outcome = model::kRunStateNames[static_cast<std::size_t>(end.next)];
  end.error_kind = model::error_kind::kConfiguration;
  end.error = error.message;
  return end;
}

}  // namespace tidegate::worker

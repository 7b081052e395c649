#include "control/worker/run_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tidegate::worker {
namespace {

using States = std::map<std::string, protocol::KnownState>;

// Those of the entities that are named; a glob may mean any.
States chosen_states(const store::ClaimedRun& claimed) {
  const std::vector<std::string>& names =
      claimed.run.only_entities.empty() ? claimed.spec->entity_filter : claimed.run.only_entities;
  const bool globs =
      claimed.run.only_entities.empty() && std::ranges::any_of(names, [](const std::string& name) {
        return name.find_first_of("*?[") != std::string::npos;
      });
  if (names.empty() || globs) return claimed.known_state;
  States chosen;
  for (const std::string& name : names) {
    const auto at = claimed.known_state.find(name);
    if (at != claimed.known_state.end()) chosen.insert(*at);
  }
  return chosen;
}

// The engine would refuse a longer line with words about JSON.
Status check_size(const protocol::Request& request) {
  std::size_t states = 0;
  for (const auto& [entity, known] : request.run.known_state) {
    states += entity.size() + known.state.size();
  }
  // Quoted they may be several times as long; encoding to measure is for the rare large ones.
  if (states < protocol::kMaxLine / 8) return {};
  const std::size_t bytes = protocol::encode(request).size();
  if (bytes <= protocol::kMaxLine) return {};
  return fail(Code::Invalid,
              fmt::format("what is remembered of the job's {} entities takes {} MiB, and a run can "
                          "be given {}: name fewer entities in entityFilter, or split the job",
                          request.run.known_state.size(), bytes >> 20, protocol::kMaxLine >> 20),
              "states_too_large");
}

}  // namespace

Result<protocol::Request> run_request(const store::ClaimedRun& claimed, BootInstant lease_until,
                                      const EndpointResolver& resolve, const WorkerOptions& options,
                                      secrets::Masker& masker) {
  protocol::Request request;
  TG_TRY(request.source, resolve(*claimed.source));
  TG_TRY(request.destination, resolve(*claimed.destination));
  masker.add(claimed.source->config, request.source->config);
  masker.add(claimed.destination->config, request.destination->config);
  request.kind = protocol::RequestKind::Run;
  request.path_roots = options.path_roots;
  request.forbidden_paths = options.forbidden_paths;

  const model::JobSpec& spec = *claimed.spec;
  protocol::RunSpec& run = request.run;
  run.job = claimed.run.job.str();
  run.run_id = claimed.run.id;
  run.attempt = claimed.run.attempt;
  run.fence = claimed.run.fence;
  run.mode = spec.mode;
  run.entity_filter = spec.entity_filter;
  run.only_entities = claimed.run.only_entities;
  run.take_over = claimed.run.take_over;
  run.entities = spec.entities;
  run.schema_change = spec.schema_change;
  run.max_rejected = spec.max_rejected;
  run.known_state = chosen_states(claimed);
  run.reset_epoch = claimed.reset_epoch;
  run.lease_until = lease_until;
  run.patience = options.patience;
  TG_CHECK(check_size(request));
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

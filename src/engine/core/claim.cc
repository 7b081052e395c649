#include "engine/core/claim.h"

#include <fmt/format.h>

#include <utility>

namespace tidegate::engine {

std::int64_t fence_of(const WritePlan& plan, const std::optional<StoredState>& stored) {
  if (value(plan.fence) != 0) return value(plan.fence);
  return (stored ? stored->fence : 0) + 1;
}

WriterState writer_state(const Claim& claim, std::string destination_id,
                         const std::optional<StoredState>& stored) {
  WriterState state;
  state.table = claim.table;
  state.destination_id = std::move(destination_id);
  if (!stored) return state;
  state.fence = Fence(stored->fence);
  state.epoch = stored->epoch;
  state.sequence = stored->sequence;
  state.state = stored->state;
  return state;
}

Error fenced(const Claim& claim) {
  return {Code::Fenced,
          fmt::format("entity \"{}\": a newer attempt writes it; this one wrote nothing more",
                      claim.entity),
          {},
          {}};
}

Error table_owned(const Claim& claim, std::string_view job, std::string_view entity) {
  return {Code::Conflict,
          fmt::format("the table \"{}\" belongs to the job '{}' (entity \"{}\"); write to another "
                      "destination, or take the table over (--take-over of `tidegate sync` or "
                      "`tidegate jobs run`), which ends that job's use of it and replaces "
                      "its rows, except in append modes",
                      claim.table, job, entity),
          "table_owned",
          {}};
}

Error table_foreign(const Claim& claim) {
  return {Code::Conflict,
          fmt::format(
              "the table \"{}\" holds rows that Tidegate did not write; it is not touched. "
              "Rename it, write to another destination, or take it over (--take-over of "
              "`tidegate sync` or `tidegate jobs run`), which replaces its rows, except in append "
              "modes",
              claim.table),
          "table_foreign",
          {}};
}

}  // namespace tidegate::engine

#pragma once
// The due times of a job: pure, independent of the process's time zone.

#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/time.h"
#include "control/cron/cron.h"
#include "control/model/job.h"
#include "control/model/schedule.h"

namespace tidegate::plan {

// A compiled schedule. Thread-safe when const.
class SlotSequence {
 public:
  // Invalid: a cron expression or time zone that cannot be read (details name the field).
  static Result<SlotSequence> compile(const model::Schedule& schedule, const JobId& job);

  // The first slot strictly after `after`; none: nothing more will come due.
  std::optional<Instant> next(Instant after) const;

 private:
  struct Cron {
    cron::Expression expression;
    cron::TimeZone zone;
    cron::DstPolicy dst;
  };
  using Compiled = std::variant<std::monostate, Cron, model::EverySchedule, model::AtSchedule>;
  explicit SlotSequence(Compiled compiled) : compiled_(std::move(compiled)) {}
  Compiled compiled_;
};

// What SyncJob::next_slot of a new job is.
Result<std::optional<Instant>> first_slot(const model::Schedule& schedule, const JobId& job,
                                          Instant after);

// The next `n` slots that will run, from the job's next_slot on (or after `now`, when that is
// later), for people: none of a disabled job or within a pause.
Result<std::vector<Instant>> next_slots(const model::SyncJob& job, Instant now, std::size_t n);

// How much later than its slot a run may start: a stable hash of (job, slot) in [0, jitter), and
// always before the next slot.
Millis jitter_of(const model::SyncJob& job, Instant slot, std::optional<Instant> next);

}  // namespace tidegate::plan

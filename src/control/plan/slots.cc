#include "control/plan/slots.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"

namespace tidegate::plan {
namespace {

// FNV-1a with a final mix: the same on every machine and in every release, because a job's starts
// must not move when the server is upgraded.
std::uint64_t stable_hash(std::string_view text, std::int64_t number) {
  std::uint64_t hash = fnv1a(number, fnv1a(text));
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccd;
  return hash ^ (hash >> 33);
}

std::optional<Instant> next_every(const model::EverySchedule& schedule, Instant after) {
  const std::int64_t every = schedule.every.count();
  if (every <= 0) return std::nullopt;
  const std::int64_t anchor = to_ms(schedule.anchor.value_or(Instant{}));
  const std::int64_t since = to_ms(after) - anchor;
  if (since < 0) return from_ms(anchor);
  return from_ms(anchor + (since / every + 1) * every);
}

}  // namespace

Result<SlotSequence> SlotSequence::compile(const model::Schedule& schedule, const JobId& job) {
  if (const auto* c = std::get_if<model::CronSchedule>(&schedule)) {
    TG_TRY(auto expression, cron::Expression::parse(c->expression, cron::hash_seed(job.str())));
    TG_TRY(auto zone, cron::TimeZone::load(c->timezone));
    return SlotSequence(Cron{std::move(expression), std::move(zone), c->dst});
  }
  if (const auto* every = std::get_if<model::EverySchedule>(&schedule)) return SlotSequence(*every);
  if (const auto* at = std::get_if<model::AtSchedule>(&schedule)) return SlotSequence(*at);
  return SlotSequence(std::monostate{});
}

std::optional<Instant> SlotSequence::next(Instant after) const {
  if (const auto* c = std::get_if<Cron>(&compiled_)) {
    return c->expression.next(after, c->zone, c->dst);
  }
  if (const auto* every = std::get_if<model::EverySchedule>(&compiled_)) {
    return next_every(*every, after);
  }
  if (const auto* at = std::get_if<model::AtSchedule>(&compiled_)) {
    return at->at > after ? std::optional(at->at) : std::nullopt;
  }
  return std::nullopt;
}

Result<std::optional<Instant>> first_slot(const model::Schedule& schedule, const JobId& job,
                                          Instant after) {
  TG_TRY(const SlotSequence slots, SlotSequence::compile(schedule, job));
  return slots.next(after);
}

Result<std::vector<Instant>> next_slots(const model::SyncJob& job, Instant now, std::size_t n) {
  std::vector<Instant> result;
  const bool paused = job.pause && job.pause->holds(now);
  if (!job.spec.enabled || (paused && !job.pause->until)) return result;
  TG_TRY(const SlotSequence slots, SlotSequence::compile(job.spec.schedule, job.id));
  const Instant after = paused ? std::max(now, *job.pause->until - Millis(1)) : now;
  std::optional<Instant> slot =
      job.next_slot && *job.next_slot > after ? job.next_slot : slots.next(after);
  for (; slot && result.size() < n; slot = slots.next(*slot)) result.push_back(*slot);
  return result;
}

Millis jitter_of(const model::SyncJob& job, Instant slot, std::optional<Instant> next) {
  Millis range = job.spec.jitter;
  if (next) range = std::min(range, *next - slot);
  if (range <= Millis(0)) return Millis(0);
  const std::uint64_t hash = stable_hash(job.id.str(), to_ms(slot));
  return Millis(static_cast<std::int64_t>(hash % static_cast<std::uint64_t>(range.count())));
}

}  // namespace tidegate::plan

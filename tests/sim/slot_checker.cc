#include "tests/sim/slot_checker.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "control/plan/slots.h"

namespace tidegate::sim {
namespace {

using Slots = std::set<Instant>;

Result<Slots> due_slots(const JobId& job, std::span<const Era> eras) {
  Slots slots;
  for (const Era& era : eras) {
    TG_TRY(const auto sequence, plan::SlotSequence::compile(era.schedule, job));
    for (auto s = sequence.next(era.after); s && *s <= era.until; s = sequence.next(*s)) {
      slots.insert(*s);
    }
  }
  return slots;
}

std::string name(const model::LedgerEntry& entry) {
  std::string text = fmt::format("{} ({})", entry.outcome, entry.reason);
  if (!entry.run.empty()) text = fmt::format("run {} {}", entry.run.str(), text);
  if (entry.count == 1) return fmt::format("{} for {}", text, format_utc(entry.first));
  return fmt::format("{} for {} slots from {} to {}", text, entry.count, format_utc(entry.first),
                     format_utc(entry.last));
}

}  // namespace

Result<std::vector<std::string>> check_slots(const JobId& job, std::span<const Era> eras,
                                             std::span<const model::LedgerEntry> ledger) {
  TG_TRY(const Slots due, due_slots(job, eras));
  std::vector<std::string> problems;
  std::map<Instant, const model::LedgerEntry*> outcome;
  std::set<RunId> runs;
  for (const model::LedgerEntry& entry : ledger) {
    if (!entry.run.empty() && !runs.insert(entry.run).second) {
      problems.push_back(
          fmt::format("{}: this run is the outcome of another slot too", name(entry)));
    }
    if (!due.contains(entry.first) || !due.contains(entry.last)) {
      problems.push_back(fmt::format("{}: no such time was due", name(entry)));
      continue;
    }
    std::int64_t covered = 0;
    for (auto s = due.lower_bound(entry.first); s != due.end() && *s <= entry.last; ++s) {
      ++covered;
      const auto [at, first] = outcome.emplace(*s, &entry);
      if (first) continue;
      problems.push_back(fmt::format("{} has two outcomes: {} and {}", format_utc(*s),
                                     name(*at->second), name(entry)));
    }
    if (covered != entry.count) {
      problems.push_back(fmt::format("{}: {} slots were due in that time", name(entry), covered));
    }
  }
  for (const Instant slot : due) {
    if (!outcome.contains(slot)) problems.push_back(format_utc(slot) + " has no outcome");
  }
  for (std::string& problem : problems) problem = "job " + job.str() + ": " + problem;
  return problems;
}

}  // namespace tidegate::sim

#include "control/api/run_story.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

namespace tidegate::api {
namespace {

using model::Run;
using model::RunLogLine;
using protocol::EntityOutcome;
using protocol::EntityResult;

std::string_view state_name(model::RunState state) {
  return model::kRunStateNames[static_cast<std::size_t>(state)];
}

std::string cause(const Run& run) {
  switch (run.trigger) {
    case model::Trigger::Manual:
      return run.triggered_by.empty() ? "by hand" : "by " + run.triggered_by;
    case model::Trigger::Retry:
      return run.triggered_by.empty() ? "as a retry" : "as a retry, by " + run.triggered_by;
    case model::Trigger::Catchup:
    case model::Trigger::Schedule:
      break;
  }
  return run.scheduled_for ? "for the scheduled time " + format_utc(*run.scheduled_for)
                           : "by its schedule";
}

std::string counts(const EntityResult& e) {
  std::string text = fmt::format("{}: {} rows read, {} written",
                                 protocol::kEntityOutcomeNames[static_cast<std::size_t>(e.outcome)],
                                 e.rows_read, e.rows_written);
  const auto add = [&](std::int64_t n, std::string_view what) {
    if (n > 0) text += fmt::format(", {} {}", n, what);
  };
  add(e.rows_updated, "of them updated");
  add(e.rows_deleted, "deleted");
  add(e.rows_rejected, "rejected");
  add(e.rows_deduplicated, "read again and left out");
  add(e.rows_superseded, "left out for another row of their key");
  if (!e.destination_table.empty()) text += fmt::format(", into {}", e.destination_table);
  text += fmt::format(", in {}", format_duration(e.duration));
  if (e.error) text += ": " + *e.error;
  return text;
}

LogLevel level_of(const EntityResult& e) {
  if (e.outcome == EntityOutcome::Failed) return LogLevel::Error;
  return e.rows_rejected > 0 || e.outcome == EntityOutcome::Cancelled ? LogLevel::Warn
                                                                      : LogLevel::Info;
}

std::string ending(const Run& run) {
  std::string text(state_name(run.state));
  std::int64_t rows = 0;
  for (const EntityResult& e : run.entities) rows += e.rows_written;
  if (run.started_at) {
    text += fmt::format(" after {}: {} rows written", format_duration(model::run_time(run)), rows);
    if (run.attempt > 1) text += fmt::format(", {} attempts", run.attempt);
  } else {
    text += " before it started";
  }
  if (!run.error.empty()) text += ": " + run.error;
  return text;
}

}  // namespace

std::vector<RunLogLine> opening_lines(const Run& run) {
  if (!run.started_at) return {};
  std::string where;
  if (!run.attempts.empty()) where = " on worker " + run.attempts.front().owner.str();
  return {{.seq = kOpeningSeq,
           .at = *run.started_at,
           .attempt = 1,
           .level = LogLevel::Info,
           .entity = {},
           .message = fmt::format("started {}{}", cause(run), where)}};
}

std::vector<RunLogLine> closing_lines(const Run& run) {
  std::vector<RunLogLine> lines;
  if (!model::is_terminal(run.state) || !run.finished_at) return lines;
  const auto add = [&](LogLevel level, std::string entity, std::string message) {
    lines.push_back({.seq = kClosingSeq + static_cast<std::int64_t>(lines.size()),
                     .at = *run.finished_at,
                     .attempt = std::max(1, run.attempt),
                     .level = level,
                     .entity = std::move(entity),
                     .message = std::move(message)});
  };
  for (const EntityResult& e : run.entities) {
    add(level_of(e), e.entity, counts(e));
    for (const std::string& warning : e.warnings) add(LogLevel::Warn, e.entity, warning);
  }
  const bool well = run.state == model::RunState::Succeeded;
  const bool failed =
      run.state == model::RunState::Failed || run.state == model::RunState::TimedOut;
  add(well ? LogLevel::Info : failed ? LogLevel::Error : LogLevel::Warn, {}, ending(run));
  return lines;
}

}  // namespace tidegate::api

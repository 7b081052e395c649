#include "control/model/run_json.h"

#include "control/model/text_field.h"

namespace tidegate::model {
namespace {

using boost::json::object;
using boost::json::value;

constexpr std::string_view kLevelNames[] = {"debug", "info", "warn", "error"};

object to_json(const Attempt& a) {
  const auto took = run_time(a);
  return {{"number", a.number},
          {"worker", a.owner.str()},
          {"startedAt", format_utc(a.started_at)},
          {"finishedAt", time_or_null(a.finished_at)},
          {"durationMs", took ? value(took->count()) : nullptr},
          {"outcome", text_or_null(a.outcome)},
          {"errorKind", text_or_null(a.error_kind)},
          {"error", text_or_null(a.error)}};
}

object to_json(const EntityProgress& p) {
  return {{"rowsRead", p.rows_read},
          {"rowsWritten", p.rows_written},
          {"bytes", p.bytes},
          {"totalRows", p.total_rows ? value(*p.total_rows) : nullptr}};
}

}  // namespace

object to_json(const Run& run) {
  object o;
  o.reserve(32);
  o["id"] = run.id.str();
  o["jobId"] = run.job.str();
  o["jobRevision"] = run.job_revision;
  o["scheduledFor"] = time_or_null(run.scheduled_for);
  o["trigger"] = enum_name(run.trigger, kTriggerNames);
  o["triggeredBy"] = text_or_null(run.triggered_by);
  o["state"] = enum_name(run.state, kRunStateNames);
  o["attempt"] = run.attempt;
  o["retriesUsed"] = run.retries_used;
  o["createdAt"] = format_utc(run.created_at);
  o["notBefore"] = run.state == RunState::Queued ? value(format_utc(run.not_before)) : nullptr;
  o["startedAt"] = time_or_null(run.started_at);
  o["finishedAt"] = time_or_null(run.finished_at);
  o["durationMs"] = run.started_at && run.finished_at ? value(run_time(run).count()) : nullptr;
  o["worker"] = text_or_null(run.owner.str());
  o["cancelRequested"] = run.cancel_requested;
  o["errorKind"] = text_or_null(run.error_kind);
  o["error"] = text_or_null(run.error);
  o["onlyEntities"] = texts_to_json(run.only_entities);
  o["takeOver"] = run.take_over;
  boost::json::array entities;
  for (const auto& e : run.entities) entities.push_back(protocol::to_json(e));
  o["entities"] = std::move(entities);
  object progress;
  for (const auto& [name, p] : run.progress) progress[name] = to_json(p);
  o["progress"] = std::move(progress);
  boost::json::array attempts;
  for (const auto& a : run.attempts) attempts.push_back(to_json(a));
  o["attempts"] = std::move(attempts);
  o["warnings"] = texts_to_json(run.warnings);
  return o;
}

object to_json(const LedgerEntry& entry) {
  return {{"first", format_utc(entry.first)},
          {"last", format_utc(entry.last)},
          {"count", entry.count},
          {"outcome", entry.outcome},
          {"reason", text_or_null(entry.reason)},
          {"runId", text_or_null(entry.run.str())}};
}

object to_json(const RunLogLine& line) {
  return {{"seq", line.seq},
          {"at", format_utc(line.at)},
          {"attempt", line.attempt},
          {"level", enum_name(line.level, kLevelNames)},
          {"entity", text_or_null(line.entity)},
          {"message", line.message}};
}

}  // namespace tidegate::model

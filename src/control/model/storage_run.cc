#include "control/model/storage_json.h"
#include "control/model/stored_fields.h"
#include "control/model/text_field.h"

namespace tidegate::model {
namespace {

using boost::json::object;
using boost::json::value;

void put_fence(object& o, Fence fence) { o["fence"] = tidegate::value(fence); }

void read_fence(Stored& s, Fence& fence) {
  std::int64_t n = 0;
  s.number("fence", n);
  fence = Fence{n};
}

object stored_attempt(const Attempt& a) {
  object o{{"number", a.number}, {"owner", a.owner.str()}, {"startedAt", to_ms(a.started_at)}};
  put_fence(o, a.fence);
  put(o, "finishedAt", a.finished_at);
  put(o, "took", a.took);
  put(o, "outcome", a.outcome);
  put(o, "errorKind", a.error_kind);
  put(o, "error", a.error);
  return o;
}

bool read_attempt(const value& v, Attempt& a) {
  Stored s(v);
  s.number("number", a.number);
  s.id("owner", a.owner);
  read_fence(s, a.fence);
  s.time("startedAt", a.started_at);
  s.time("finishedAt", a.finished_at);
  s.span("took", a.took);
  s.text("outcome", a.outcome);
  s.text("errorKind", a.error_kind);
  s.text("error", a.error);
  return s.ok();
}

void put_detail(object& o, const Run& r) {
  put(o, "only", r.only_entities);
  if (r.take_over) o["takeOver"] = true;
  boost::json::array entities;
  for (const auto& e : r.entities) entities.push_back(protocol::to_json(e));
  if (!entities.empty()) o["entities"] = std::move(entities);
  if (!r.progress.empty()) o["progress"] = to_stored(r.progress);
  boost::json::array attempts;
  for (const auto& a : r.attempts) attempts.push_back(stored_attempt(a));
  if (!attempts.empty()) o["attempts"] = std::move(attempts);
  put(o, "warnings", r.warnings);
}

bool read_progress(const value& v, EntityProgress& p) {
  Stored s(v);
  s.number("read", p.rows_read);
  s.number("written", p.rows_written);
  s.number("bytes", p.bytes);
  s.number("total", p.total_rows);
  return s.ok();
}

}  // namespace

object run_detail_to_stored(const Run& r) {
  object o;
  put_detail(o, r);
  return o;
}

object to_stored(const Run& r) {
  object o{{"id", r.id.str()}, {"workspace", r.workspace.str()}, {"job", r.job.str()}};
  o.reserve(32);
  o["jobRevision"] = r.job_revision;
  put(o, "slot", r.scheduled_for);
  o["trigger"] = enum_name(r.trigger, kTriggerNames);
  put(o, "by", r.triggered_by);
  o["state"] = enum_name(r.state, kRunStateNames);
  o["attempt"] = r.attempt;
  o["retries"] = r.retries_used;
  o["lost"] = r.lost_in_row;
  o["createdAt"] = to_ms(r.created_at);
  o["notBefore"] = to_ms(r.not_before);
  put(o, "startedAt", r.started_at);
  put(o, "finishedAt", r.finished_at);
  put(o, "owner", r.owner.str());
  put_fence(o, r.fence);
  if (r.cancel_requested) o["cancel"] = true;
  put(o, "errorKind", r.error_kind);
  put(o, "error", r.error);
  put_detail(o, r);
  put(o, "exclusiveKey", r.exclusive_key);
  return o;
}

Result<Run> run_from_stored(const value& v) {
  Run r;
  Stored s(v);
  s.id("id", r.id);
  s.id("workspace", r.workspace);
  s.id("job", r.job);
  s.number("jobRevision", r.job_revision);
  s.time("slot", r.scheduled_for);
  s.name("trigger", kTriggerNames, r.trigger);
  s.text("by", r.triggered_by);
  s.name("state", kRunStateNames, r.state);
  s.number("attempt", r.attempt);
  s.number("retries", r.retries_used);
  s.number("lost", r.lost_in_row);
  s.time("createdAt", r.created_at);
  s.time("notBefore", r.not_before);
  s.time("startedAt", r.started_at);
  s.time("finishedAt", r.finished_at);
  s.id("owner", r.owner);
  read_fence(s, r.fence);
  s.flag("cancel", r.cancel_requested);
  s.text("errorKind", r.error_kind);
  s.text("error", r.error);
  s.texts("only", r.only_entities);
  s.flag("takeOver", r.take_over);
  s.each("entities", [&](const value& e) {
    auto result = protocol::entity_result_from_json(e);
    if (result) r.entities.push_back(std::move(*result));
    return result.has_value();
  });
  if (const auto* p = s.find("progress")) {
    TG_TRY(r.progress, progress_from_stored(*p));
  }
  s.each("attempts", [&](const value& a) { return read_attempt(a, r.attempts.emplace_back()); });
  s.texts("warnings", r.warnings);
  s.text("exclusiveKey", r.exclusive_key);
  return s.done(std::move(r), "run");
}

object to_stored(const std::map<std::string, EntityProgress>& progress) {
  object o;
  for (const auto& [entity, p] : progress) {
    object item{{"read", p.rows_read}, {"written", p.rows_written}, {"bytes", p.bytes}};
    if (p.total_rows) item["total"] = *p.total_rows;
    o[entity] = std::move(item);
  }
  return o;
}

Result<std::map<std::string, EntityProgress>> progress_from_stored(const value& v) {
  std::map<std::string, EntityProgress> progress;
  Stored s(v);
  if (s.ok()) {
    for (const auto& m : v.get_object()) s.require(read_progress(m.value(), progress[m.key()]));
  }
  return s.done(std::move(progress), "progress");
}

object to_stored(const SlotRecord& r) {
  return {{"job", r.job.str()},
          {"first", to_ms(r.first)},
          {"last", to_ms(r.last)},
          {"count", r.count},
          {"outcome", enum_name(r.outcome, kSlotOutcomeNames)},
          {"reason", r.reason},
          {"recordedAt", to_ms(r.recorded_at)}};
}

Result<SlotRecord> slot_record_from_stored(const value& v) {
  SlotRecord r;
  Stored s(v);
  s.id("job", r.job);
  s.time("first", r.first);
  s.time("last", r.last);
  s.number("count", r.count);
  s.name("outcome", kSlotOutcomeNames, r.outcome);
  s.text("reason", r.reason);
  s.time("recordedAt", r.recorded_at);
  return s.done(std::move(r), "slot record");
}

object to_stored(const RunLogLine& l) {
  object o{{"seq", l.seq},
           {"at", to_ms(l.at)},
           {"attempt", l.attempt},
           {"level", static_cast<int>(l.level)}};
  put(o, "entity", l.entity);
  put(o, "message", l.message);
  return o;
}

Result<RunLogLine> log_line_from_stored(const value& v) {
  RunLogLine l;
  Stored s(v);
  int level = static_cast<int>(l.level);
  s.number("seq", l.seq);
  s.time("at", l.at);
  s.number("attempt", l.attempt);
  s.number("level", level);
  s.require(level >= 0 && level <= static_cast<int>(LogLevel::Error));
  l.level = static_cast<LogLevel>(level);
  s.text("entity", l.entity);
  s.text("message", l.message);
  return s.done(std::move(l), "log line");
}

}  // namespace tidegate::model

#include "control/model/storage_json.h"
#include "control/model/stored_fields.h"
#include "control/model/text_field.h"

namespace tidegate::model {
namespace {

using boost::json::object;
using boost::json::value;
using protocol::EntityOptions;
using protocol::KnownState;

object stored_schedule(const Schedule& schedule) {
  object o;
  if (const auto* c = std::get_if<CronSchedule>(&schedule)) {
    o["cron"] = c->expression;
    o["zone"] = c->timezone;
    o["dst"] = static_cast<int>(c->dst);
  } else if (const auto* e = std::get_if<EverySchedule>(&schedule)) {
    o["every"] = e->every.count();
    put(o, "anchor", e->anchor);
  } else if (const auto* a = std::get_if<AtSchedule>(&schedule)) {
    o["at"] = to_ms(a->at);
  }
  return o;
}

bool read_schedule(const value& v, Schedule& out) {
  Stored s(v);
  if (s.find("cron") != nullptr) {
    CronSchedule c;
    int dst = 0;
    s.text("cron", c.expression);
    s.text("zone", c.timezone);
    s.number("dst", dst);
    s.require(dst >= 0 && dst < static_cast<int>(cron::kDstPolicyNames.size()));
    c.dst = static_cast<cron::DstPolicy>(dst);
    out = std::move(c);
  } else if (s.find("every") != nullptr) {
    EverySchedule e;
    s.span("every", e.every);
    s.time("anchor", e.anchor);
    out = e;
  } else if (s.find("at") != nullptr) {
    AtSchedule a;
    s.time("at", a.at);
    out = a;
  }
  return s.ok();
}

object stored_entity(const EntityOptions& e) {
  object o;
  put(o, "cursor", e.cursor);
  put(o, "key", e.primary_key);
  put(o, "include", e.include_columns);
  put(o, "exclude", e.exclude_columns);
  put(o, "where", e.where);
  put(o, "lookback", e.lookback);
  put(o, "lag", e.lag);
  return o;
}

bool read_entity(const value& v, EntityOptions& e) {
  Stored s(v);
  s.text("cursor", e.cursor);
  s.texts("key", e.primary_key);
  s.texts("include", e.include_columns);
  s.texts("exclude", e.exclude_columns);
  s.text("where", e.where);
  s.span("lookback", e.lookback);
  s.span("lag", e.lag);
  return s.ok();
}

bool read_retry(const value& v, RetryPolicy& p) {
  Stored s(v);
  s.number("attempts", p.max_attempts);
  s.span("initial", p.initial);
  s.real("factor", p.factor);
  s.span("max", p.max);
  s.flag("jitter", p.jitter);
  return s.ok();
}

bool read_pause(const value& v, Pause& p) {
  Stored s(v);
  s.text("note", p.note);
  s.time("until", p.until);
  s.time("since", p.since);
  s.text("by", p.by);
  return s.ok();
}

bool read_known_state(const value& v, KnownState& k) {
  Stored s(v);
  s.text("destination", k.destination_id);
  s.number("epoch", k.epoch);
  s.number("sequence", k.sequence);
  s.text("state", k.state);
  return s.ok();
}

void read_spec(Stored& s, JobSpec& j) {
  s.text("name", j.name);
  s.text("description", j.description);
  s.id("source", j.source_id);
  s.id("destination", j.destination_id);
  if (const auto* v = s.find("schedule")) s.require(read_schedule(*v, j.schedule));
  s.name("mode", protocol::kSyncModeNames, j.mode);
  s.texts("filter", j.entity_filter);
  s.members("entities", [&](std::string name, const value& v) {
    return read_entity(v, j.entities[std::move(name)]);
  });
  s.flag("enabled", j.enabled);
  if (const auto* v = s.find("retry")) s.require(read_retry(*v, j.retry));
  s.span("timeout", j.timeout);
  s.span("stallTimeout", j.stall_timeout);
  s.name("overlap", kOverlapNames, j.overlap);
  s.name("catchup", kCatchupNames, j.catchup);
  s.number("maxCatchup", j.max_catchup);
  s.span("catchupWindow", j.catchup_window);
  s.span("misfireGrace", j.misfire_grace);
  s.span("jitter", j.jitter);
  s.name("schemaChange", protocol::kSchemaChangeNames, j.schema_change);
  s.number("maxRejected", j.max_rejected);
  s.members("labels", [&](std::string name, const value& v) {
    if (v.is_string()) j.labels.emplace(std::move(name), v.get_string());
    return v.is_string();
  });
}

}  // namespace

object to_stored(const JobSpec& j) {
  object o;
  o.reserve(24);
  o["name"] = j.name;
  put(o, "description", j.description);
  o["source"] = j.source_id.str();
  o["destination"] = j.destination_id.str();
  o["schedule"] = stored_schedule(j.schedule);
  o["mode"] = enum_name(j.mode, protocol::kSyncModeNames);
  put(o, "filter", j.entity_filter);
  object entities;
  for (const auto& [name, e] : j.entities) entities[name] = stored_entity(e);
  o["entities"] = std::move(entities);
  o["enabled"] = j.enabled;
  o["retry"] = object{{"attempts", j.retry.max_attempts},
                      {"initial", j.retry.initial.count()},
                      {"factor", j.retry.factor},
                      {"max", j.retry.max.count()},
                      {"jitter", j.retry.jitter}};
  put(o, "timeout", j.timeout);
  o["stallTimeout"] = j.stall_timeout.count();
  o["overlap"] = enum_name(j.overlap, kOverlapNames);
  o["catchup"] = enum_name(j.catchup, kCatchupNames);
  o["maxCatchup"] = j.max_catchup;
  o["catchupWindow"] = j.catchup_window.count();
  o["misfireGrace"] = j.misfire_grace.count();
  o["jitter"] = j.jitter.count();
  o["schemaChange"] = enum_name(j.schema_change, protocol::kSchemaChangeNames);
  o["maxRejected"] = j.max_rejected;
  object labels;
  for (const auto& [name, text] : j.labels) labels[name] = text;
  o["labels"] = std::move(labels);
  return o;
}

Result<JobSpec> job_spec_from_stored(const value& v) {
  JobSpec spec;
  Stored s(v);
  read_spec(s, spec);
  return s.done(std::move(spec), "job");
}

object to_stored(const SyncJob& j) {
  object o{{"id", j.id.str()}, {"workspace", j.workspace.str()}, {"spec", to_stored(j.spec)}};
  o.reserve(24);
  o["revision"] = j.revision;
  put(o, "createdBy", j.created_by);
  o["createdAt"] = to_ms(j.created_at);
  o["updatedAt"] = to_ms(j.updated_at);
  if (j.pause) {
    object p{{"note", j.pause->note}, {"since", to_ms(j.pause->since)}, {"by", j.pause->by}};
    put(p, "until", j.pause->until);
    o["pause"] = std::move(p);
  }
  put(o, "nextSlot", j.next_slot);
  put(o, "lastRunAt", j.last_run_at);
  put(o, "lastSuccessAt", j.last_success_at);
  put(o, "lastError", j.last_error);
  o["runCount"] = j.run_count;
  o["failures"] = j.consecutive_failures;
  boost::json::array durations;
  for (const Millis d : j.success_durations) durations.emplace_back(d.count());
  o["durations"] = std::move(durations);
  o["state"] = to_stored(j.known_state);
  o["resetEpoch"] = j.reset_epoch;
  return o;
}

Result<SyncJob> job_from_stored(const value& v) {
  SyncJob j;
  Stored s(v);
  s.id("id", j.id);
  s.id("workspace", j.workspace);
  if (const auto* spec = s.find("spec")) {
    TG_TRY(j.spec, job_spec_from_stored(*spec));
  }
  s.number("revision", j.revision);
  s.text("createdBy", j.created_by);
  s.time("createdAt", j.created_at);
  s.time("updatedAt", j.updated_at);
  if (const auto* p = s.find("pause")) s.require(read_pause(*p, j.pause.emplace()));
  s.time("nextSlot", j.next_slot);
  s.time("lastRunAt", j.last_run_at);
  s.time("lastSuccessAt", j.last_success_at);
  s.text("lastError", j.last_error);
  s.number("runCount", j.run_count);
  s.number("failures", j.consecutive_failures);
  s.each("durations", [&](const value& d) {
    if (d.is_int64()) j.success_durations.emplace_back(d.get_int64());
    return d.is_int64();
  });
  if (const auto* states = s.find("state")) {
    TG_TRY(j.known_state, known_state_from_stored(*states));
  }
  s.number("resetEpoch", j.reset_epoch);
  return s.done(std::move(j), "job");
}

object to_stored(const std::map<std::string, KnownState>& states) {
  object o;
  for (const auto& [entity, k] : states) {
    object item{{"epoch", k.epoch}, {"sequence", k.sequence}};
    put(item, "destination", k.destination_id);
    put(item, "state", k.state);
    o[entity] = std::move(item);
  }
  return o;
}

Result<std::map<std::string, KnownState>> known_state_from_stored(const value& v) {
  std::map<std::string, KnownState> states;
  Stored s(v);
  if (s.ok()) {
    for (const auto& m : v.get_object()) s.require(read_known_state(m.value(), states[m.key()]));
  }
  return s.done(std::move(states), "sync state");
}

}  // namespace tidegate::model

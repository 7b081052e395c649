#include "control/model/job_json.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "control/model/schedule_json.h"
#include "control/model/text_field.h"

namespace tidegate::model {
namespace {

using boost::json::object;
using protocol::EntityOptions;
using protocol::SyncMode;

constexpr Millis kSecond{1000};
constexpr Millis kDay{86'400'000};
constexpr std::size_t kMaxList = 1000;  // entities, columns, filters

constexpr std::string_view kReadOnly[] = {
    "id",        "revision",  "nextRunAt",     "lastRunAt", "lastSuccessAt",
    "lastError", "runCount",  "avgDurationMs", "status",    "consecutiveFailures",
    "createdBy", "createdAt", "updatedAt",     "warnings",  "pause"};
// Named in the API's design and not delivered yet: a clearer answer than "unknown".
constexpr std::string_view kNotYet[] = {"dependsOn", "waitUpTo", "onTimeout", "priority",
                                        "runOn",     "alerts",   "verify",    "blackouts"};

object to_json(const EntityOptions& e) {
  object o;
  o["cursor"] = e.cursor ? boost::json::value(*e.cursor) : nullptr;
  o["primaryKey"] = texts_to_json(e.primary_key);
  o["where"] = e.where ? boost::json::value(*e.where) : nullptr;
  if (e.include_columns.empty() && e.exclude_columns.empty()) {
    o["columns"] = nullptr;
  } else {
    o["columns"] = object{{"include", texts_to_json(e.include_columns)},
                          {"exclude", texts_to_json(e.exclude_columns)}};
  }
  o["lookback"] = e.lookback ? boost::json::value(format_duration(*e.lookback)) : nullptr;
  o["lag"] = e.lag ? boost::json::value(format_duration(*e.lag)) : nullptr;
  return o;
}

// A list of columns to take, or {include, exclude}.
void read_columns(json::Reader& r, std::vector<FieldError>& errors, EntityOptions& e) {
  const auto* v = r.raw("columns");
  if (v == nullptr || v->is_null()) return;
  if (v->is_array()) {
    e.include_columns = read_names(r, "columns", kMaxList);
    return;
  }
  if (!v->is_object()) {
    r.error("columns",
            fmt::format("must be a list of columns or an object with include or exclude, not {}",
                        json::type_name(*v)));
    return;
  }
  json::Reader inner(v->get_object(), r.path("columns"), errors);
  e.include_columns = read_names(inner, "include", kMaxList);
  e.exclude_columns = read_names(inner, "exclude", kMaxList);
  inner.finish();
  if (!e.include_columns.empty() && !e.exclude_columns.empty()) {
    r.error("columns", "has both include and exclude; give one");
  }
}

EntityOptions read_entity(const object& o, std::string path, SyncMode mode,
                          std::vector<FieldError>& errors) {
  json::Reader r(o, std::move(path), errors);
  EntityOptions e;
  e.cursor = read_text(r, "cursor", {.required = false});
  if (e.cursor && e.cursor->empty()) {
    r.error("cursor", "is empty; name a column or leave the field out");
  }
  e.primary_key = read_names(r, "primaryKey", kMaxList);
  e.where = read_text(r, "where", {.max_chars = 4000, .one_line = false});
  if (e.where && e.where->empty()) e.where.reset();
  read_columns(r, errors, e);
  e.lookback = r.duration("lookback", Millis(0), 3660 * kDay);
  e.lag = r.duration("lag", Millis(0), 366 * kDay);
  if (e.lookback && mode == SyncMode::IncrementalAppend) {
    r.error("lookback",
            "would append rows twice in mode incremental_append; remove it or use incremental");
  }
  r.finish();
  return e;
}

void read_entities(json::Reader& r, std::vector<FieldError>& errors, JobSpec& spec) {
  const object* map = r.child("entities");
  if (map == nullptr) return;
  if (map->size() > kMaxList) {
    r.error("entities", fmt::format("has {} items; at most {}", map->size(), kMaxList));
    return;
  }
  for (const auto& [key, value] : *map) {
    std::string path = fmt::format("entities[\"{}\"]", std::string_view(key));
    if (auto problem = name_problem(key, 200); !problem.empty()) {
      errors.push_back({"entities", "has a name that " + problem, std::nullopt});
      continue;
    }
    if (!value.is_object()) {
      errors.push_back({std::move(path),
                        fmt::format("must be an object, not {}", json::type_name(value)),
                        std::nullopt});
      continue;
    }
    spec.entities.emplace(key, read_entity(value.get_object(), std::move(path), spec.mode, errors));
  }
}

void read_labels(json::Reader& r, std::vector<FieldError>& errors, JobSpec& spec) {
  constexpr std::size_t kMaxLabels = 64;
  const object* map = r.child("labels");
  if (map == nullptr) return;
  if (map->size() > kMaxLabels) {
    r.error("labels", fmt::format("has {} items; at most {}", map->size(), kMaxLabels));
    return;
  }
  json::Reader inner(*map, "labels", errors);
  for (const auto& member : *map) {
    if (auto problem = name_problem(member.key(), 100); !problem.empty()) {
      errors.push_back({"labels", "has a name that " + problem, std::nullopt});
      inner.ignore(member.key());
      continue;
    }
    if (member.value().is_null()) inner.error(member.key(), "is null; give a text");
    if (auto text = read_text(inner, member.key(), {.one_line = false})) {
      spec.labels.emplace(member.key(), std::move(*text));
    }
  }
}

SyncMode read_mode(json::Reader& r) {
  const auto* v = r.raw("syncMode");
  // The older name of the field's most common value, still sent by clients.
  if (v != nullptr && v->is_string() && v->get_string() == "full_refresh") return SyncMode::Full;
  const auto mode = r.one_of("syncMode", protocol::kSyncModeNames);
  return mode ? static_cast<SyncMode>(*mode) : SyncMode::Full;
}

void read_policies(json::Reader& r, JobSpec& spec) {
  const auto limit = [&r](std::string_view name) {
    const auto d = r.duration(name, Millis(0), 366 * kDay);
    if (d && *d > Millis(0) && *d < kSecond) {
      r.error(name, "is shorter than anything takes; give 1s or more, or 0 for no limit");
    }
    return d;
  };
  if (const auto d = limit("timeout"); d && *d > Millis(0)) spec.timeout = *d;
  if (const auto d = limit("stallTimeout")) spec.stall_timeout = *d;
  if (const auto i = r.one_of("overlap", kOverlapNames)) spec.overlap = static_cast<Overlap>(*i);
  if (const auto i = r.one_of("catchup", kCatchupNames)) spec.catchup = static_cast<Catchup>(*i);
  if (const auto n = r.integer("maxCatchup", {.min = 1, .max = 10'000})) {
    spec.max_catchup = static_cast<int>(*n);
  }
  if (const auto d = r.duration("catchupWindow", Millis(0), 366 * kDay)) spec.catchup_window = *d;
  if (const auto d = r.duration("misfireGrace", kSecond, kDay)) spec.misfire_grace = *d;
  if (const auto d = r.duration("jitter", Millis(0), kDay)) spec.jitter = *d;
  if (const auto i = r.one_of("schemaChange", protocol::kSchemaChangeNames)) {
    spec.schema_change = static_cast<protocol::SchemaChange>(*i);
  }
  if (const auto n = r.integer("maxRejected", {.min = 0, .max = std::int64_t{1} << 53})) {
    spec.max_rejected = *n;
  }
  if (spec.overlap == Overlap::Allow && spec.mode != SyncMode::FullAppend) {
    r.error("overlap",
            "'allow' needs syncMode full_append: two runs would write the same rows; choose "
            "skip, queue_one, queue_all or cancel_running");
  }
}

// True when `entities` names a cursor for everything that `pattern` selects, as far as names tell.
bool has_cursor(const JobSpec& spec, const std::string& pattern) {
  for (const auto& key : {pattern, std::string("*")}) {
    const auto it = spec.entities.find(key);
    if (it != spec.entities.end() && it->second.cursor) return true;
  }
  return false;
}

}  // namespace

object to_json(const JobSpec& spec) {
  object o;
  o["name"] = spec.name;
  o["description"] = spec.description;
  o["dataSourceId"] = spec.source_id.str();
  o["destinationDatabaseId"] = spec.destination_id.str();
  o["schedule"] = to_json(spec.schedule);
  o["syncMode"] = enum_name(spec.mode, protocol::kSyncModeNames);
  o["entityFilter"] = texts_to_json(spec.entity_filter);
  object entities;
  for (const auto& [name, options] : spec.entities) entities[name] = to_json(options);
  o["entities"] = std::move(entities);
  o["enabled"] = spec.enabled;
  o["retry"] = to_json(spec.retry);
  o["timeout"] = spec.timeout ? boost::json::value(format_duration(*spec.timeout)) : nullptr;
  o["stallTimeout"] = format_duration(spec.stall_timeout);
  o["overlap"] = enum_name(spec.overlap, kOverlapNames);
  o["catchup"] = enum_name(spec.catchup, kCatchupNames);
  o["maxCatchup"] = spec.max_catchup;
  o["catchupWindow"] = format_duration(spec.catchup_window);
  o["misfireGrace"] = format_duration(spec.misfire_grace);
  o["jitter"] = format_duration(spec.jitter);
  o["schemaChange"] = enum_name(spec.schema_change, protocol::kSchemaChangeNames);
  o["maxRejected"] = spec.max_rejected;
  object labels;
  for (const auto& [name, text] : spec.labels) labels[name] = text;
  o["labels"] = std::move(labels);
  return o;
}

boost::json::value next_run_at(const SyncJob& job) {
  const bool held = !job.spec.enabled || (job.pause && !job.pause->until);
  return held ? nullptr : time_or_null(job.next_slot);
}

object to_json(const SyncJob& job) {
  object o{{"id", job.id.str()}, {"revision", job.revision}};
  o.reserve(48);
  for (auto& member : to_json(job.spec)) o.emplace(member.key(), std::move(member.value()));
  o["nextRunAt"] = next_run_at(job);
  o["lastRunAt"] = time_or_null(job.last_run_at);
  o["lastSuccessAt"] = time_or_null(job.last_success_at);
  o["lastError"] = job.last_error ? boost::json::value(*job.last_error) : nullptr;
  o["runCount"] = job.run_count;
  o["consecutiveFailures"] = job.consecutive_failures;
  const auto avg = job.avg_duration();
  o["avgDurationMs"] = avg ? boost::json::value(avg->count()) : nullptr;
  o["status"] = job_status(job);
  if (job.pause) {
    o["pause"] = object{{"note", job.pause->note},
                        {"until", time_or_null(job.pause->until)},
                        {"since", format_utc(job.pause->since)},
                        {"by", job.pause->by}};
  } else {
    o["pause"] = nullptr;
  }
  o["createdBy"] = job.created_by;
  o["createdAt"] = format_utc(job.created_at);
  o["updatedAt"] = format_utc(job.updated_at);
  o["warnings"] = texts_to_json(job_warnings(job.spec));
  return o;
}

Result<JobSpec> job_spec_from_json(const object& o, std::uint64_t hash_seed) {
  std::vector<FieldError> errors;
  json::Reader r(o, "", errors);
  JobSpec spec;
  spec.name = read_text(r, "name", {.required = true, .invented = true}).value_or("");
  spec.description =
      read_text(r, "description", {.max_chars = 4000, .one_line = false}).value_or("");
  spec.source_id = ConnectionId(read_text(r, "dataSourceId", {.required = true}).value_or(""));
  spec.destination_id =
      ConnectionId(read_text(r, "destinationDatabaseId", {.required = true}).value_or(""));
  spec.schedule = read_schedule(r, "schedule", hash_seed, errors);
  spec.mode = read_mode(r);
  spec.entity_filter = read_names(r, "entityFilter", kMaxList);
  read_entities(r, errors, spec);
  spec.enabled = r.boolean("enabled").value_or(true);
  spec.retry = read_retry(r, "retry", errors);
  read_policies(r, spec);
  read_labels(r, errors, spec);
  for (const std::string_view name : kReadOnly) r.ignore(name);
  for (const std::string_view name : kNotYet) {
    if (!r.has(name)) continue;
    r.ignore(name);
    r.error(name, "is not available in this version; remove it");
  }
  r.finish();
  if (!errors.empty()) {
    return fail(Error{Code::Invalid, "the job is not valid; see details", "invalid_job",
                      std::move(errors)});
  }
  return spec;
}

std::string_view job_status(const SyncJob& job) {
  if (!job.spec.enabled) return "disabled";
  if (job.pause) return "paused";
  if (std::holds_alternative<std::monostate>(job.spec.schedule)) return "manual";
  return job.next_slot ? "scheduled" : "finished";
}

std::vector<std::string> job_warnings(const JobSpec& spec) {
  std::vector<std::string> warnings;
  if (spec.mode != SyncMode::Incremental && spec.mode != SyncMode::IncrementalAppend)
    return warnings;
  std::vector<std::string> without;
  for (const auto& pattern : spec.entity_filter) {
    if (!has_cursor(spec, pattern)) without.push_back(pattern);
  }
  const bool all = spec.entity_filter.empty();
  const bool any_cursor = std::ranges::any_of(
      spec.entities, [](const auto& item) { return item.second.cursor.has_value(); });
  if (without.empty() && (!all || any_cursor)) return warnings;
  warnings.push_back(fmt::format(
      "no cursor is known for {}: unless the source declares one, an incremental run fails as "
      "configuration and names the candidate columns; set entities[\"NAME\"].cursor",
      all ? std::string("any entity") : fmt::format("'{}'", fmt::join(without, "', '"))));
  return warnings;
}

}  // namespace tidegate::model

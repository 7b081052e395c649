// Codec of the child's lines: Event.

#include <fmt/format.h>

#include "base/json.h"
#include "protocol/fields.h"
#include "protocol/protocol.h"

namespace tidegate::protocol {
namespace {

namespace bj = boost::json;

constexpr json::Limits kLineLimits{.max_bytes = kMaxLine, .max_depth = 64};
constexpr std::string_view kLevelNames[] = {"debug", "info", "warn", "error"};

void set(bj::object& o, std::string_view key, const std::optional<std::string>& v) {
  if (v) o[key] = to_utf8(*v);
}

bj::object body(const Started& e) {
  return {{"type", "started"}, {"version", e.version}, {"build", to_utf8(e.build)}};
}
bj::object body(const EntityPlanned& e) {
  bj::object o{{"type", "entity"}, {"entity", to_utf8(e.entity)}};
  if (e.total_rows) o["totalRows"] = *e.total_rows;
  return o;
}
bj::object body(const Progress& e) {
  return {{"type", "progress"},
          {"entity", to_utf8(e.entity)},
          {"rowsRead", e.rows_read},
          {"rowsWritten", e.rows_written},
          {"bytes", e.bytes}};
}
bj::object body(const StateCommitted& e) {
  return {{"type", "state"},
          {"entity", to_utf8(e.entity)},
          {"destinationId", e.state.destination_id},
          {"epoch", e.state.epoch},
          {"sequence", e.state.sequence},
          {"state", to_utf8(e.state.state)}};
}
bj::object body(const LogLine& e) {
  return {{"type", "log"},
          {"level", kLevelNames[static_cast<std::size_t>(e.level)]},
          {"message", to_utf8(e.message)},
          {"entity", to_utf8(e.entity)}};
}
bj::object body(const RunResult& e) {
  bj::object o{{"type", "result"}, {"code", static_cast<int>(e.code)}};
  bj::array entities;
  for (const auto& r : e.entities) entities.emplace_back(to_json(r));
  o["entities"] = std::move(entities);
  set(o, "errorKind", e.error_kind);
  set(o, "error", e.error);
  if (e.retry_after) o["retryAfterMs"] = e.retry_after->count();
  if (e.fence_found) o["fenceFound"] = value(*e.fence_found);
  if (!e.warnings.empty()) o["warnings"] = to_array(e.warnings);
  if (!e.reply.is_null()) o["reply"] = e.reply;
  return o;
}

Result<Event> started(Fields& f) {
  Started e;
  f.get("version", e.version);
  f.get("build", e.build);
  TG_CHECK(f.status());
  return e;
}
Result<Event> planned(Fields& f) {
  EntityPlanned e;
  f.need("entity");
  f.get("entity", e.entity);
  f.get("totalRows", e.total_rows);
  TG_CHECK(f.status());
  return e;
}
Result<Event> progress(Fields& f) {
  Progress e;
  f.need("entity");
  f.get("entity", e.entity);
  f.get("rowsRead", e.rows_read);
  f.get("rowsWritten", e.rows_written);
  f.get("bytes", e.bytes);
  TG_CHECK(f.status());
  return e;
}
Result<Event> state(Fields& f) {
  StateCommitted e;
  f.need("entity");
  f.get("entity", e.entity);
  f.get("destinationId", e.state.destination_id);
  f.get("epoch", e.state.epoch);
  f.get("sequence", e.state.sequence);
  f.get("state", e.state.state);
  TG_CHECK(f.status());
  return e;
}
Result<Event> log_line(Fields& f) {
  LogLine e;
  f.get("level", e.level, kLevelNames);
  f.get("message", e.message);
  f.get("entity", e.entity);
  TG_CHECK(f.status());
  return e;
}
Result<Event> result(Fields& f) {
  RunResult e;
  int code = 0;
  std::optional<std::int64_t> retry_after, fence_found;
  f.need("code");
  f.get("code", code);
  if (code < 0 || code > static_cast<int>(ExitCode::Fenced))
    f.wrong("code", "an exit code, 0 to 5");
  if (const bj::array* list = f.array("entities")) {
    for (const auto& item : *list) {
      TG_TRY(EntityResult r, entity_result_from_json(item));
      e.entities.push_back(std::move(r));
    }
  }
  f.get("errorKind", e.error_kind);
  f.get("error", e.error);
  f.get("retryAfterMs", retry_after);
  f.get("fenceFound", fence_found);
  f.get("warnings", e.warnings);
  if (const auto* reply = f.any("reply")) e.reply = *reply;
  TG_CHECK(f.status());
  e.code = static_cast<ExitCode>(code);
  if (retry_after) e.retry_after = Millis(*retry_after);
  if (fence_found) e.fence_found = Fence{*fence_found};
  return e;
}

struct Kind {
  std::string_view type;
  Result<Event> (*read)(Fields&);
};
constexpr Kind kKinds[] = {{"started", &started}, {"entity", &planned}, {"progress", &progress},
                           {"state", &state},     {"log", &log_line},   {"result", &result}};

}  // namespace

bj::object to_json(const EntityResult& r) {
  bj::object o{{"entity", to_utf8(r.entity)},
               {"outcome", kEntityOutcomeNames[static_cast<std::size_t>(r.outcome)]},
               {"rowsRead", r.rows_read},
               {"rowsWritten", r.rows_written},
               {"rowsUpdated", r.rows_updated},
               {"rowsDeleted", r.rows_deleted},
               {"rowsRejected", r.rows_rejected},
               {"rowsDeduplicated", r.rows_deduplicated},
               {"rowsSuperseded", r.rows_superseded},
               {"bytes", r.bytes},
               {"durationMs", r.duration.count()},
               {"destinationTable", to_utf8(r.destination_table)}};
  if (!r.schema_changes.empty()) o["schemaChanges"] = to_array(r.schema_changes);
  if (!r.warnings.empty()) o["warnings"] = to_array(r.warnings);
  set(o, "errorKind", r.error_kind);
  set(o, "error", r.error);
  return o;
}

Result<EntityResult> entity_result_from_json(const bj::value& v) {
  if (!v.is_object()) {
    return fail(Code::Malformed, "an entity's result must be a JSON object", "protocol");
  }
  EntityResult r;
  std::int64_t ms = 0;
  Fields f(v.get_object());
  f.need("entity");
  f.get("entity", r.entity);
  f.get("outcome", r.outcome, kEntityOutcomeNames);
  f.get("rowsRead", r.rows_read);
  f.get("rowsWritten", r.rows_written);
  f.get("rowsUpdated", r.rows_updated);
  f.get("rowsDeleted", r.rows_deleted);
  f.get("rowsRejected", r.rows_rejected);
  f.get("rowsDeduplicated", r.rows_deduplicated);
  f.get("rowsSuperseded", r.rows_superseded);
  f.get("bytes", r.bytes);
  f.get("durationMs", ms);
  f.get("destinationTable", r.destination_table);
  f.get("schemaChanges", r.schema_changes);
  f.get("warnings", r.warnings);
  f.get("errorKind", r.error_kind);
  f.get("error", r.error);
  TG_CHECK(f.status());
  r.duration = Millis(ms);
  return r;
}

std::string encode(const Event& event) {
  return json::write(std::visit([](const auto& e) { return body(e); }, event));
}

Result<std::optional<Event>> parse_event(std::string_view line) {
  TG_TRY(const bj::value v, json::parse(line, kLineLimits));
  if (!v.is_object()) {
    return fail(Code::Malformed, "a protocol line must be a JSON object", "protocol");
  }
  std::string type;
  Fields f(v.get_object());
  f.need("type");
  f.get("type", type);
  TG_CHECK(f.status());
  for (const Kind& kind : kKinds) {
    if (kind.type != type) continue;
    TG_TRY(Event e, kind.read(f));
    return e;
  }
  return std::nullopt;
}

}  // namespace tidegate::protocol

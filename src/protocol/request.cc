// Codec of the parent's lines: Request and Control.

#include <fmt/format.h>

#include "base/json.h"
#include "protocol/fields.h"
#include "protocol/protocol.h"

namespace tidegate::protocol {
namespace {

namespace bj = boost::json;

constexpr json::Limits kLineLimits{.max_bytes = kMaxLine, .max_depth = 64};

template <class T>
void set(bj::object& o, std::string_view key, const std::optional<T>& v) {
  if (v) o[key] = *v;
}
void set(bj::object& o, std::string_view key, const std::optional<Millis>& v) {
  if (v) o[key] = v->count();
}
void set(bj::object& o, std::string_view key, const std::vector<std::string>& v) {
  if (!v.empty()) o[key] = to_array(v);
}

void get(Fields& f, std::string_view key, std::optional<Millis>& out) {
  std::optional<std::int64_t> ms;
  f.get(key, ms);
  if (ms) out = Millis(*ms);
}

bj::object to_json(const Endpoint& e) { return {{"type", e.type}, {"config", e.config}}; }

Result<std::optional<Endpoint>> endpoint(Fields& parent, std::string_view key) {
  const bj::object* o = parent.object(key);
  if (o == nullptr) return std::nullopt;
  Endpoint e;
  Fields f(*o);
  f.need("type");
  f.get("type", e.type);
  if (const bj::object* config = f.object("config")) e.config = *config;
  TG_CHECK(f.status());
  return e;
}

bj::object to_json(const EntityOptions& e) {
  bj::object o;
  set(o, "cursor", e.cursor);
  set(o, "primaryKey", e.primary_key);
  set(o, "includeColumns", e.include_columns);
  set(o, "excludeColumns", e.exclude_columns);
  set(o, "where", e.where);
  set(o, "lookbackMs", e.lookback);
  set(o, "lagMs", e.lag);
  return o;
}

Result<EntityOptions> entity_options(const bj::object& o) {
  EntityOptions e;
  Fields f(o);
  f.get("cursor", e.cursor);
  f.get("primaryKey", e.primary_key);
  f.get("includeColumns", e.include_columns);
  f.get("excludeColumns", e.exclude_columns);
  f.get("where", e.where);
  get(f, "lookbackMs", e.lookback);
  get(f, "lagMs", e.lag);
  TG_CHECK(f.status());
  return e;
}

bj::object to_json(const KnownState& s) {
  return {{"destinationId", s.destination_id},
          {"epoch", s.epoch},
          {"sequence", s.sequence},
          {"state", s.state}};
}

Result<KnownState> known_state(const bj::object& o) {
  KnownState s;
  Fields f(o);
  f.get("destinationId", s.destination_id);
  f.get("epoch", s.epoch);
  f.get("sequence", s.sequence);
  f.get("state", s.state);
  TG_CHECK(f.status());
  return s;
}

bj::object to_json(const RunSpec& r) {
  bj::object o{{"job", r.job},
               {"runId", r.run_id.str()},
               {"attempt", r.attempt},
               {"fence", value(r.fence)},
               {"mode", kSyncModeNames[static_cast<std::size_t>(r.mode)]},
               {"schemaChange", kSchemaChangeNames[static_cast<std::size_t>(r.schema_change)]},
               {"maxRejected", r.max_rejected},
               {"dryRun", r.dry_run},
               {"takeOver", r.take_over},
               {"resetEpoch", r.reset_epoch},
               {"patienceMs", r.patience.count()}};
  set(o, "entityFilter", r.entity_filter);
  set(o, "onlyEntities", r.only_entities);
  set(o, "limit", r.limit);
  set(o, "where", r.where);
  if (r.lease_until) o["leaseUntil"] = r.lease_until->time_since_epoch().count();
  bj::object entities;
  for (const auto& [name, options] : r.entities) entities[name] = to_json(options);
  o["entities"] = std::move(entities);
  bj::object known;
  for (const auto& [name, state] : r.known_state) known[name] = to_json(state);
  o["knownState"] = std::move(known);
  return o;
}

template <class T>
Status get_map(Fields& f, std::string_view key, std::map<std::string, T>& out,
               Result<T> (*read)(const bj::object&)) {
  const bj::object* o = f.object(key);
  if (o == nullptr) return {};
  for (const auto& member : *o) {
    const bj::object* item = member.value().if_object();
    if (item == nullptr) {
      f.wrong(key, "an object of objects");
      return f.status();
    }
    TG_TRY(out[std::string(std::string_view(member.key()))], read(*item));
  }
  return {};
}

Result<RunSpec> run_spec(const bj::object& o) {
  RunSpec r;
  std::string run_id;
  std::int64_t fence = 0;
  std::optional<std::int64_t> lease;
  std::int64_t patience = r.patience.count();
  Fields f(o);
  f.need("job");
  f.get("job", r.job);
  f.get("runId", run_id);
  f.get("attempt", r.attempt);
  f.get("fence", fence);
  f.get("mode", r.mode, kSyncModeNames);
  f.get("entityFilter", r.entity_filter);
  f.get("onlyEntities", r.only_entities);
  TG_CHECK(get_map(f, "entities", r.entities, &entity_options));
  f.get("schemaChange", r.schema_change, kSchemaChangeNames);
  f.get("maxRejected", r.max_rejected);
  f.get("limit", r.limit);
  f.get("where", r.where);
  f.get("dryRun", r.dry_run);
  f.get("takeOver", r.take_over);
  TG_CHECK(get_map(f, "knownState", r.known_state, &known_state));
  f.get("resetEpoch", r.reset_epoch);
  f.get("leaseUntil", lease);
  f.get("patienceMs", patience);
  TG_CHECK(f.status());
  r.run_id = RunId(std::move(run_id));
  r.fence = Fence(fence);
  if (lease) r.lease_until = BootInstant(Millis(*lease));
  r.patience = Millis(patience);
  return r;
}

Result<bj::object> parse_object(std::string_view line) {
  TG_TRY(bj::value v, json::parse(line, kLineLimits));
  if (!v.is_object()) {
    return fail(Code::Malformed, "a protocol line must be a JSON object", "protocol");
  }
  return std::move(v.get_object());
}

// Which endpoints a request must have.
Status check_endpoints(const Request& r) {
  const int given = int(r.source.has_value()) + int(r.destination.has_value());
  if (r.kind == RequestKind::Run && given != 2) {
    return fail(Code::Malformed, "a run request needs `source` and `destination`", "protocol");
  }
  if (r.kind == RequestKind::Check && given != 1) {
    return fail(Code::Malformed, "a check request needs exactly one of `source` and `destination`",
                "protocol");
  }
  if (r.kind == RequestKind::Discover && (given != 1 || !r.source)) {
    return fail(Code::Malformed, "a discover request needs `source` alone", "protocol");
  }
  return {};
}

}  // namespace

std::string encode(const Request& request) {
  bj::object o{{"type", "request"},
               {"version", request.version},
               {"kind", kRequestKindNames[static_cast<std::size_t>(request.kind)]}};
  if (request.source) o["source"] = to_json(*request.source);
  if (request.destination) o["destination"] = to_json(*request.destination);
  if (request.kind == RequestKind::Run) o["run"] = to_json(request.run);
  set(o, "pathRoots", request.path_roots);
  set(o, "forbiddenPaths", request.forbidden_paths);
  return json::write(o);
}

Result<Request> parse_request(std::string_view line) {
  TG_TRY(const bj::object o, parse_object(line));
  Request r;
  std::string type;
  Fields f(o);
  f.get("type", type);
  if (type != "request") f.wrong("type", "request");
  f.get("version", r.version);
  if (r.version < 1) f.wrong("version", "1 or more");
  f.need("kind");
  f.get("kind", r.kind, kRequestKindNames);
  TG_TRY(r.source, endpoint(f, "source"));
  TG_TRY(r.destination, endpoint(f, "destination"));
  f.get("pathRoots", r.path_roots);
  f.get("forbiddenPaths", r.forbidden_paths);
  const bj::object* run = f.object("run");
  if (r.kind == RequestKind::Run) f.need("run");
  TG_CHECK(f.status());
  if (run != nullptr) {
    TG_TRY(r.run, run_spec(*run));
  }
  TG_CHECK(check_endpoints(r));
  return r;
}

std::string encode(const Control& control) {
  if (const auto* lease = std::get_if<LeaseRenewed>(&control)) {
    return json::write(
        bj::object{{"type", "lease_renewed"}, {"until", lease->until.time_since_epoch().count()}});
  }
  return json::write(bj::object{{"type", "cancel"}});
}

Result<std::optional<Control>> parse_control(std::string_view line) {
  TG_TRY(const bj::object o, parse_object(line));
  std::string type;
  std::int64_t until = 0;
  Fields f(o);
  f.need("type");
  f.get("type", type);
  if (type == "cancel") return CancelRequested{};
  if (type == "lease_renewed") {
    f.need("until");
    f.get("until", until);
  }
  TG_CHECK(f.status());
  if (type == "lease_renewed") return LeaseRenewed{BootInstant(Millis(until))};
  return std::nullopt;
}

}  // namespace tidegate::protocol

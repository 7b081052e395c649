#include "engine/core/plan.h"

#include <arrow/type.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/utf8.h"
#include "engine/core/schema.h"
#include "engine/core/selection.h"

namespace tidegate::engine {
namespace {

using protocol::SyncMode;

std::string_view mode_name(SyncMode mode) {
  return protocol::kSyncModeNames[static_cast<std::size_t>(mode)];
}

std::unexpected<Error> invalid(const std::string& entity, std::string_view field,
                               std::string message, std::string reason) {
  Error e{Code::Invalid, fmt::format("entity \"{}\": {}", entity, message), std::move(reason), {}};
  e.details.push_back({fmt::format("entities[\"{}\"].{}", entity, field), std::move(message), {}});
  return fail(std::move(e));
}

std::string candidates(const std::vector<std::string>& names, const arrow::Schema& schema) {
  if (!names.empty()) return name_list(names);
  std::vector<std::string> all;
  for (const auto& field : schema.fields()) {
    if (cursor_kind(*field->type())) all.push_back(field->name());
  }
  return name_list(all);
}

Status need_column(const EntityRequest& r, const EntityInfo& info, const std::string& name,
                   std::string_view field) {
  if (r.source_schema->GetFieldByName(name) != nullptr) return {};
  const bool excluded = info.schema->GetFieldByName(name) != nullptr;
  return invalid(
      r.entity, field,
      excluded ? fmt::format("the column \"{}\" is not among the chosen columns; include it", name)
               : fmt::format("there is no column \"{}\"; the entity has {}", name,
                             name_list(info.schema->field_names())),
      "unknown_column");
}

Status check_cursor(EntityRequest& r, const EntityInfo& info) {
  if (!is_incremental(r.mode)) {
    if (r.cursor) TG_CHECK(need_column(r, info, *r.cursor, "cursor"));
    return {};
  }
  if (!r.cursor) {
    return invalid(
        r.entity, "cursor",
        fmt::format("the mode {} needs a cursor, a column that grows with every change: "
                    "set entities[\"{}\"].cursor of the job, or --cursor; candidates: {}",
                    mode_name(r.mode), r.entity, candidates(info.cursor_candidates, *info.schema)),
        "no_cursor");
  }
  TG_CHECK(need_column(r, info, *r.cursor, "cursor"));
  const auto field = r.source_schema->GetFieldByName(*r.cursor);
  // A column without any value can be of any kind, so it is of the one it was.
  const bool empty = field->type()->id() == arrow::Type::NA;
  r.kind = cursor_kind(*field->type());
  if (!r.kind && !empty) {
    return invalid(
        r.entity, "cursor",
        fmt::format("the column \"{}\" is {} and cannot be a cursor; candidates: {}", *r.cursor,
                    type_words(*field), candidates(info.cursor_candidates, *info.schema)),
        "bad_cursor");
  }
  const bool temporal = empty || *r.kind == CursorKind::Timestamp || *r.kind == CursorKind::Date;
  for (const auto& [name, value] : {std::pair{"lookback", r.lookback}, std::pair{"lag", r.lag}}) {
    if (value && !temporal) {
      return invalid(
          r.entity, name,
          fmt::format("a {} is a span of time, and the cursor \"{}\" is {}; remove it, or "
                      "use a date or timestamp as cursor",
                      name, *r.cursor, type_words(*field)),
          "bad_cursor");
    }
  }
  if (r.lookback && r.mode == SyncMode::IncrementalAppend) {
    return invalid(
        r.entity, "lookback",
        "a lookback reads rows again, which incremental_append would write twice; use the "
        "mode incremental",
        "lookback_appends");
  }
  return {};
}

Status check_key(EntityRequest& r, const EntityInfo& info, bool declared_by_user) {
  for (const auto& name : r.key) TG_CHECK(need_column(r, info, name, "primaryKey"));
  if (!r.destination_has_keys && r.mode == SyncMode::Incremental) {
    return fail(Code::Invalid,
                fmt::format("entity \"{}\": the destination cannot put a row in the place of an "
                            "older one, so `incremental` is not possible; use full, full_append or "
                            "incremental_append, or a database",
                            r.entity),
                "mode_unsupported");
  }
  if (!r.destination_has_keys && r.mode == SyncMode::Full) {
    if (declared_by_user) {
      return invalid(r.entity, "primaryKey",
                     "the destination has no keys, so `full` keeps every row, also those of one "
                     "key; leave the primary key out, or write to a database",
                     "key_unsupported");
    }
    r.key.clear();  // the source's own
  }
  if (r.mode != SyncMode::Incremental || !r.key.empty()) return {};
  return invalid(
      r.entity, "primaryKey",
      fmt::format("the mode incremental merges rows by primary key, and the source declares none. "
                  "Give the columns that are unique together{}, or use incremental_append",
                  info.key_candidates.empty() ? ""
                                              : fmt::format(" (candidates, each alone: {})",
                                                            name_list(info.key_candidates))),
      "no_primary_key");
}

// Only columns that are read can be a key; a declared key that was partly excluded is none.
std::vector<std::string> effective_key(const protocol::EntityOptions& options,
                                       const EntityInfo& info, const arrow::Schema& schema) {
  if (!options.primary_key.empty()) return options.primary_key;
  for (const auto& name : info.primary_key) {
    if (schema.GetFieldByName(name) == nullptr) return {};
  }
  return info.primary_key;
}

Fingerprint fingerprint(const EntityRequest& r, const protocol::EntityOptions& options,
                        const std::string& source_identity) {
  // A link may lead to a path that is no UTF-8.
  return {.source = fmt::format("{}#{}", escape_bytes(source_identity), r.entity),
          .columns = fmt::format(
              "{}{}", fmt::join(options.include_columns, ","),
              options.exclude_columns.empty()
                  ? ""
                  : fmt::format(" without {}", fmt::join(options.exclude_columns, ","))),
          .where = r.where.value_or(""),
          .cursor = is_incremental(r.mode) ? r.cursor.value_or("") : "",
          .key = fmt::format("{}", fmt::join(r.key, ","))};
}

// What a state of another mode or of other settings means for an incremental read.
Status check_state(const EntityRequest& r, const EntityState& stored) {
  if (!is_incremental(stored.mode)) {
    if (stored.mode == SyncMode::FullAppend) {
      return fail(
          Code::Conflict,
          fmt::format("entity \"{}\": its table holds the loads of full_append, which {} would "
                      "replace. Reset the job (--reset, or `tidegate jobs reset`) to do so, or use "
                      "another table",
                      r.entity, mode_name(r.mode)),
          "reset_needed");
    }
    return {};
  }
  if (const std::string diff = differences(stored.fingerprint, r.fingerprint); !diff.empty()) {
    return fail(
        Code::Conflict,
        fmt::format("entity \"{}\": the job changed since the last run: {}. What was synced so "
                    "far does not fit it; reset the job (--reset, or `tidegate jobs reset`) to "
                    "read everything again, or undo the "
                    "change",
                    r.entity, diff),
        "reset_needed");
  }
  if (stored.cursor && r.kind && stored.cursor->kind() != *r.kind) {
    return fail(
        Code::Conflict,
        fmt::format("entity \"{}\": the cursor \"{}\" was {} and is {} now, which compares "
                    "differently; reset the job (--reset, or `tidegate jobs reset`) to read "
                    "everything again",
                    r.entity, *r.cursor,
                    kCursorKindNames[static_cast<std::size_t>(stored.cursor->kind())],
                    kCursorKindNames[static_cast<std::size_t>(*r.kind)]),
        "reset_needed");
  }
  // A state of before this was recorded has no row at its bound then.
  const bool dropped = stored.seen_dropped || (stored.cursor && stored.seen_at_bound.empty());
  if (r.mode == SyncMode::IncrementalAppend && stored.mode == SyncMode::Incremental && dropped) {
    return fail(
        Code::Conflict,
        fmt::format("entity \"{}\": not every row at the cursor's bound is remembered, which "
                    "incremental does not need, so incremental_append would write some of them "
                    "twice. Reset the job (--reset, or `tidegate jobs reset`) to read "
                    "everything again, or go on with incremental",
                    r.entity),
        "reset_needed");
  }
  return {};
}

Result<EntityState> read_state(const std::string& entity, const std::string& text) {
  auto state = decode_state(text);
  if (state) return state;
  Error e = std::move(state).error();
  if (e.code == Code::Unsupported) return fail(std::move(e));  // a newer Tidegate's
  return fail(Code::Conflict,
              fmt::format("entity \"{}\": what the destination remembers of earlier runs cannot be "
                          "read ({}). Reset the job (--reset, or `tidegate jobs reset`) to "
                          "read everything again",
                          entity, e.message),
              "bad_state");
}

// True: the next incremental run goes on from it.
bool has_position(const EntityState& stored) {
  return is_incremental(stored.mode) &&
         (stored.cursor || !stored.seen_null.empty() || stored.seen_dropped);
}

void decide_incremental(const EntityRequest& r, const EntityState& stored, const WriterState& found,
                        EntityDecision& d) {
  if (!has_position(stored)) return;
  if (found.table_empty) {
    d.warnings.push_back(
        fmt::format("the table \"{}\" is {} although the state says otherwise; "
                    "everything was read again",
                    found.table, found.table_exists ? "empty" : "gone"));
    return;
  }
  d.known = stored;
  d.load = r.mode == SyncMode::Incremental ? LoadKind::Merge : LoadKind::Append;
  if (stored.cursor) d.from = r.lookback ? stored.cursor->minus(*r.lookback) : *stored.cursor;
}

std::unexpected<Error> limit_refused(const EntityRequest& r, std::string_view why) {
  return fail(Code::Invalid, fmt::format("entity \"{}\": {}", r.entity, why), "limit_refused");
}

// A limited run may not stand for the whole: it upserts or appends, or is refused. full_append has
// no position that it could move: its state only says which load is complete, so that a second
// attempt does not append it again.
Status decide_limited(const EntityRequest& r, const WriterState& found,
                      const std::optional<EntityState>& stored, EntityDecision& d) {
  const bool positioned = stored && has_position(*stored);
  if (positioned && found.table_empty) {
    return limit_refused(
        r, fmt::format("the table \"{}\" is {} although earlier runs filled it; a few rows in it "
                       "would hide from the next run that the others are missing. Run without a "
                       "limit and a condition of its own first, which reads everything again",
                       found.table, found.table_exists ? "empty" : "gone"));
  }
  if (r.mode == SyncMode::FullAppend) {
    if (!positioned) return {};
    return limit_refused(r,
                         "its table was filled by incremental runs; the first run of "
                         "full_append must be one without a limit and a condition of its own");
  }
  d.advance = false;
  if (r.keyed()) {
    d.load = LoadKind::Merge;
    if (positioned && !(stored->seen_at_bound.empty() && stored->seen_null.empty())) {
      d.weakened = stored;
      d.weakened->seen_at_bound.clear();
      d.weakened->seen_null.clear();
      d.weakened->seen_dropped = true;
    }
    return {};
  }
  if (!found.table_empty) {
    return limit_refused(
        r, fmt::format("a limited run must not replace the table \"{}\", and would write rows "
                       "twice by appending to it. {}se an empty destination, or run without a "
                       "limit and a condition of its own",
                       found.table,
                       r.destination_has_keys && r.mode == SyncMode::Full
                           ? "Give a primary key so that it can merge, u"
                           : "U"));
  }
  d.load = LoadKind::Append;
  return {};
}

std::optional<CursorValue> upper_bound(const EntityRequest& r, Instant now) {
  if (!r.lag || !r.kind) return std::nullopt;
  const auto ns = Int128{to_ms(now)} * 1'000'000;
  if (*r.kind == CursorKind::Timestamp) return CursorValue::timestamp_ns(ns).minus(*r.lag);
  const auto today = std::chrono::floor<std::chrono::days>(now - *r.lag);
  return CursorValue::date(today.time_since_epoch().count());
}

}  // namespace

Result<EntityRequest> make_request(const protocol::RunSpec& run, const EntityInfo& entity,
                                   const std::string& source_identity, bool destination_has_keys) {
  const protocol::EntityOptions options = options_for(run, entity.name);
  EntityRequest r;
  r.entity = entity.name;
  r.mode = run.mode;
  TG_TRY(const std::vector<std::string> columns, select_columns(entity, options));
  arrow::FieldVector fields;
  for (const auto& name : columns) fields.push_back(entity.schema->GetFieldByName(name));
  r.source_schema = arrow::schema(fields);
  r.cursor = options.cursor;
  r.where = options.where;
  r.lookback = options.lookback && options.lookback->count() > 0 ? options.lookback : std::nullopt;
  r.lag = options.lag;
  r.destination_has_keys = destination_has_keys;
  r.key = effective_key(options, entity, *r.source_schema);
  if (r.key.empty() && !entity.primary_key.empty() && destination_has_keys) {
    r.warnings.push_back(fmt::format(
        "the primary key ({}) is not among the chosen columns, so that the destination gets none; "
        "include it, or give another one (--key)",
        name_list(entity.primary_key)));
  }
  TG_CHECK(check_cursor(r, entity));
  TG_CHECK(check_key(r, entity, !options.primary_key.empty()));
  r.schema = r.source_schema;
  if (r.mode == SyncMode::FullAppend) {
    fields.push_back(arrow::field(std::string(kLoadIdColumn), arrow::utf8()));
    r.schema = arrow::schema(fields);
  }
  r.fingerprint = fingerprint(r, options, source_identity);
  return r;
}

Result<EntityDecision> decide(const protocol::RunSpec& run, const EntityRequest& request,
                              const WriterState& found, Instant now) {
  EntityDecision d;
  d.warnings = request.warnings;
  d.epoch = std::max(found.epoch, run.reset_epoch);
  const bool reset = run.reset_epoch > found.epoch;
  const bool incremental = is_incremental(request.mode);
  d.load = request.mode == SyncMode::FullAppend ? LoadKind::Append : LoadKind::Replace;
  std::optional<EntityState> stored;
  if (!found.state.empty() && !reset) {
    TG_TRY(stored, read_state(request.entity, found.state));
  }
  if (const auto known = run.known_state.find(request.entity);
      request.mode != SyncMode::Full && !reset && known != run.known_state.end()) {
    TG_CHECK(check_known(known->second,
                         {found.destination_id, found.epoch, found.sequence, found.state},
                         request.entity));
  }
  if (stored) {
    if (request.mode == SyncMode::FullAppend && stored->mode == SyncMode::FullAppend &&
        !run.run_id.empty() && stored->run_id == run.run_id.str() && stored->complete) {
      d.done = true;
      d.known = *stored;
      return d;
    }
    if (incremental) {
      TG_CHECK(check_state(request, *stored));
      decide_incremental(request, *stored, found, d);
    }
  }
  if (incremental) d.to = upper_bound(request, now);
  if (run.limit || run.where) TG_CHECK(decide_limited(request, found, stored, d));
  return d;
}

ReadParams read_params(const protocol::RunSpec& run, const EntityRequest& request,
                       const EntityDecision& decision) {
  ReadParams params{.entity = request.entity,
                    .columns = request.source_schema->field_names(),
                    .where = {},
                    .cursor = is_incremental(request.mode) ? request.cursor : std::nullopt,
                    .from = decision.from,
                    .to = decision.to,
                    .limit = run.limit};
  for (const auto& where : {request.where, run.where}) {
    if (where) params.where.push_back(*where);
  }
  return params;
}

std::optional<BoundFilter> bound_filter(const EntityRequest& request,
                                        const EntityDecision& decision) {
  if (!is_incremental(request.mode) || !request.cursor) return std::nullopt;
  return BoundFilter({.entity = request.entity,
                      .cursor = *request.cursor,
                      .has_key = request.keyed(),
                      .from = decision.from,
                      .to = decision.to,
                      .known = decision.known});
}

}  // namespace tidegate::engine

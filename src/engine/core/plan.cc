#include "engine/core/plan.h"

#include <arrow/type.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

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
  r.kind = cursor_kind(*field->type());
  if (!r.kind) {
    return invalid(
        r.entity, "cursor",
        fmt::format("the column \"{}\" is {} and cannot be a cursor; candidates: {}", *r.cursor,
                    type_words(*field), candidates(info.cursor_candidates, *info.schema)),
        "bad_cursor");
  }
  const bool temporal = *r.kind == CursorKind::Timestamp || *r.kind == CursorKind::Date;
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

Status check_key(const EntityRequest& r, const EntityInfo& info) {
  for (const auto& name : r.key) TG_CHECK(need_column(r, info, name, "primaryKey"));
  if (r.mode != SyncMode::Incremental || !r.key.empty()) return {};
  return invalid(
      r.entity, "primaryKey",
      fmt::format("the mode incremental merges rows by primary key, and the source declares none. "
                  "Give the columns that are unique together{}, or use incremental_append",
                  info.key_candidates.empty()
                      ? ""
                      : fmt::format(" (candidates: {})", name_list(info.key_candidates))),
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
  return {.source = fmt::format("{}#{}", source_identity, r.entity),
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
                      "replace. Reset the job to do so, or use another table",
                      r.entity, mode_name(r.mode)),
          "reset_needed");
    }
    return {};
  }
  if (const std::string diff = differences(stored.fingerprint, r.fingerprint); !diff.empty()) {
    return fail(
        Code::Conflict,
        fmt::format("entity \"{}\": the job changed since the last run: {}. What was synced so "
                    "far does not fit it; reset the job to read everything again, or undo the "
                    "change",
                    r.entity, diff),
        "reset_needed");
  }
  if (stored.cursor && stored.cursor->kind() != *r.kind) {
    return fail(Code::Conflict,
                fmt::format("entity \"{}\": the cursor \"{}\" was {} and is {} now, which compares "
                            "differently; reset the job to read everything again",
                            r.entity, *r.cursor,
                            kCursorKindNames[static_cast<std::size_t>(stored.cursor->kind())],
                            kCursorKindNames[static_cast<std::size_t>(*r.kind)]),
                "reset_needed");
  }
  return {};
}

Status decide_incremental(const EntityRequest& r, const EntityState& stored,
                          const WriterState& found, EntityDecision& d) {
  if (stored.cursor || !stored.seen_null.empty()) {
    if (found.table_empty) {
      d.warnings.push_back(
          fmt::format("the table \"{}\" is {} although the state says otherwise; "
                      "everything was read again",
                      found.table, found.table_exists ? "empty" : "gone"));
    }
    if (!found.table_empty) {
      d.known = stored;
      d.load = r.mode == SyncMode::Incremental ? LoadKind::Merge : LoadKind::Append;
      if (stored.cursor) {
        d.from = r.lookback ? stored.cursor->minus(*r.lookback) : *stored.cursor;
      }
    }
  }
  return {};
}

// A limited run may not stand for the whole: it upserts or appends, or is refused.
Status decide_limited(const EntityRequest& r, const WriterState& found, EntityDecision& d) {
  d.advance = false;
  if (!r.key.empty() && r.mode != SyncMode::FullAppend && r.mode != SyncMode::IncrementalAppend) {
    d.load = LoadKind::Merge;
    return {};
  }
  const bool appends_once = found.table_empty || r.mode == SyncMode::FullAppend;
  if (!appends_once) {
    return fail(
        Code::Invalid,
        fmt::format(
            "entity \"{}\": a limited run must not replace the table \"{}\", and would "
            "write rows twice by appending to it. Give a primary key so that it can "
            "merge, use an empty destination, or run without a limit and a condition of its own",
            r.entity, found.table),
        "limit_refused");
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
                                   const std::string& source_identity) {
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
  r.key = effective_key(options, entity, *r.source_schema);
  TG_CHECK(check_cursor(r, entity));
  TG_CHECK(check_key(r, entity));
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
  d.epoch = std::max(found.epoch, run.reset_epoch);
  const bool reset = run.reset_epoch > found.epoch;
  const bool incremental = is_incremental(request.mode);
  if (const auto known = run.known_state.find(request.entity);
      incremental && !reset && known != run.known_state.end()) {
    TG_CHECK(check_known(known->second,
                         {found.destination_id, found.epoch, found.sequence, found.state},
                         request.entity));
  }
  d.load = request.mode == SyncMode::FullAppend ? LoadKind::Append : LoadKind::Replace;
  if (!found.state.empty() && !reset) {
    TG_TRY(const EntityState stored, decode_state(found.state));
    if (request.mode == SyncMode::FullAppend && stored.mode == SyncMode::FullAppend &&
        !run.run_id.empty() && stored.run_id == run.run_id.str() && stored.complete) {
      d.done = true;
      d.known = stored;
      return d;
    }
    if (incremental) {
      TG_CHECK(check_state(request, stored));
      if (is_incremental(stored.mode)) TG_CHECK(decide_incremental(request, stored, found, d));
    }
  }
  if (incremental) d.to = upper_bound(request, now);
  if (run.limit || run.where) TG_CHECK(decide_limited(request, found, d));
  return d;
}

}  // namespace tidegate::engine

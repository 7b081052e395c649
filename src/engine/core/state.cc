#include "engine/core/state.h"

#include <fmt/format.h>

#include "base/json.h"
#include "engine/core/rows.h"

namespace tidegate::engine {
namespace {

namespace bj = boost::json;

constexpr std::int64_t kFormat = 1;
constexpr json::Limits kLimits{.max_bytes = 8 << 20, .max_depth = 8};

bj::object to_json(const RowSet& set) {
  bj::object o;
  for (const auto& [hash, n] : set) o[hash] = n;
  return o;
}

Status read_rows(json::Reader& r, std::string_view key, RowSet& out) {
  const bj::object* o = r.child(key);
  if (o == nullptr) return {};
  for (const auto& member : *o) {
    if (!member.value().is_int64()) return fail(Code::Invalid, "a row count is no number");
    out[std::string(std::string_view(member.key()))] = member.value().get_int64();
  }
  return {};
}

// A state of before the kinds were kept lists names only: then any row may have changed.
Status read_columns(json::Reader& r, SeenColumns& out) {
  const bj::value* columns = r.raw("seenColumns");
  if (columns == nullptr) return {};
  if (columns->is_array()) {
    for (const auto& name : columns->get_array()) {
      if (name.is_string()) out[std::string(std::string_view(name.get_string()))] = kMixedKind;
    }
    return {};
  }
  if (!columns->is_object()) return fail(Code::Invalid, "the seen columns are no object");
  for (const auto& member : columns->get_object()) {
    if (!member.value().is_string()) return fail(Code::Invalid, "the kind of a column is no text");
    out[std::string(std::string_view(member.key()))] =
        std::string_view(member.value().get_string());
  }
  return {};
}

bj::object to_json(const Fingerprint& f) {
  return {{"source", f.source},
          {"columns", f.columns},
          {"where", f.where},
          {"cursor", f.cursor},
          {"key", f.key}};
}

constexpr json::TextRule kAnyText{.min = 0, .max = 1 << 20};

Fingerprint fingerprint(const bj::object& o, std::vector<FieldError>& errors) {
  json::Reader r(o, "fingerprint", errors);
  Fingerprint f;
  f.source = r.text("source", kAnyText).value_or("");
  f.columns = r.text("columns", kAnyText).value_or("");
  f.where = r.text("where", kAnyText).value_or("");
  f.cursor = r.text("cursor", kAnyText).value_or("");
  f.key = r.text("key", kAnyText).value_or("");
  return f;
}

Result<std::optional<CursorValue>> cursor(json::Reader& r) {
  const auto kind = r.one_of("cursorKind", kCursorKindNames);
  const bj::value* text = r.raw("cursor");
  if (!kind || text == nullptr || !text->is_string()) return std::nullopt;
  TG_TRY(CursorValue v,
         CursorValue::parse(static_cast<CursorKind>(*kind), std::string_view(text->get_string())));
  return v;
}

std::unexpected<Error> changed(std::string_view entity, std::string_view how) {
  return fail(
      Code::Conflict,
      fmt::format("destination changed: {} (entity \"{}\"). Restore the destination, or "
                  "reset the job (--reset, or `tidegate jobs reset`) to read everything again",
                  how, entity),
      "destination_changed");
}

}  // namespace

std::string differences(const Fingerprint& stored, const Fingerprint& now) {
  std::string out;
  const auto part = [&](std::string_view name, const std::string& a, const std::string& b) {
    if (a == b) return;
    out += fmt::format("{}{} (\"{}\" → \"{}\")", out.empty() ? "" : ", ", name, a, b);
  };
  part("source", stored.source, now.source);
  part("columns", stored.columns, now.columns);
  part("where", stored.where, now.where);
  part("cursor", stored.cursor, now.cursor);
  part("primary key", stored.key, now.key);
  return out;
}

std::string encode(const EntityState& s) {
  bj::object o{{"format", kFormat},
               {"mode", protocol::kSyncModeNames[static_cast<std::size_t>(s.mode)]},
               {"fingerprint", to_json(s.fingerprint)},
               {"run", s.run_id},
               {"complete", s.complete},
               {"rowsRead", s.rows_read},
               {"rowsWritten", s.rows_written},
               {"rowsRejected", s.rows_rejected}};
  if (s.cursor) {
    o["cursorKind"] = kCursorKindNames[static_cast<std::size_t>(s.cursor->kind())];
    o["cursor"] = s.cursor->to_string();
  }
  if (s.rows_deduplicated > 0) o["rowsDeduplicated"] = s.rows_deduplicated;
  if (s.rows_superseded > 0) o["rowsSuperseded"] = s.rows_superseded;
  if (!s.seen_at_bound.empty()) o["seenAtBound"] = to_json(s.seen_at_bound);
  if (!s.seen_null.empty()) o["seenNull"] = to_json(s.seen_null);
  if (s.seen_dropped) o["seenDropped"] = true;
  if (!s.seen_columns.empty()) {
    bj::object columns;
    for (const auto& [name, kind] : s.seen_columns) columns[name] = kind;
    o["seenColumns"] = std::move(columns);
  }
  return json::write(o);
}

Result<EntityState> decode_state(std::string_view text) {
  TG_TRY(const bj::value v, json::parse(text, kLimits));
  if (!v.is_object()) return fail(Code::Invalid, "it is not a JSON object");
  std::vector<FieldError> errors;
  json::Reader r(v.get_object(), "", errors);
  if (const auto format = r.integer("format", {.required = true}); format && *format > kFormat) {
    return fail(Code::Unsupported,
                "the destination's state was written by a newer Tidegate; update this one");
  }
  EntityState s;
  if (const auto mode = r.one_of("mode", protocol::kSyncModeNames)) {
    s.mode = static_cast<protocol::SyncMode>(*mode);
  }
  if (const bj::object* f = r.child("fingerprint")) s.fingerprint = fingerprint(*f, errors);
  s.run_id = r.text("run", kAnyText).value_or("");
  s.complete = r.boolean("complete").value_or(true);
  s.rows_read = r.integer("rowsRead").value_or(0);
  s.rows_written = r.integer("rowsWritten").value_or(0);
  s.rows_rejected = r.integer("rowsRejected").value_or(0);
  s.rows_deduplicated = r.integer("rowsDeduplicated").value_or(0);
  s.rows_superseded = r.integer("rowsSuperseded").value_or(0);
  TG_TRY(s.cursor, cursor(r));
  TG_CHECK(read_rows(r, "seenAtBound", s.seen_at_bound));
  TG_CHECK(read_rows(r, "seenNull", s.seen_null));
  TG_CHECK(read_columns(r, s.seen_columns));
  s.seen_dropped = r.boolean("seenDropped").value_or(false);
  if (!errors.empty()) {
    return fail(Error{Code::Invalid, "a field of it is not what it should be", "bad_state",
                      std::move(errors)});
  }
  return s;
}

Status check_known(const protocol::KnownState& known, const DestinationFacts& found,
                   std::string_view entity) {
  if (known.destination_id.empty()) return {};
  if (found.destination_id != known.destination_id) {
    return changed(entity, found.destination_id.empty()
                               ? "it holds no state of this job any more"
                               : "it is not the one the last run wrote to");
  }
  if (found.epoch < known.epoch) return changed(entity, "it went back to before the last reset");
  if (found.epoch > known.epoch) return {};  // a reset was committed and its report was lost
  if (found.sequence < known.sequence) {
    return changed(
        entity, fmt::format("it went back from commit {} to {}", known.sequence, found.sequence));
  }
  if (found.sequence == known.sequence && found.state != known.state) {
    return changed(entity, "its state is not the one of the last commit");
  }
  return {};
}

}  // namespace tidegate::engine

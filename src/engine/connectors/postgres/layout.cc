#include "engine/connectors/postgres/layout.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "engine/core/plan.h"
#include "engine/core/schema.h"
#include "engine/core/selection.h"

namespace tidegate::engine::postgres {
namespace {

using protocol::SchemaChange;

constexpr std::size_t kMaxColumns = 1600, kNameBytes = 63;
constexpr std::string_view kPrimaryKey = "_tidegate_pk_";

std::unexpected<Error> refused(const Place& place, const std::string& what,
                               std::string_view remedy) {
  return fail(Code::Invalid, fmt::format("table \"{}\": {}; {}", place.table, what, remedy),
              "schema_change");
}

bool same_columns(std::vector<std::string> a, std::vector<std::string> b) {
  std::ranges::sort(a);
  std::ranges::sort(b);
  return a == b;
}

Status check_names(const Place& place, const LoadPlan& load) {
  constexpr const char* kRemedy =
      "rename it in the source, or leave it out (`columns` of the entity)";
  static constexpr std::string_view kSystem[] = {"tableoid", "xmin", "cmin",
                                                 "xmax",     "cmax", "ctid"};
  for (const auto& field : load.schema->fields()) {
    const std::string& name = field->name();
    if (std::ranges::count(load.schema->field_names(), name) > 1) {
      return refused(place, fmt::format("the column \"{}\" is there twice", name), kRemedy);
    }
    const bool reserved = name != kLoadIdColumn && name.starts_with("_tidegate_");
    if (reserved || std::ranges::find(kSystem, name) != std::end(kSystem)) {
      return refused(place, fmt::format("the name of the column \"{}\" is reserved", name),
                     kRemedy);
    }
    if (name.empty() || name.size() > kNameBytes) {
      return refused(
          place,
          fmt::format("the name of the column \"{}\" is {}", clip(name, 80),
                      name.empty() ? "empty" : "longer than the 63 bytes that PostgreSQL keeps"),
          kRemedy);
    }
  }
  return {};
}

Status add_column(const Place& place, SchemaChange mode, DestinationColumn column, bool needed,
                  LayoutChange& change, bool& skipped) {
  const std::string what =
      fmt::format("column \"{}\" ({}) is new", column.name, column.type.declared);
  if (mode == SchemaChange::Fail) {
    return refused(place, what,
                   "schemaChange (--schema-change) is `fail`: add it by hand, or set `evolve`");
  }
  skipped = mode == SchemaChange::Ignore && !needed;
  change.sentences.push_back(fmt::format("{}; {}", what, skipped ? "ignored" : "added"));
  if (!skipped) change.added.push_back(std::move(column));
  return {};
}

Status change_type(const Place& place, const LoadPlan& load, const TargetType& incoming,
                   DestinationColumn& column, LayoutChange& change) {
  if (holds(column.type, incoming)) {
    if (column.type.kind == Target::Text && incoming.kind == Target::Jsonb) {
      change.sentences.push_back(fmt::format("column \"{}\" is text and gets JSON", column.name));
    }
    return {};
  }
  const std::string what = fmt::format("column \"{}\" was {} and is {} now", column.name,
                                       column.type.declared, incoming.declared);
  if (load.schema_change == SchemaChange::Fail) {
    return refused(place, what,
                   "schemaChange (--schema-change) is `fail`: adapt the table, or set `evolve`");
  }
  if (load.schema_change == SchemaChange::Ignore) {
    change.sentences.push_back(what + "; ignored, values that do not fit are rejected");
    return {};
  }
  const auto wide = widen(column.type, incoming);
  if (!wide) {
    return refused(place, what,
                   "no type holds both; exclude the column, or drop it in the destination");
  }
  change.sentences.push_back(fmt::format("{}; widened to {}", what, wide->declared));
  column.type = *wide;
  change.widened.push_back(column);
  return {};
}

Status note_missing(const Place& place, const TableLayout& now, const LoadPlan& load,
                    LayoutChange& change) {
  for (const DestinationColumn& c : now.columns) {
    if (load.schema->GetFieldIndex(c.name) >= 0 || c.name == kLoadIdColumn) continue;
    const std::string what = fmt::format("column \"{}\" is not in the source", c.name);
    if (load.schema_change == SchemaChange::Fail) {
      return refused(place, what,
                     "schemaChange (--schema-change) is `fail`: drop it by hand, or set `evolve`");
    }
    change.sentences.push_back(what + "; kept, new rows hold its default or NULL");
  }
  return {};
}

// A key that is not the load's would refuse its rows.
Status plan_key(const Place& place, const TableLayout& now, const LoadPlan& load,
                LayoutChange& change) {
  change.key = load.key;
  if (!now.primary_key.empty() && !same_columns(now.primary_key, load.key)) {
    if (!now.primary_key_name.starts_with(kPrimaryKey)) {
      return refused(
          place,
          fmt::format("its primary key is {} and this load has {}", name_list(now.primary_key),
                      load.key.empty() ? "no key" : name_list(load.key)),
          "the key is not Tidegate's: alter it by hand, or use a mode with that key (--key)");
    }
    change.drop_primary_key = true;
    change.sentences.push_back(
        load.key.empty()
            ? fmt::format("the primary key ({}) was dropped", name_list(now.primary_key))
            : fmt::format("the primary key is {} now", name_list(load.key)));
  }
  const bool unique =
      same_columns(now.primary_key, load.key) ||
      std::ranges::any_of(now.unique, [&](const auto& u) { return same_columns(u, load.key); });
  change.add_primary_key = !load.key.empty() && !unique;
  return {};
}

std::string definition(const Connection& db, const DestinationColumn& column) {
  return fmt::format("{} {}", db.identifier(column.name), column.type.declared);
}

}  // namespace

std::string qualified(const Connection& db, const Place& place) {
  return db.identifier(place.schema) + "." + db.identifier(place.table);
}

Result<std::string> own_key_name(Connection& db, const Place& place) {
  for (int i = 1;; ++i) {
    std::string name =
        short_name(kPrimaryKey, i == 1 ? place.table : fmt::format("{}_{}", place.table, i));
    TG_TRY(const Rows taken,
           db.query("SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
                    "n.nspname = $1 AND c.relname = $2",
                    {place.schema, name}));
    if (taken.size() == 0) return name;
  }
}

const DestinationColumn* TableLayout::find(std::string_view name) const {
  const auto at = std::ranges::find(columns, name, &DestinationColumn::name);
  return at == columns.end() ? nullptr : &*at;
}

std::string short_name(std::string_view prefix, std::string_view name) {
  std::string whole = fmt::format("{}{}", prefix, name);
  if (whole.size() <= kNameBytes) return whole;
  return fmt::format("{}_{:016x}", clip(whole, kNameBytes - 17), fnv1a(name));
}

std::string column_list(const Connection& db, const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + db.identifier(name);
  return out;
}

Result<TableLayout> read_layout(Connection& db, const Place& place) {
  TableLayout layout;
  TG_TRY(
      const Rows table,
      db.query("SELECT c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = "
               "c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', "
               "'v', 'm', 'f', 'S')",
               {place.schema, place.table}));
  if (table.size() == 0) return layout;
  if (table.text(0, 1) != "r" && table.text(0, 1) != "p") {
    return refused(place, "it is no table (a view, a sequence or a foreign table)",
                   "choose another destination or rename the entity");
  }
  layout.exists = true;
  layout.partitioned = table.text(0, 1) == "p";
  const std::string oid(table.text(0, 0));
  TG_TRY(const Rows referring,
         db.query("SELECT string_agg(DISTINCT conrelid::regclass::text, ', ') FROM pg_constraint "
                  "WHERE confrelid = $1::oid AND conrelid <> confrelid AND conparentid = 0",
                  {oid}));
  layout.referenced_by = referring.text(0, 0);
  TG_TRY(const Rows columns,
         db.query(
             "SELECT attname, format_type(atttypid, atttypmod), attgenerated <> '', typtype = 'e' "
             "FROM pg_attribute JOIN pg_type t ON t.oid = atttypid WHERE attrelid = $1::oid AND "
             "attnum > 0 AND NOT attisdropped ORDER BY attnum",
             {oid}));
  for (int i = 0; i < columns.size(); ++i) {
    std::string name(columns.text(i, 0));
    if (columns.flag(i, 2)) {
      layout.computed.push_back(std::move(name));
      continue;
    }
    TargetType type = from_declared(columns.text(i, 1));
    if (columns.flag(i, 3)) type.kind = Target::Parsed;
    layout.columns.push_back({std::move(name), std::move(type)});
  }
  TG_TRY(
      const Rows keys,
      db.query("SELECT i.indexrelid, i.indisprimary, x.relname, a.attname FROM pg_index i JOIN "
               "pg_class x ON x.oid = i.indexrelid CROSS JOIN LATERAL unnest(i.indkey::int2[]) "
               "WITH ORDINALITY AS k(attnum, place) JOIN pg_attribute a ON a.attrelid = i.indrelid "
               "AND a.attnum = k.attnum WHERE i.indrelid = $1::oid AND i.indisunique AND "
               "i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND "
               "k.place <= i.indnkeyatts ORDER BY i.indexrelid, k.place",
               {oid}));
  std::string last;
  for (int i = 0; i < keys.size(); ++i) {
    if (keys.text(i, 0) != last) layout.unique.emplace_back();
    last = keys.text(i, 0);
    layout.unique.back().emplace_back(keys.text(i, 3));
    if (!keys.flag(i, 1)) continue;
    layout.primary_key.emplace_back(keys.text(i, 3));
    layout.primary_key_name = keys.text(i, 2);
  }
  TG_TRY(const Rows rows,
         db.query(fmt::format("SELECT EXISTS (SELECT 1 FROM {})", qualified(db, place))));
  layout.empty = !rows.flag(0, 0);
  return layout;
}

Result<LayoutChange> plan_layout(const Place& place, const TableLayout& now, const LoadPlan& load) {
  LayoutChange change;
  TG_CHECK(check_names(place, load));
  if (load.kind == LoadKind::Replace && !now.referenced_by.empty()) {
    return fail(Code::Invalid,
                fmt::format("table \"{}\": foreign keys of {} refer to its rows, which a full load "
                            "would replace; use `incremental` with a key (--incremental --key), or "
                            "drop the foreign keys",
                            place.table, now.referenced_by),
                "table_referenced");
  }
  change.create = !now.exists;
  std::size_t count = now.columns.size();
  for (int i = 0; i < load.schema->num_fields(); ++i) {
    const arrow::Field& field = *load.schema->field(i);
    TG_TRY(const TargetType incoming, target_type(field));
    DestinationColumn column{field.name(), incoming};
    bool skipped = false;
    if (std::ranges::count(now.computed, field.name()) > 0) {
      return refused(place,
                     fmt::format("the column \"{}\" is computed by the database", field.name()),
                     "leave it out (`columns` of the entity)");
    }
    if (change.create) {
      change.columns.push_back(column);
    } else if (const DestinationColumn* there = now.find(field.name()); there == nullptr) {
      const bool needed = std::ranges::find(load.key, field.name()) != load.key.end() ||
                          field.name() == kLoadIdColumn;
      TG_CHECK(add_column(place, load.schema_change, column, needed, change, skipped));
      count += skipped ? 0 : 1;
    } else {
      column = *there;
      // Without any value it fits every other.
      if (field.type()->id() != arrow::Type::NA)
        TG_CHECK(change_type(place, load, incoming, column, change));
    }
    if (skipped) continue;
    change.written.push_back(column);
    change.staged.push_back(incoming);
    change.fields.push_back(i);
  }
  if (std::max(count, change.columns.size()) > kMaxColumns) {
    return refused(place,
                   fmt::format("it would have {} columns, and PostgreSQL takes at most {}",
                               std::max(count, change.columns.size()), kMaxColumns),
                   "leave some out (`columns` of the entity)");
  }
  // Their rows wait in a table that numbers them.
  if (load.kind != LoadKind::Replace && change.written.size() == kMaxColumns) {
    return refused(place,
                   fmt::format("a load that merges or appends writes at most {} columns, and this "
                               "one has {}",
                               kMaxColumns - 1, kMaxColumns),
                   "leave one out (`columns` of the entity), or use the mode `full`");
  }
  if (change.create) {
    change.key = load.key;
    return change;
  }
  TG_CHECK(note_missing(place, now, load, change));
  TG_CHECK(plan_key(place, now, load, change));
  return change;
}

Status apply_layout(Connection& db, const Place& place, const TableLayout& now,
                    const LayoutChange& change) {
  const std::string table = qualified(db, place);
  if (change.create) {
    std::string sql;
    for (const auto& c : change.columns) sql += (sql.empty() ? "" : ", ") + definition(db, c);
    if (!change.key.empty()) {
      TG_TRY(const std::string name, own_key_name(db, place));
      sql += fmt::format(", CONSTRAINT {} PRIMARY KEY ({})", db.identifier(name),
                         column_list(db, change.key));
    }
    return db.exec(fmt::format("CREATE TABLE {} ({})", table, sql));
  }
  if (change.drop_primary_key) {
    TG_CHECK(db.exec(fmt::format("ALTER TABLE {} DROP CONSTRAINT {}", table,
                                 db.identifier(now.primary_key_name))));
    // The key stays what no load ever left empty; another one may.
    for (const auto& name : now.primary_key) {
      TG_CHECK(db.exec(
          fmt::format("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL", table, db.identifier(name))));
    }
  }
  std::string steps;
  for (const auto& c : change.added)
    steps += fmt::format("{}ADD COLUMN {}", steps.empty() ? "" : ", ", definition(db, c));
  for (const auto& c : change.widened) {
    steps +=
        fmt::format("{}ALTER COLUMN {} TYPE {} USING {}::{}", steps.empty() ? "" : ", ",
                    db.identifier(c.name), c.type.declared, db.identifier(c.name), c.type.declared);
  }
  if (!steps.empty()) TG_CHECK(db.exec(fmt::format("ALTER TABLE {} {}", table, steps)));
  if (!change.add_primary_key) return {};
  TG_TRY(const std::string name, own_key_name(db, place));
  return db.exec(fmt::format("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})", table,
                             db.identifier(name), column_list(db, change.key)));
}

}  // namespace tidegate::engine::postgres

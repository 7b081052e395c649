#include "engine/connectors/duckdb/layout.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "engine/core/plan.h"
#include "engine/core/schema.h"
#include "engine/core/selection.h"

namespace tidegate::engine::duckdb {
namespace {

using protocol::SchemaChange;

std::unexpected<Error> refused(const std::string& table, const std::string& what,
                               std::string_view remedy) {
  return fail(Code::Invalid, fmt::format("table \"{}\": {}; {}", table, what, remedy),
              "schema_change");
}

Status check_names(const std::string& table, const LoadPlan& load) {
  constexpr const char* kRemedy =
      "rename it in the source, or leave it out (`columns` of the entity)";
  const std::vector<std::string> names = load.schema->field_names();
  for (const std::string& name : names) {
    if (std::ranges::count_if(names, [&](const auto& n) { return same_name(n, name); }) > 1) {
      return refused(table, fmt::format("the column \"{}\" is there twice", name), kRemedy);
    }
    const bool reserved = name != kLoadIdColumn && ascii_lower(name).starts_with("_tidegate_");
    if (reserved || same_name(name, "rowid")) {
      return refused(table, fmt::format("the name of the column \"{}\" is reserved", name),
                     kRemedy);
    }
    if (name.empty()) return refused(table, "the name of a column is empty", kRemedy);
  }
  return {};
}

Status add_column(const std::string& table, SchemaChange mode, const TableColumn& column,
                  bool needed, LayoutChange& change, bool& skipped) {
  const std::string what =
      fmt::format("column \"{}\" ({}) is new", column.name, column.type.declared);
  if (mode == SchemaChange::Fail) {
    return refused(table, what,
                   "schemaChange (--schema-change) is `fail`: add it by hand, or set `evolve`");
  }
  skipped = mode == SchemaChange::Ignore && !needed;
  change.sentences.push_back(fmt::format("{}; {}", what, skipped ? "ignored" : "added"));
  if (skipped) return {};
  change.added.push_back(column);
  change.columns.push_back(column);
  return {};
}

Status change_type(const std::string& table, const LoadPlan& load, const ColumnType& incoming,
                   TableColumn& column, LayoutChange& change) {
  if (holds(column.type, incoming)) {
    if (column.type.kind == Kind::Text && incoming.kind == Kind::Json) {
      change.sentences.push_back(fmt::format("column \"{}\" is text and gets JSON", column.name));
    }
    return {};
  }
  if (may_hold(column.type, incoming)) return {};
  const std::string what = fmt::format("column \"{}\" was {} and is {} now", column.name,
                                       column.type.declared, incoming.declared);
  if (load.schema_change == SchemaChange::Fail) {
    return refused(table, what,
                   "schemaChange (--schema-change) is `fail`: adapt the table, or set `evolve`");
  }
  if (load.schema_change == SchemaChange::Ignore) {
    change.sentences.push_back(what + "; ignored, values that do not fit are rejected");
    return {};
  }
  const auto wide = widen(column.type, incoming);
  if (!wide) {
    return refused(table, what,
                   "no type holds both; exclude the column, or drop it in the destination");
  }
  change.sentences.push_back(fmt::format("{}; widened to {}", what, wide->declared));
  column.type = *wide;
  change.widened.push_back(column);
  *std::ranges::find(change.columns, column.name, &TableColumn::name) = column;
  return {};
}

Status note_missing(const std::string& table, const TableLayout& now, const LoadPlan& load,
                    LayoutChange& change) {
  for (const TableColumn& c : now.columns) {
    const bool there = std::ranges::any_of(
        load.schema->fields(), [&](const auto& f) { return same_name(f->name(), c.name); });
    if (there || c.name == kLoadIdColumn) continue;
    const std::string what = fmt::format("column \"{}\" is not in the source", c.name);
    if (load.schema_change == SchemaChange::Fail) {
      return refused(table, what,
                     "schemaChange (--schema-change) is `fail`: drop it by hand, or set `evolve`");
    }
    change.sentences.push_back(what + "; kept, new rows hold its default or NULL");
  }
  return {};
}

std::string definition(const TableColumn& c) {
  return fmt::format("{} {}", quote(c.name), c.type.declared);
}

// Anything that a CREATE TABLE of ours does not say.
std::string count_own_rules() {
  constexpr const char* kHere = "database_name = current_database() AND schema_name = 'main'";
  return fmt::format(
      "SELECT (SELECT count(*) FROM duckdb_constraints() WHERE {0} AND ({1} = $1 OR {2} = $1)) + "
      "(SELECT count(*) FROM duckdb_indexes() WHERE {0} AND {1} = $1) + (SELECT count(*) FROM "
      "duckdb_columns() WHERE {0} AND {1} = $1 AND (column_default IS NOT NULL OR comment IS NOT "
      "NULL)) + (SELECT count(*) FROM duckdb_tables() WHERE {0} AND {1} = $1 AND (comment IS NOT "
      "NULL OR contains(sql, ' COLLATE ')))",
      kHere, folded("table_name"), folded("coalesce(referenced_table, '')"));
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) { return ascii_lower(a) == ascii_lower(b); }

const TableColumn* TableLayout::find(std::string_view name) const {
  const auto at =
      std::ranges::find_if(columns, [&](const auto& c) { return same_name(c.name, name); });
  return at == columns.end() ? nullptr : &*at;
}

Result<TableLayout> read_layout(Db& db, const std::string& table) {
  TableLayout layout;
  TG_TRY(const Rows view,
         db.query(fmt::format("SELECT count(*) FROM duckdb_views() WHERE database_name = "
                              "current_database() AND schema_name = 'main' AND {} = $1",
                              folded("view_name")),
                  {ascii_lower(table)}));
  if (view.integer(0, 0) > 0) {
    return refused(table, "it is a view", "choose another destination or rename the entity");
  }
  // A generated column has its expression in place of a default; only the table's SQL tells.
  TG_TRY(const Rows columns,
         db.query(fmt::format(
                      "SELECT c.column_name, c.data_type, c.is_nullable, c.column_default IS NOT "
                      "NULL AND regexp_matches(t.sql, '[(, ]\"?' || "
                      "regexp_escape(replace(c.column_name, '\"', '\"\"')) || '\"? ' || "
                      "regexp_escape(c.data_type) || ' GENERATED ALWAYS') FROM duckdb_columns() c "
                      "JOIN duckdb_tables() t USING (database_name, schema_name, table_name) WHERE "
                      "c.database_name = current_database() AND c.schema_name = 'main' AND {} = $1 "
                      "ORDER BY c.column_index",
                      folded("c.table_name")),
                  {ascii_lower(table)}));
  if (columns.size() == 0) return layout;
  layout.exists = true;
  for (std::int64_t i = 0; i < columns.size(); ++i) {
    if (columns.flag(i, 3)) continue;
    layout.columns.push_back(
        {columns.text(i, 0), from_declared(columns.text(i, 1)), !columns.flag(i, 2)});
  }
  TG_TRY(const Rows rules, db.query(count_own_rules(), {ascii_lower(table)}));
  layout.own_rules = rules.integer(0, 0) > 0;
  TG_TRY(const Rows rows,
         db.query(fmt::format("SELECT EXISTS (SELECT 1 FROM main.{})", quote(table))));
  layout.empty = !rows.flag(0, 0);
  return layout;
}

Result<LayoutChange> plan_layout(const std::string& table, const TableLayout& now,
                                 const LoadPlan& load) {
  LayoutChange change;
  TG_CHECK(check_names(table, load));
  change.create = !now.exists;
  change.columns = now.columns;
  for (int i = 0; i < load.schema->num_fields(); ++i) {
    const arrow::Field& field = *load.schema->field(i);
    TG_TRY(const ColumnType incoming, target_type(field));
    TableColumn column{field.name(), incoming};
    bool skipped = false;
    if (change.create) {
      change.columns.push_back(column);
    } else if (const TableColumn* there = now.find(field.name()); there == nullptr) {
      const bool needed = std::ranges::find(load.key, field.name()) != load.key.end() ||
                          field.name() == kLoadIdColumn;
      TG_CHECK(add_column(table, load.schema_change, column, needed, change, skipped));
    } else {
      column = *there;
      // Without any value it fits every other.
      if (field.type()->id() != arrow::Type::NA)
        TG_CHECK(change_type(table, load, incoming, column, change));
    }
    if (skipped) continue;
    change.written.push_back(column);
    change.handed.push_back(incoming);
    change.fields.push_back(i);
  }
  if (change.create) return change;
  TG_CHECK(note_missing(table, now, load, change));
  const bool changed = !change.added.empty() || !change.widened.empty();
  if (changed && load.kind == LoadKind::Replace && now.own_rules) {
    return refused(table, change.sentences.front(),
                   "the table has constraints, indexes, defaults or comments of your own: alter it "
                   "by hand, or set schemaChange (--schema-change) to `ignore`");
  }
  return change;
}

Status create_table(Db& db, const std::string& table, const std::vector<TableColumn>& columns) {
  std::string sql;
  for (const auto& c : columns) sql += (sql.empty() ? "" : ", ") + definition(c);
  return db.exec(fmt::format("CREATE TABLE main.{} ({})", quote(table), sql));
}

Status apply_layout(Db& db, const std::string& table, const LayoutChange& change) {
  if (change.create) return create_table(db, table, change.columns);
  for (const auto& c : change.added) {
    TG_CHECK(
        db.exec(fmt::format("ALTER TABLE main.{} ADD COLUMN {}", quote(table), definition(c))));
  }
  for (const auto& c : change.widened) {
    TG_CHECK(db.exec(fmt::format("ALTER TABLE main.{} ALTER COLUMN {} SET DATA TYPE {}",
                                 quote(table), quote(c.name), c.type.declared)));
  }
  return {};
}

}  // namespace tidegate::engine::duckdb

#include "engine/connectors/sqlite/layout.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "engine/connectors/sqlite/cells.h"
#include "engine/connectors/sqlite/table_sql.h"
#include "engine/core/plan.h"
#include "engine/core/selection.h"

namespace tidegate::engine::sqlite {
namespace {

using protocol::SchemaChange;

// SQLITE_MAX_COLUMN as SQLite is built by default (https://www.sqlite.org/limits.html).
constexpr std::size_t kMaxColumns = 2000;

std::string key_index(const std::string& table) { return "_tidegate_key_" + table; }

bool same_columns(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return a.size() == b.size() && std::ranges::all_of(a, [&](const auto& x) {
           return std::ranges::any_of(b, [&](const auto& y) { return same_name(x, y); });
         });
}

std::unexpected<Error> refused(const std::string& table, const std::string& what,
                               std::string_view remedy) {
  return fail(Code::Invalid, fmt::format("table \"{}\": {}; {}", table, what, remedy),
              "schema_change");
}

constexpr const char* kOwnDefinitions =
    "the table has definitions of its own (constraints, defaults) that a rebuild would lose";

std::unexpected<Error> other_key(const std::string& table, const TableLayout& now,
                                 const LoadPlan& load) {
  return refused(
      table,
      fmt::format("its primary key is {} and this load has {}", name_list(now.primary_key),
                  load.key.empty() ? "no key" : name_list(load.key)),
      fmt::format("{}: alter it by hand, or use a mode with that key (--key)", kOwnDefinitions));
}

void redeclare(TableColumn& column, const ColumnType& type, std::string sentence,
               LayoutChange& change) {
  change.sentences.push_back(std::move(sentence));
  column.type = type;
  column.declared = to_declared(type);
  change.rebuild = true;
}

// The column's type takes the field; its declaration must also leave the values alone.
Status keep_type(const std::string& table, const TableLayout& now, const LoadPlan& load,
                 const ColumnType& incoming, TableColumn& column, LayoutChange& change) {
  if (column.type.kind == Kind::Text && incoming.kind == Kind::Json) {
    change.sentences.push_back(fmt::format(
        "column \"{}\" is text and gets JSON; a JSON string is written as the text it holds",
        column.name));
  }
  const bool any = column.type.kind == Kind::Any;
  // ANY of a STRICT table changes nothing.
  if ((any && now.strict) || keeps(column.declared, incoming)) return {};
  const bool rows_stay = load.kind != LoadKind::Replace && !now.empty;
  const ColumnType type = !any ? column.type : rows_stay ? ColumnType{Kind::Text} : incoming;
  const std::string what = fmt::format(
      "column \"{}\" is declared {}, by which SQLite stores {}", column.name, column.declared,
      incoming.kind == Kind::Decimal ? "decimals with 15 digits" : "text like 007 as a number");
  if (load.schema_change != SchemaChange::Evolve) {
    return refused(
        table, what,
        fmt::format("declare it {} by hand, or set schemaChange (--schema-change) to `evolve`",
                    to_declared(type)));
  }
  if (!now.plain) {
    return refused(table, what,
                   fmt::format("declare it {} by hand: {}", to_declared(type), kOwnDefinitions));
  }
  redeclare(column, type, fmt::format("{}; declared {} now", what, to_declared(type)), change);
  return {};
}

// What to do about one field whose type the column does not take.
Status change_type(const std::string& table, const TableLayout& now, const LoadPlan& load,
                   const arrow::Field& field, const ColumnType& incoming, TableColumn& column,
                   LayoutChange& change) {
  if (incoming.kind == Kind::None) return {};
  const SchemaChange mode = load.schema_change;
  const auto wide = widen(column.type, incoming);
  const std::string what = fmt::format("column \"{}\" was {} and is {} now", column.name,
                                       words(column.type), words(incoming));
  // A whole number of 64 bits may have no exact form among floating-point numbers.
  const bool inexact = column.type.kind == Kind::Real && field.type()->id() == arrow::Type::INT64;
  if ((!wide || inexact) && load.kind == LoadKind::Replace && now.ours &&
      mode == SchemaChange::Evolve) {
    redeclare(column, incoming, what + "; changed, because a full load replaces every row", change);
    return {};
  }
  if (wide && *wide == column.type) return keep_type(table, now, load, incoming, column, change);
  if (mode == SchemaChange::Fail) {
    return refused(table, what,
                   "schemaChange (--schema-change) is `fail`: adapt the table, or set `evolve`");
  }
  if (!wide) {
    return refused(table, what,
                   "no type holds both; exclude the column, or drop it in the destination");
  }
  if (mode == SchemaChange::Ignore) {
    change.sentences.push_back(
        fmt::format("{}; ignored, values that do not fit are rejected", what));
    return {};
  }
  redeclare(column, *wide, fmt::format("{}; widened to {}", what, words(*wide)), change);
  return {};
}

// Names that SQLite would refuse in its own words, or take for one another.
Status check_names(const std::string& table, const LoadPlan& load) {
  constexpr const char* kRemedy =
      "rename it in the source, or leave it out (`columns` of the entity)";
  const auto& fields = load.schema->fields();
  for (auto field = fields.begin(); field != fields.end(); ++field) {
    const std::string& name = (*field)->name();
    const auto before = std::find_if(fields.begin(), field,
                                     [&](const auto& f) { return same_name(f->name(), name); });
    if (before != field && name == kLoadIdColumn) {
      return refused(table, fmt::format("full_append adds the column \"{}\" itself", name),
                     kRemedy);
    }
    if (before != field) {
      return refused(table,
                     fmt::format("the columns \"{}\" and \"{}\" are one name to SQLite",
                                 (*before)->name(), name),
                     "rename one of them in the source, or leave it out (`columns` of the entity)");
    }
    if (name != kLoadIdColumn && same_name(std::string_view(name).substr(0, 10), "_tidegate_")) {
      return refused(table, fmt::format("the name of the column \"{}\" is reserved", name),
                     kRemedy);
    }
  }
  return {};
}

Status add_column(const std::string& table, SchemaChange mode, TableColumn column, bool needed,
                  LayoutChange& change, bool& skipped) {
  const std::string what =
      fmt::format("column \"{}\" ({}) is new", column.name, words(column.type));
  if (mode == SchemaChange::Fail) {
    return refused(table, what,
                   "schemaChange (--schema-change) is `fail`: add it by hand, or set `evolve`");
  }
  skipped = mode == SchemaChange::Ignore && !needed;
  change.sentences.push_back(fmt::format("{}; {}", what, skipped ? "ignored" : "added"));
  if (!skipped) {
    change.wanted.columns.push_back(column);
    change.added.push_back(std::move(column));
  }
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
    change.sentences.push_back(what + "; kept, new rows hold NULL");
  }
  return {};
}

// Old values in the form that new ones are written in, so that a key meets its row again.
std::string cast(const TableColumn& from, const TableColumn& to) {
  std::string name = quote(from.name);
  if (from.type == to.type && from.declared == to.declared) return name;
  const Kind was = from.type.kind;
  switch (to.type.kind) {
    case Kind::Decimal:
      return fmt::format("tidegate_decimal_text({}, {})", name, to.type.scale);
    case Kind::Json:
      return fmt::format("tidegate_text({})", name);
    case Kind::Text:
      if (was == Kind::Bool) return fmt::format("tidegate_bool_text({})", name);
      if (was == Kind::Json) return fmt::format("tidegate_plain_json({})", name);
      if (was == Kind::Decimal)
        return fmt::format("tidegate_decimal_text({}, {})", name, from.type.scale);
      return fmt::format("tidegate_text({})", name);
    case Kind::Timestamp:
      return was == Kind::Date ? fmt::format("{} || ' 00:00:00'", name) : name;
    default:
      return name;
  }
}

// Whole numbers beyond 2^53 have no exact form among floating-point numbers.
Status check_exact(Db& db, const std::string& table, const TableColumn& from,
                   const TableColumn& to) {
  if (from.type.kind != Kind::Int || to.type.kind != Kind::Real) return {};
  TG_TRY(const std::int64_t large,
         db.integer(
             fmt::format("SELECT EXISTS (SELECT 1 FROM {0} WHERE {1} > 9007199254740992 OR {1} < "
                         "-9007199254740992)",
                         quote(table), quote(from.name))));
  if (large == 0) return {};
  return refused(
      table,
      fmt::format("column \"{}\" holds whole numbers that would lose digits as fractions",
                  from.name),
      "make the column text by hand, or set schemaChange (--schema-change) to `ignore`");
}

// SQLite cannot change a column's type or key in place (https://www.sqlite.org/lang_altertable.html
// §7): a new table takes the rows and the name; indexes and triggers are made again, views look the
// name up when they are used.
Status rebuild(Db& db, const std::string& table, const LayoutChange& change) {
  TG_TRY(const TableLayout old, read_layout(db, table));
  TG_TRY(Stmt others,
         db.prepare("SELECT sql FROM sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE AND "
                    "type IN ('index', 'trigger') AND sql IS NOT NULL AND name <> ?2"));
  others.bind(1, table).bind(2, key_index(table));
  std::vector<std::string> again;
  for (;;) {
    TG_TRY(const bool row, others.step());
    if (!row) break;
    again.push_back(others.text(0));
  }
  others = Stmt();
  const std::string fresh = "_tidegate_new_" + table;
  TG_CHECK(db.exec(create_sql(fresh, change.wanted)));
  std::string from;
  std::string to;
  for (const TableColumn& c : old.columns) {
    const TableColumn* target = change.wanted.find(c.name);
    from += (from.empty() ? "" : ", ") + cast(c, *target);
    to += (to.empty() ? "" : ", ") + quote(target->name);
  }
  if (Status copied = db.exec(fmt::format("INSERT INTO {} ({}) SELECT {} FROM {}", quote(fresh), to,
                                          from, quote(table)));
      !copied) {
    if ((sqlite3_errcode(db.raw()) & 0xFF) != SQLITE_CONSTRAINT) return copied;
    return refused(table,
                   fmt::format("the rows there do not go into the table with its new types ({})",
                               copied.error().message),
                   "reset the job (--reset, or `tidegate jobs reset`) to load the table again");
  }
  TG_CHECK(db.exec(fmt::format("DROP TABLE {}", quote(table))));
  TG_CHECK(db.exec(fmt::format("ALTER TABLE {} RENAME TO {}", quote(fresh), quote(table))));
  for (const auto& sql : again) TG_CHECK(db.exec(sql));
  return {};
}

// A unique index over exactly these columns, other than the primary key.
Result<bool> has_unique_index(Db& db, const std::string& table,
                              const std::vector<std::string>& key) {
  TG_TRY(Stmt list,
         db.prepare("SELECT name FROM pragma_index_list(?1) WHERE \"unique\" AND NOT partial"));
  list.bind(1, table);
  for (;;) {
    TG_TRY(const bool row, list.step());
    if (!row) return false;
    TG_TRY(Stmt columns, db.prepare("SELECT coalesce(name, '') FROM pragma_index_info(?1)"));
    columns.bind(1, list.text(0));
    std::vector<std::string> names;
    for (;;) {
      TG_TRY(const bool column, columns.step());
      if (!column) break;
      names.push_back(columns.text(0));
    }
    if (same_columns(names, key)) return true;
  }
}

// The index of that name would be taken for the table, or be dropped for it.
Status check_name_is_free(Db& db, const std::string& table, const std::string& index) {
  TG_TRY(Stmt there, db.prepare("SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index' AND "
                                "name = ?1 COLLATE NOCASE AND tbl_name <> ?2 COLLATE NOCASE"));
  there.bind(1, index).bind(2, table);
  TG_TRY(const bool found, there.step());
  if (!found) return {};
  return refused(table,
                 fmt::format("there is already an index named \"{}\", of the table \"{}\"",
                             there.text(0), there.text(1)),
                 "drop that index or make it again under another name, or choose another "
                 "destination");
}

// NULLs are no equals to a unique index, and a column that is new has no other values.
Status check_unique(Db& db, const std::string& table, const LayoutChange& change,
                    const std::vector<std::string>& key) {
  const bool has_new = std::ranges::any_of(change.added, [&](const TableColumn& c) {
    return std::ranges::any_of(key, [&](const auto& name) { return same_name(name, c.name); });
  });
  if (key.empty() || has_new) return {};
  std::string values;
  for (const auto& name : key) values += fmt::format(" AND {} IS NOT NULL", quote(name));
  TG_TRY(Stmt same,
         db.prepare(fmt::format(
             "SELECT count(*), {0} FROM {1} WHERE true{2} GROUP BY {0} HAVING count(*) > "
             "1 LIMIT 1",
             column_list(key), quote(table), values)));
  TG_TRY(const bool found, same.step());
  if (!found) return {};
  std::string shown;
  for (std::size_t i = 0; i < key.size(); ++i) {
    shown += fmt::format("{}{} = {}", i == 0 ? "" : ", ", quote(key[i]),
                         cell_words(same.raw(), static_cast<int>(i) + 1));
  }
  return refused(
      table,
      fmt::format("the rows there are not unique by {}: {} rows have {}", name_list(key),
                  same.integer(0), shown),
      "choose another key (--key, or `primaryKey` of the entity), or reset the job (--reset, or "
      "`tidegate jobs reset`) to load the table again");
}

bool needs_index(const LayoutChange& change) {
  return !change.key.empty() && !same_columns(change.wanted.primary_key, change.key);
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return ascii_lower(x) == ascii_lower(y); });
}

const TableColumn* TableLayout::find(std::string_view name) const {
  const auto it =
      std::ranges::find_if(columns, [&](const auto& c) { return same_name(c.name, name); });
  return it == columns.end() ? nullptr : &*it;
}

Result<TableLayout> read_layout(Db& db, const std::string& table) {
  TableLayout layout;
  TG_TRY(Stmt about,
         db.prepare("SELECT type, sql FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE AND type "
                    "IN ('table', 'view')"));
  about.bind(1, table);
  TG_TRY(const bool there, about.step());
  if (!there) return layout;
  if (about.text(0) != "table") {
    return refused(table, "it is a view", "choose another destination or rename the entity");
  }
  layout.exists = true;
  const std::string sql = about.text(1);
  TG_TRY(Stmt columns,
         db.prepare("SELECT name, type, pk, hidden FROM pragma_table_xinfo(?1) ORDER BY cid"));
  columns.bind(1, table);
  std::vector<std::pair<std::int64_t, std::string>> key;
  for (;;) {
    TG_TRY(const bool row, columns.step());
    if (!row) break;
    if (columns.integer(3) != 0) continue;  // generated: cannot be written
    const std::string declared = columns.text(1);
    layout.columns.push_back({columns.text(0), declared, from_declared(declared)});
    if (columns.integer(2) > 0) key.emplace_back(columns.integer(2), columns.text(0));
  }
  std::ranges::sort(key);
  for (auto& [position, name] : key) layout.primary_key.push_back(name);
  layout.ours = sql == create_sql(table, layout);
  layout.plain = layout.ours || says_no_more(sql, table, layout);
  layout.conflict_clauses = !layout.plain && has_conflict_clause(sql);
  TG_TRY(Stmt triggers, db.prepare("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = "
                                   "'trigger' AND tbl_name = ?1 COLLATE NOCASE)"));
  triggers.bind(1, table);
  TG_CHECK(triggers.step());
  layout.triggers = triggers.integer(0) != 0;
  TG_TRY(Stmt strict, db.prepare("SELECT strict FROM pragma_table_list(?1) WHERE schema = 'main'"));
  strict.bind(1, table);
  TG_TRY(const bool listed, strict.step());
  layout.strict = listed && strict.integer(0) != 0;
  TG_TRY(const std::int64_t rows,
         db.integer(fmt::format("SELECT EXISTS (SELECT 1 FROM {})", quote(table))));
  layout.empty = rows == 0;
  return layout;
}

Status find_unused(Db& db, const std::string& table, const LoadPlan& load, TableLayout& layout) {
  if (!layout.ours || load.schema_change != SchemaChange::Evolve) return {};
  for (const auto& field : load.schema->fields()) {
    const auto column = std::ranges::find_if(
        layout.columns, [&](const auto& c) { return same_name(c.name, field->name()); });
    if (column == layout.columns.end() || column->type.kind != Kind::Text) continue;
    TG_TRY(const ColumnType incoming, column_type(*field));
    if (incoming.kind == Kind::Text || incoming.kind == Kind::None) continue;
    TG_TRY(const std::int64_t used,
           db.integer(fmt::format("SELECT EXISTS (SELECT 1 FROM {} WHERE {} IS NOT NULL)",
                                  quote(table), quote(column->name))));
    if (used == 0) column->type = {Kind::None};
  }
  return {};
}

Result<LayoutChange> plan_layout(const std::string& table, const TableLayout& now,
                                 const LoadPlan& load) {
  LayoutChange change;
  TG_CHECK(check_names(table, load));
  change.create = !now.exists;
  change.wanted = now;
  change.key = load.key;
  for (int i = 0; i < load.schema->num_fields(); ++i) {
    const arrow::Field& field = *load.schema->field(i);
    TG_TRY(const ColumnType incoming, column_type(field));
    TableColumn column{field.name(), declared_for(field, incoming),
                       incoming.kind == Kind::None ? ColumnType{Kind::Text} : incoming};
    bool skipped = false;
    if (change.create) {
      change.wanted.columns.push_back(column);
    } else if (const TableColumn* there = change.wanted.find(field.name()); there == nullptr) {
      const bool needed = std::ranges::find(load.key, field.name()) != load.key.end() ||
                          field.name() == kLoadIdColumn;
      TG_CHECK(add_column(table, load.schema_change, column, needed, change, skipped));
    } else {
      auto& existing =
          change.wanted.columns[static_cast<std::size_t>(there - change.wanted.columns.data())];
      TG_CHECK(change_type(table, now, load, field, incoming, existing, change));
      column = existing;
    }
    if (skipped) continue;
    change.written.push_back(column);
    change.fields.push_back(i);
  }
  const std::size_t number = load.kind == LoadKind::Merge ? 1 : 0;  // of its rows, which it stages
  if (std::max(change.wanted.columns.size(), change.written.size() + number) > kMaxColumns) {
    return refused(table,
                   fmt::format("it would have {} columns, and SQLite takes at most {}{}",
                               change.wanted.columns.size(), kMaxColumns,
                               number > 0 ? ", a merge one less" : ""),
                   "leave some out (`columns` of the entity)");
  }
  if (change.create) {
    change.wanted.primary_key = load.key;
    return change;
  }
  TG_CHECK(note_missing(table, now, load, change));
  // A key that is not the load's would refuse its rows.
  if (!now.primary_key.empty() && !same_columns(now.primary_key, load.key)) {
    if (!now.plain) return other_key(table, now, load);
    change.wanted.primary_key = load.key;
    change.rebuild = true;
    change.sentences.push_back(
        load.key.empty()
            ? fmt::format("the primary key ({}) was dropped", name_list(now.primary_key))
            : fmt::format("the primary key is {} now", name_list(load.key)));
  }
  if (change.rebuild && !now.plain) {
    return refused(
        table, change.sentences.back(),
        fmt::format("{}: alter it by hand, or set schemaChange (--schema-change) to `ignore`",
                    kOwnDefinitions));
  }
  return change;
}

Status check_layout(Db& db, const std::string& table, const LayoutChange& change, bool rows_stay) {
  if (change.create) return check_name_is_free(db, table, table);
  const bool needed = needs_index(change);
  if (needed) TG_CHECK(check_name_is_free(db, table, key_index(table)));
  if (!rows_stay) return {};
  if (change.rebuild) {
    TG_TRY(const TableLayout old, read_layout(db, table));
    for (const TableColumn& c : old.columns) {
      TG_CHECK(check_exact(db, table, c, *change.wanted.find(c.name)));
    }
    if (!same_columns(old.primary_key, change.wanted.primary_key))
      TG_CHECK(check_unique(db, table, change, change.wanted.primary_key));
  }
  if (!needed) return {};
  TG_TRY(const bool unique, has_unique_index(db, table, change.key));
  return unique ? Status() : check_unique(db, table, change, change.key);
}

Status apply_layout(Db& db, const std::string& table, const LayoutChange& change) {
  TG_CHECK(check_layout(db, table, change, true));
  if (change.create) return db.exec(create_sql(table, change.wanted));
  if (change.rebuild) {
    // Columns that are new too come with the new table.
    TG_CHECK(rebuild(db, table, change));
  } else {
    for (const TableColumn& c : change.added) {
      TG_CHECK(db.exec(fmt::format("ALTER TABLE {} ADD COLUMN {}", quote(table), definition(c))));
    }
  }
  const std::string index = key_index(table);
  if (!needs_index(change)) return db.exec(fmt::format("DROP INDEX IF EXISTS {}", quote(index)));
  TG_TRY(const bool unique, has_unique_index(db, table, change.key));
  if (unique) return {};
  TG_CHECK(db.exec(fmt::format("DROP INDEX IF EXISTS {}", quote(index))));
  return db.exec(fmt::format("CREATE UNIQUE INDEX {} ON {} ({})", quote(index), quote(table),
                             column_list(change.key)));
}

}  // namespace tidegate::engine::sqlite

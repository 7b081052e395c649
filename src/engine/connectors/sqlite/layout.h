#pragma once
// The destination's table: how it is, how it must be, and the steps between.

#include <arrow/type_fwd.h>

#include <string>
#include <vector>

#include "engine/connectors/sqlite/db.h"
#include "engine/connectors/sqlite/types.h"
#include "engine/core/destination.h"

namespace tidegate::engine::sqlite {

struct TableColumn {
  std::string name, declared;
  ColumnType type;
};

struct TableLayout {
  bool exists = false;
  bool empty = true;
  bool ours = false;    // the very text that we write
  bool plain = false;   // says no more than that: it can be made again (table_sql.h)
  bool strict = false;  // https://www.sqlite.org/stricttables.html
  bool triggers = false;
  bool conflict_clauses = false;  // https://www.sqlite.org/lang_conflict.html
  std::vector<TableColumn> columns;
  std::vector<std::string> primary_key;

  // Without regard to ASCII case, as SQLite compares. nullptr: there is none.
  const TableColumn* find(std::string_view name) const;
};

Result<TableLayout> read_layout(Db& db, const std::string& table);

// Text columns of a table that we made, which the load has another type for and in which no value
// was ever written, are of Kind::None from here on: they became text for want of any value.
Status find_unused(Db& db, const std::string& table, const LoadPlan& load, TableLayout& layout);

// A plan that apply() carries out inside a transaction.
struct LayoutChange {
  std::vector<std::string> sentences;  // what will be done, for the run's record
  std::vector<TableColumn> written;    // per field of the load, the destination's column …
  std::vector<int> fields;             // … and its index in the load's schema (some may be ignored)
  TableLayout wanted;
  bool create = false, rebuild = false;
  std::vector<TableColumn> added;
  std::vector<std::string> key;  // must be unique together; empty: nothing
};

// Invalid naming the column: a change that schema_change refuses, that no type can hold, or a name
// that the table cannot have.
Result<LayoutChange> plan_layout(const std::string& table, const TableLayout& now,
                                 const LoadPlan& load);

// What stands in the way of apply_layout() among the names and rows that are there; changes
// nothing. `rows_stay`: the load does not replace them.
Status check_layout(Db& db, const std::string& table, const LayoutChange& change, bool rows_stay);

// With check_layout() before it. REQUIRES: a write transaction; PRAGMA legacy_alter_table=ON, so
// views are left alone.
Status apply_layout(Db& db, const std::string& table, const LayoutChange& change);

// True: equal without regard to ASCII case.
bool same_name(std::string_view a, std::string_view b);

}  // namespace tidegate::engine::sqlite

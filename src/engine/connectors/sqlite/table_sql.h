#pragma once
// CREATE TABLE: as we write it, and whether a table's own says no more than that.

#include <string>
#include <string_view>
#include <vector>

#include "engine/connectors/sqlite/layout.h"

namespace tidegate::engine::sqlite {

// `"a", "b"`.
std::string column_list(const std::vector<std::string>& names);

// `"name" TYPE`.
std::string definition(const TableColumn& column);

// `a = excluded.a, …` without the key's own columns; empty when the key is the whole row.
std::string assignments(const std::vector<TableColumn>& columns,
                        const std::vector<std::string>& key);

// The one form in which we write CREATE TABLE.
std::string create_sql(const std::string& table, const TableLayout& layout);

// True: `sql` differs from create_sql() in quotes, case, spaces and comments only, or in writing
// the key beside its column. Constraints, defaults, collations, generated columns and options are
// more than that: a rebuild would lose them.
bool says_no_more(std::string_view sql, const std::string& table, const TableLayout& layout);

// `ON CONFLICT` behind a constraint; of names and texts that read so, true as well.
bool has_conflict_clause(std::string_view sql);

}  // namespace tidegate::engine::sqlite

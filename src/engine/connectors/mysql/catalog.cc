#include "engine/connectors/mysql/catalog.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/core/context.h"

namespace tidegate::engine::mysql {
namespace {

constexpr const char* kTables =
    "SELECT TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
    "AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW') AND TABLE_NAME NOT LIKE "
    "'\\_tidegate\\_%' ORDER BY TABLE_NAME";
constexpr const char* kColumns =
    "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE, "
    "CHARACTER_SET_NAME IS NOT NULL FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = "
    "DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION";
// Not those of a column's beginning, nor of an expression.
constexpr const char* kKeys =
    "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, NULLABLE = 'YES', SUB_PART IS NOT NULL OR "
    "COLUMN_NAME IS NULL FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND "
    "NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX";

// The server's own estimate; of few rows it is of no use.
constexpr std::int64_t kFewRows = 1000;

class CatalogReader {
 public:
  CatalogReader(Connection& db, const Wanted& wanted) : db_(db), wanted_(wanted) {}

  Result<Found> read() {
    TG_TRY(const Rows tables, db_.query(kTables));
    for (int i = 0; i < tables.size(); ++i) {
      const std::string name = tables.text(i, 0);
      if (wanted_ && !wanted_(name)) {
        found_.catalog.others.push_back(name);
        continue;
      }
      Draft& draft = drafts_[name];
      draft.info.name = name;
      if (tables.integer(i, 1) >= kFewRows) draft.info.rows = tables.integer(i, 1);
    }
    if (drafts_.empty()) return std::move(found_);
    TG_TRY(json_, json_columns(db_, ""));
    TG_TRY(const Rows columns, db_.query(kColumns));
    for (int i = 0; i < columns.size(); ++i) take_column(columns, i);
    TG_TRY(const Rows keys, db_.query(kKeys));
    for (int i = 0; i < keys.size(); ++i) take_key(keys, i);
    for (auto& [name, draft] : drafts_) describe(name, draft);
    return std::move(found_);
  }

 private:
  struct KeyColumn {
    std::string name;
    bool nullable = false, partial = false;
  };
  struct Draft {
    EntityInfo info;
    std::vector<TableColumn> columns;
    std::map<std::string, std::vector<KeyColumn>> unique;
  };

  void take_column(const Rows& rows, int i) {
    const auto draft = drafts_.find(rows.text(i, 0));
    if (draft == drafts_.end()) return;
    const std::string name = rows.text(i, 1), data = rows.text(i, 2), column = rows.text(i, 3);
    draft->second.columns.push_back(
        {name, column_type({.data_type = data,
                            .column_type = column,
                            .precision = static_cast<int>(rows.integer(i, 4)),
                            .scale = static_cast<int>(rows.integer(i, 5)),
                            .has_charset = rows.flag(i, 6),
                            .is_json = std::ranges::count(json_, draft->first + "." + name) > 0})});
  }

  void take_key(const Rows& rows, int i) {
    const auto draft = drafts_.find(rows.text(i, 0));
    if (draft == drafts_.end()) return;
    draft->second.unique[rows.text(i, 1)].push_back(
        {rows.text(i, 2), rows.flag(i, 3), rows.flag(i, 4)});
  }

  void describe(const std::string& name, Draft& draft) {
    EntityInfo& info = draft.info;
    if (draft.columns.empty()) {
      found_.catalog.bad.push_back(
          {name, data_error(fmt::format(
                     "no column of \"{}\" can be seen; if it is a view, correct what it "
                     "selects from, else GRANT SELECT on it",
                     name))});
      return;
    }
    for (const auto& [index, columns] : draft.unique) {
      if (std::ranges::any_of(columns, &KeyColumn::partial)) continue;
      if (index == "PRIMARY") {
        for (const auto& c : columns) info.primary_key.push_back(c.name);
      }
      // Of an index of several columns none is unique by itself.
      if (columns.size() > 1 || columns.front().nullable ||
          std::ranges::count(info.key_candidates, columns.front().name) > 0)
        continue;
      info.key_candidates.push_back(columns.front().name);
    }
    arrow::FieldVector fields;
    std::vector<std::string> numbers;
    for (const TableColumn& c : draft.columns) {
      fields.push_back(to_field(c.name, c.type));
      if (is_time(c.type)) info.cursor_candidates.push_back(c.name);
      if (is_whole_number(c.type)) numbers.push_back(c.name);
      if (c.type.kind == Kind::DecimalText) {
        info.warnings.push_back(fmt::format(
            "column \"{}\" is decimal with more than 38 digits: it is copied as text, digit by "
            "digit",
            c.name));
      }
    }
    std::ranges::move(numbers, std::back_inserter(info.cursor_candidates));
    info.schema = arrow::schema(std::move(fields));
    found_.catalog.entities.push_back(std::move(info));
    found_.tables.emplace(name, std::move(draft.columns));
  }

  Connection& db_;
  const Wanted& wanted_;
  Found found_;
  std::map<std::string, Draft> drafts_;
  std::vector<std::string> json_;
};

}  // namespace

Result<std::vector<std::string>> json_columns(Connection& db, const std::string& table) {
  constexpr const char* kMariaDb =
      "SELECT TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE "
      "CONSTRAINT_SCHEMA = DATABASE() AND CHECK_CLAUSE LIKE 'json\\_valid(%'";
  constexpr const char* kMySql =
      "SELECT t.TABLE_NAME, c.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS c JOIN "
      "information_schema.TABLE_CONSTRAINTS t ON t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND "
      "t.CONSTRAINT_NAME = c.CONSTRAINT_NAME WHERE c.CONSTRAINT_SCHEMA = DATABASE() AND "
      "c.CHECK_CLAUSE LIKE 'json\\_valid(%'";
  std::string sql = db.is_mariadb() ? kMariaDb : kMySql;
  if (!table.empty()) sql += " AND TABLE_NAME = " + db.literal(table);
  TG_TRY(const Rows rows, db.query(sql));
  std::vector<std::string> out;
  for (int i = 0; i < rows.size(); ++i) {
    // json_valid(`doc`)
    const std::string clause = rows.text(i, 1);
    const auto open = clause.find('`'), end = clause.rfind('`');
    if (open == std::string::npos || end <= open) continue;
    std::string name = clause.substr(open + 1, end - open - 1);
    for (std::size_t at = 0; (at = name.find("``", at)) != std::string::npos; ++at)
      name.erase(at, 1);
    if (clause == fmt::format("json_valid({})", db.identifier(name)))
      out.push_back(rows.text(i, 0) + "." + name);
  }
  return out;
}

Result<Found> read_catalog(Connection& db, const Wanted& wanted) {
  return CatalogReader(db, wanted).read();
}

}  // namespace tidegate::engine::mysql

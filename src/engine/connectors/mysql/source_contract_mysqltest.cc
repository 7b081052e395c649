// The shared contract suite of sources over the MySQL source.

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include "engine/connectors/mysql/mysql.h"
#include "engine/connectors/mysql/server_fixture.h"
#include "engine/contract/source_contract.h"
#include "engine/core/rows.h"

namespace tidegate::engine {
namespace {

boost::json::object in_database(const std::string& folder) {
  return mysql::config_of(mysql::database_of(folder));
}

void make_table(const std::string& folder, const std::string& table,
                const arrow::RecordBatch& rows) {
  const auto db = mysql::console(mysql::database_of(folder));
  std::string columns;
  std::string values;
  for (const auto& field : rows.schema()->fields()) {
    const char* type = field->type()->id() == arrow::Type::INT64    ? "bigint"
                       : field->type()->id() == arrow::Type::DOUBLE ? "double"
                                                                    : "longtext";
    columns +=
        fmt::format("{}{} {}", columns.empty() ? "" : ", ", db->identifier(field->name()), type);
  }
  const std::string name = db->identifier(table);
  mysql::run(*db, fmt::format("DROP TABLE IF EXISTS {}", name));
  mysql::run(*db, fmt::format("CREATE TABLE {} ({}) CHARACTER SET utf8mb4", name, columns));
  const auto insert = [&] {
    if (!values.empty()) mysql::run(*db, fmt::format("INSERT INTO {} VALUES {}", name, values));
    values.clear();
  };
  for (std::int64_t row = 0; row < rows.num_rows(); ++row) {
    values += values.empty() ? "(" : ", (";
    for (int c = 0; c < rows.num_columns(); ++c) {
      const auto text = value_text(*rows.column(c), row);
      values += (c > 0 ? ", " : "") + (text ? db->literal(*text) : "NULL");
    }
    values += ")";
    if (values.size() > 1'000'000) insert();
  }
  insert();
}

// A view in its place fails in the midst of the rows: the sum is too large for a bigint.
void damage(const std::string& folder, const std::string& table) {
  const auto db = mysql::console(mysql::database_of(folder));
  const std::string name = db->identifier(table), kept = db->identifier(table + " kept");
  mysql::run(*db, fmt::format("ALTER TABLE {} RENAME TO {}", name, kept));
  mysql::run(*db, fmt::format("CREATE VIEW {} AS SELECT * FROM {} WHERE 9223372036854745807 + id > "
                              "0",
                              name, kept));
}

TIDEGATE_SOURCE_CONTRACT(Mysql, (SourceUnderTest{.name = "mysql",
                                                 .connector = &mysql_connector,
                                                 .config = &in_database,
                                                 .make = &make_table,
                                                 .damage = &damage}));

}  // namespace
}  // namespace tidegate::engine

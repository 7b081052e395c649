// The shared contract suite of sources over the SQLite source.

#include "engine/contract/source_contract.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>

#include "engine/connectors/sqlite/db.h"
#include "engine/connectors/sqlite/sqlite.h"
#include "engine/core/rows.h"

namespace tidegate::engine {
namespace {

std::string database(const std::string& folder) { return folder + "/in.db"; }

boost::json::object in_folder(const std::string& folder) { return {{"path", database(folder)}}; }

Status fill(sqlite::Db& db, const std::string& table, const arrow::RecordBatch& rows) {
  std::string columns;
  std::string places;
  for (const auto& field : rows.schema()->fields()) {
    const char* type = field->type()->id() == arrow::Type::INT64    ? "INTEGER"
                       : field->type()->id() == arrow::Type::DOUBLE ? "REAL"
                                                                    : "TEXT";
    columns +=
        fmt::format("{}{} {}", columns.empty() ? "" : ", ", sqlite::quote(field->name()), type);
    places += places.empty() ? "?" : ", ?";
  }
  TG_CHECK(db.exec("BEGIN"));
  TG_CHECK(db.exec(fmt::format("DROP TABLE IF EXISTS {}", sqlite::quote(table))));
  TG_CHECK(db.exec(fmt::format("CREATE TABLE {} ({})", sqlite::quote(table), columns)));
  TG_TRY(sqlite::Stmt insert,
         db.prepare(fmt::format("INSERT INTO {} VALUES ({})", sqlite::quote(table), places)));
  for (std::int64_t row = 0; row < rows.num_rows(); ++row) {
    for (int c = 0; c < rows.num_columns(); ++c) {
      // The column's affinity makes a number of a text that is one.
      const auto text = value_text(*rows.column(c), row);
      if (text) {
        insert.bind(c + 1, *text);
      } else {
        sqlite3_bind_null(insert.raw(), c + 1);
      }
    }
    TG_CHECK(insert.run());
  }
  return db.exec("COMMIT");
}

void make_table(const std::string& folder, const std::string& table,
                const arrow::RecordBatch& rows) {
  const auto db = sqlite::Db::open(database(folder), sqlite::Open::Create, {});
  ASSERT_TRUE(db) << describe(db.error());
  const Status filled = fill(**db, table, rows);
  ASSERT_TRUE(filled) << describe(filled.error());
}

// The second half of the database becomes no pages of it.
void overwrite(const std::string& folder, const std::string&) {
  const std::string path = database(folder);
  const auto size = static_cast<std::size_t>(std::filesystem::file_size(path));
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(size / 2));
  file << std::string(size - size / 2, 'Z');
}

TIDEGATE_SOURCE_CONTRACT(Sqlite, (SourceUnderTest{.name = "sqlite",
                                                  .connector = &sqlite_connector,
                                                  .config = &in_folder,
                                                  .make = &make_table,
                                                  .damage = &overwrite}));

}  // namespace
}  // namespace tidegate::engine

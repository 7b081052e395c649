// The shared contract suite of sources over the DuckDB source.

#include "engine/contract/source_contract.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "engine/connectors/duckdb/db.h"
#include "engine/connectors/duckdb/duckdb.h"
#include "engine/connectors/duckdb/types.h"

namespace tidegate::engine {
namespace {

std::string database(const std::string& folder) { return folder + "/in.duckdb"; }

boost::json::object in_folder(const std::string& folder) { return {{"path", database(folder)}}; }

Status fill(duckdb::Db& db, const std::string& table, const arrow::RecordBatch& rows) {
  std::string columns;
  for (const auto& field : rows.schema()->fields()) {
    TG_TRY(const duckdb::ColumnType type, duckdb::target_type(*field));
    columns += fmt::format("{}{} {}", columns.empty() ? "" : ", ", duckdb::quote(field->name()),
                           type.declared);
  }
  TG_CHECK(db.exec(fmt::format("CREATE OR REPLACE TABLE {} ({})", duckdb::quote(table), columns)));
  TG_TRY(const auto insert,
         db.insert(fmt::format("INSERT INTO {} FROM appended_data", duckdb::quote(table)),
                   *rows.schema()));
  return insert->put(rows);
}

void make_table(const std::string& folder, const std::string& table,
                const arrow::RecordBatch& rows) {
  SystemClock clock;
  SystemRng rng;
  const PathPolicy paths;
  const Context context{.clock = clock, .rng = rng, .paths = paths, .stop = {}};
  const auto db = duckdb::Db::open(database(folder), duckdb::Open::Write, Millis(0), context);
  ASSERT_TRUE(db) << describe(db.error());
  const Status filled = fill(**db, table, rows);
  ASSERT_TRUE(filled) << describe(filled.error());
}

// Blocks behind the headers become no blocks.
void overwrite(const std::string& folder, const std::string&) {
  const std::string path = database(folder);
  const auto size = static_cast<std::size_t>(std::filesystem::file_size(path));
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(size / 2));
  file << std::string(size - size / 2, 'Z');
}

TIDEGATE_SOURCE_CONTRACT(Duckdb, (SourceUnderTest{.name = "duckdb",
                                                  .connector = &duckdb_connector,
                                                  .config = &in_folder,
                                                  .make = &make_table,
                                                  .damage = &overwrite}));

}  // namespace
}  // namespace tidegate::engine

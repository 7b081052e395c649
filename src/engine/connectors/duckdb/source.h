#pragma once
// Tables and views of a DuckDB file, each read by one query in one snapshot.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/connectors/duckdb/db.h"
#include "engine/connectors/duckdb/types.h"
#include "engine/core/context.h"
#include "engine/core/source.h"

namespace tidegate::engine::duckdb {

struct SourceColumn {
  std::string name;
  ColumnType type;
};

struct Relation {
  std::string database, schema, name;
  bool view = false;
  std::int64_t rows = 0;  // as DuckDB estimates them
  std::vector<SourceColumn> columns;
  std::vector<std::string> primary_key;

  // With the database: `sales.t` of the file sales.duckdb may be in the schema main too.
  std::string qualified() const {
    return quote(database) + "." + quote(schema) + "." + quote(name);
  }
};

// The file is open only while entities are looked at or read, so that others can write it between
// that.
class DuckdbSource final : public Source {
 public:
  DuckdbSource(std::string path, const Context& context)
      : path_(std::move(path)), context_(context) {}

  std::string identity() const override;
  std::vector<std::string> local_files() const override;
  Status check() override;
  Result<Catalog> discover(const Wanted& wanted) override;
  Result<std::unique_ptr<Reader>> open(const ReadParams& params,
                                       const Partition& partition) override;

 private:
  Result<std::unique_ptr<Db>> connect() const;

  const std::string path_;
  const Context& context_;
  std::map<std::string, Relation, std::less<>> tables_;  // of the last discover()
};

}  // namespace tidegate::engine::duckdb

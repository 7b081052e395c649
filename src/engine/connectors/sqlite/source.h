#pragma once
// Tables and views of an SQLite database, read in one snapshot each.

#include <memory>
#include <string>
#include <vector>

#include "engine/connectors/sqlite/db.h"
#include "engine/connectors/sqlite/types.h"
#include "engine/core/context.h"
#include "engine/core/source.h"

namespace tidegate::engine::sqlite {

class SqliteSource final : public Source {
 public:
  SqliteSource(std::string path, const Context& context)
      : configured_path_(std::move(path)), context_(context) {}

  std::string identity() const override;
  std::vector<std::string> local_files() const override;
  Status check() override;
  Result<Catalog> discover(const Wanted& wanted) override;
  Result<std::unique_ptr<Reader>> open(const ReadParams& params,
                                       const Partition& partition) override;

 private:
  struct Column {
    std::string name, declared;
    int key_position = 0;
    ColumnType type;
    // SQLite has made every number in it text. Not of a view's columns, whose values come from
    // anywhere.
    bool only_text = false;
  };
  struct Table {
    EntityInfo info;
    std::vector<Column> columns;
  };

  Status connect();
  Result<std::vector<Column>> columns_of(const std::string& table);
  Status find_out_types(const std::string& table, std::vector<Column>& columns);
  Result<EntityInfo> describe_entity(const std::string& table, bool is_table);
  Result<std::string> select_sql(const ReadParams& params, const std::vector<Column>& columns,
                                 bool& ordered, std::vector<std::string>& bound) const;
  Status check_collation(const std::string& table, const std::string& cursor,
                         const std::vector<Column>& columns) const;
  Status check_order_below(const ReadParams& params, const std::vector<Column>& columns) const;
  Status check_condition(const std::string& table, const std::string& where) const;

  std::string configured_path_;
  const Context& context_;
  std::unique_ptr<Db> db_;
  std::vector<std::pair<std::string, std::vector<Column>>> known_;  // by discover()
};

}  // namespace tidegate::engine::sqlite

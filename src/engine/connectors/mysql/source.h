#pragma once
// Tables and views of a MySQL database, each read row by row in one snapshot.

#include <memory>
#include <string>

#include "engine/connectors/mysql/catalog.h"
#include "engine/connectors/mysql/config.h"
#include "engine/connectors/mysql/connection.h"
#include "engine/core/context.h"
#include "engine/core/source.h"

namespace tidegate::engine::mysql {

class MysqlSource final : public Source {
 public:
  MysqlSource(Config config, const Context& context)
      : config_(std::move(config)), context_(context) {}

  std::string identity() const override { return "mysql://" + config_.place(); }
  Result<std::optional<std::string>> table_place(const std::string& entity) override;
  Status check() override { return connect(); }
  Result<Catalog> discover(const Wanted& wanted) override;
  Result<std::unique_ptr<Reader>> open(const ReadParams& params,
                                       const Partition& partition) override;

 private:
  Status connect();
  Status check_condition(const std::string& entity, const std::string& where);
  Status start(const std::string& sql);

  const Config config_;
  const Context& context_;
  std::unique_ptr<Connection> db_;
  std::map<std::string, std::vector<TableColumn>, std::less<>> tables_;  // of the last discover()
};

}  // namespace tidegate::engine::mysql

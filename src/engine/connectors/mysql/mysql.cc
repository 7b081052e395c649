#include "engine/connectors/mysql/mysql.h"

#include "engine/connectors/mysql/config.h"
#include "engine/connectors/mysql/destination.h"
#include "engine/connectors/mysql/source.h"

namespace tidegate::engine {
namespace {

Result<std::unique_ptr<Source>> make_source(const boost::json::object& config,
                                            const Context& context) {
  TG_TRY(mysql::Config c, mysql::read_config(config));
  return std::make_unique<mysql::MysqlSource>(std::move(c), context);
}

Result<std::unique_ptr<Destination>> make_destination(const boost::json::object& config,
                                                      const Context& context) {
  TG_TRY(mysql::Config c, mysql::read_config(config));
  return std::make_unique<mysql::MysqlDestination>(std::move(c), context);
}

}  // namespace

const Connector& mysql_connector() {
  static const Connector kConnector{.name = "mysql",
                                    .title = "MySQL, MariaDB",
                                    .spec = mysql::kSpec,
                                    .make_source = &make_source,
                                    .make_destination = &make_destination};
  return kConnector;
}

}  // namespace tidegate::engine

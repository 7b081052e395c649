#include "engine/connectors/postgres/postgres.h"

#include "engine/connectors/postgres/config.h"
#include "engine/connectors/postgres/destination.h"
#include "engine/connectors/postgres/source.h"

namespace tidegate::engine {
namespace {

Result<std::unique_ptr<Source>> make_source(const boost::json::object& config,
                                            const Context& context) {
  TG_TRY(postgres::Config c, postgres::read_config(config));
  return std::make_unique<postgres::PostgresSource>(std::move(c), context);
}

Result<std::unique_ptr<Destination>> make_destination(const boost::json::object& config,
                                                      const Context& context) {
  TG_TRY(postgres::Config c, postgres::read_config(config, true));
  return std::make_unique<postgres::PostgresDestination>(std::move(c), context);
}

}  // namespace

const Connector& postgres_connector() {
  static const Connector kConnector{.name = "postgres",
                                    .title = "PostgreSQL",
                                    .spec = postgres::kSpec,
                                    .make_source = &make_source,
                                    .make_destination = &make_destination};
  return kConnector;
}

}  // namespace tidegate::engine

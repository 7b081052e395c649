#include "engine/connectors/mongodb/mongodb.h"

#include "engine/connectors/mongodb/config.h"
#include "engine/connectors/mongodb/destination.h"
#include "engine/connectors/mongodb/source.h"

namespace tidegate::engine {
namespace {

Result<std::unique_ptr<Source>> make_source(const boost::json::object& config,
                                            const Context& context) {
  TG_TRY(mongodb::Config c, mongodb::read_config(config, context.paths));
  return std::make_unique<mongodb::MongoSource>(std::move(c), context);
}

Result<std::unique_ptr<Destination>> make_destination(const boost::json::object& config,
                                                      const Context& context) {
  TG_TRY(mongodb::Config c, mongodb::read_config(config, context.paths, true));
  return std::make_unique<mongodb::MongoDestination>(std::move(c), context);
}

}  // namespace

const Connector& mongodb_connector() {
  static const Connector kConnector{.name = "mongodb",
                                    .title = "MongoDB",
                                    .spec = mongodb::kSpec,
                                    .make_source = &make_source,
                                    .make_destination = &make_destination};
  return kConnector;
}

}  // namespace tidegate::engine

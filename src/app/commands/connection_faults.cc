// The server's own check of a connection, for commands that want to know before they change
// anything.
#include "app/commands/commands.h"
#include "cli/api_client.h"
#include "control/api/config_check.h"

namespace tidegate::app {
namespace {

// Knows the connectors that a server named.
class NamedConnectors final : public api::Engine {
 public:
  explicit NamedConnectors(const boost::json::value& connectors)
      : spec_(std::make_shared<const boost::json::value>(
            boost::json::object{{"connectors", connectors}})) {}
  Result<std::shared_ptr<const boost::json::value>> spec() override { return spec_; }
  Result<boost::json::value> check(protocol::Endpoint, bool) override { return nullptr; }
  Result<boost::json::value> discover(protocol::Endpoint, bool) override { return nullptr; }

 private:
  std::shared_ptr<const boost::json::value> spec_;
};

}  // namespace

std::vector<FieldError> connection_faults(const boost::json::value& connectors, bool source,
                                          const boost::json::object& connection) {
  NamedConnectors engine(connectors);
  const auto spec = api::connector_spec(
      engine, cli::text_at(connection, "type"),
      source ? model::ConnectionKind::Source : model::ConnectionKind::Destination);
  if (!spec) return spec.error().details;
  std::vector<FieldError> faults;
  const auto* config = connection.if_contains("config");
  api::check_config(*spec,
                    config && config->is_object() ? config->get_object() : boost::json::object(),
                    "config", faults);
  return faults;
}

}  // namespace tidegate::app

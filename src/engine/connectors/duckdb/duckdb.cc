#include "engine/connectors/duckdb/duckdb.h"

#include "base/json.h"
#include "engine/connectors/duckdb/destination.h"
#include "engine/connectors/duckdb/source.h"

namespace tidegate::engine {
namespace {

constexpr std::string_view kSpec = R"({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["path"],
  "additionalProperties": false,
  "properties": {
    "path": {
      "type": "string", "minLength": 1, "maxLength": 4096,
      "title": "Database file",
      "description": "Path of the DuckDB database. A destination is created when it does not exist; its folder must exist.",
      "examples": ["data/warehouse.duckdb"]
    }
  }
})";

Result<std::string> read_path(const boost::json::object& config) {
  std::vector<FieldError> errors;
  json::Reader r(config, "config", errors);
  std::string path = r.text("path", {.min = 1, .max = 4096, .required = true}).value_or("");
  r.finish();
  if (errors.empty()) return path;
  return fail(Error{Code::Invalid, "the configuration of the DuckDB connector is wrong",
                    "bad_config", std::move(errors)});
}

Result<std::unique_ptr<Source>> make_source(const boost::json::object& config,
                                            const Context& context) {
  TG_TRY(std::string path, read_path(config));
  return std::make_unique<duckdb::DuckdbSource>(std::move(path), context);
}

Result<std::unique_ptr<Destination>> make_destination(const boost::json::object& config,
                                                      const Context& context) {
  TG_TRY(std::string path, read_path(config));
  return std::make_unique<duckdb::DuckdbDestination>(std::move(path), context);
}

}  // namespace

const Connector& duckdb_connector() {
  static constexpr Connector kConnector{.name = "duckdb",
                                        .title = "DuckDB",
                                        .spec = kSpec,
                                        .make_source = &make_source,
                                        .make_destination = &make_destination};
  return kConnector;
}

}  // namespace tidegate::engine

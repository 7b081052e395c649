#include "engine/connectors/sqlite/sqlite.h"

#include "base/json.h"
#include "engine/connectors/sqlite/destination.h"
#include "engine/connectors/sqlite/source.h"

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
      "description": "Path of the SQLite database. A destination is created when it does not exist; its folder must exist.",
      "examples": ["data/shop.db"]
    },
    "journalMode": {
      "type": "string", "enum": ["wal", "keep"], "default": "wal", "roles": ["destination"],
      "title": "Journal mode",
      "description": "`wal` switches the database to write-ahead logging, so that readers go on while a load is written; `keep` leaves it as it is."
    }
  }
})";

struct Config {
  std::string path;
  bool wal = true;
};

Result<Config> read(const boost::json::object& config, bool destination) {
  std::vector<FieldError> errors;
  json::Reader r(config, "config", errors);
  Config c;
  c.path = r.text("path", {.min = 1, .max = 4096, .required = true}).value_or("");
  if (destination) {
    static constexpr std::string_view kModes[] = {"wal", "keep"};
    c.wal = r.one_of("journalMode", kModes).value_or(0) == 0;
  }
  r.finish();
  if (errors.empty()) return c;
  return fail(Error{Code::Invalid, "the configuration of the SQLite connector is wrong",
                    "bad_config", std::move(errors)});
}

Result<std::unique_ptr<Source>> make_source(const boost::json::object& config,
                                            const Context& context) {
  TG_TRY(Config c, read(config, false));
  return std::make_unique<sqlite::SqliteSource>(std::move(c.path), context);
}

Result<std::unique_ptr<Destination>> make_destination(const boost::json::object& config,
                                                      const Context& context) {
  TG_TRY(Config c, read(config, true));
  return std::make_unique<sqlite::SqliteDestination>(
      sqlite::DestinationConfig{std::move(c.path), c.wal}, context);
}

}  // namespace

const Connector& sqlite_connector() {
  static constexpr Connector kConnector{.name = "sqlite",
                                        .title = "SQLite",
                                        .spec = kSpec,
                                        .make_source = &make_source,
                                        .make_destination = &make_destination};
  return kConnector;
}

}  // namespace tidegate::engine

#pragma once
// The configuration of the MongoDB connector.

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/secret.h"
#include "engine/core/path_policy.h"

namespace tidegate::engine::mongodb {

// JSON Schema, as Connector::spec.
extern const std::string_view kSpec;

// How a column whose type has digits below a millisecond, which a BSON date has not, is held.
enum class Timestamps : std::uint8_t {
  Text,      // ISO 8601 with all its digits; sorts as the times do
  Date,      // as a date; a value that has such digits is refused
  Truncate,  // as a date; such digits are cut, by the user's own choice
};

struct Config {
  Secret url;
  std::string database;
  std::string place;  // `db.example.com:27017/shop`: for messages and the identity, never a secret
  Timestamps timestamps = Timestamps::Text;  // destination
  bool documents = false;                    // source: one JSON column, not a column a field
  std::string ca_file, key_file;             // of TLS, as the path policy resolved them; "": none
};

// Invalid with every wrong field. Options that the driver does not know are refused: it would only
// warn of `tlss=true` and not encrypt; so are those that it knows and nobody needs here.
Result<Config> read_config(const boost::json::object& config, const PathPolicy& paths,
                           bool destination = false);

}  // namespace tidegate::engine::mongodb

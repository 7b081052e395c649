#pragma once
// The configuration of the PostgreSQL connector.

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/secret.h"

namespace tidegate::engine::postgres {

// JSON Schema, as Connector::spec.
extern const std::string_view kSpec;

struct Config {
  std::vector<std::pair<std::string, Secret>> parameters;  // libpq's keywords and values
  std::vector<std::string> schemas;                        // source; empty: all of the database
  std::string schema = "public";                           // destination: where the tables stand
  std::string place;  // `db.example.com:5432/shop`: for messages and the identity, never a secret
  std::string user;   // for remedies; "": the client's own
};

// Invalid with every wrong field. Accepts a URL (or libpq's `key=value` text) or single fields, not
// both. Parameters of a URL that would name other files or programs of this machine are refused.
Result<Config> read_config(const boost::json::object& config, bool destination = false);

}  // namespace tidegate::engine::postgres

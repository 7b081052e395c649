#pragma once
// The configuration of the MySQL connector.

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/secret.h"

namespace tidegate::engine::mysql {

// JSON Schema, as Connector::spec.
extern const std::string_view kSpec;

enum class SslMode : std::uint8_t { Disabled, Preferred, Required, VerifyCa, VerifyIdentity };
inline constexpr std::string_view kSslModes[] = {"disabled", "preferred", "required", "verify-ca",
                                                 "verify-identity"};

struct Config {
  std::string host;  // a name, an address, or the path of a Unix socket
  int port = 3306;
  std::string database, user;
  Secret password;
  SslMode ssl_mode = SslMode::Preferred;
  std::string ssl_ca;  // PEM file; "": the system's (VerifyIdentity)

  // `db.example.com:3306/shop`: for messages and the identity, never a secret.
  std::string place() const;
};

// Invalid with every wrong field. Accepts a URL or single fields, not both.
Result<Config> read_config(const boost::json::object& config);

}  // namespace tidegate::engine::mysql

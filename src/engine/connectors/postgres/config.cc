#include "engine/connectors/postgres/config.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <ranges>

#include "base/json.h"

namespace tidegate::engine::postgres {

const std::string_view kSpec = R"({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": [],
  "additionalProperties": false,
  "properties": {
    "url": {
      "type": "string", "minLength": 1, "maxLength": 4096, "secret": true,
      "title": "URL",
      "description": "postgresql://user:password@host:port/database?sslmode=verify-full, in place of the fields below.",
      "examples": ["postgresql://reader@db.example.com/shop"]
    },
    "host": {
      "type": "string", "minLength": 1, "maxLength": 255,
      "title": "Host", "description": "Name or address of the server, or the folder of its Unix socket.",
      "examples": ["db.example.com"]
    },
    "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 5432, "title": "Port", "description": "Port of the server."},
    "database": {"type": "string", "minLength": 1, "maxLength": 63, "title": "Database", "description": "Name of the database.", "examples": ["shop"]},
    "user": {"type": "string", "minLength": 1, "maxLength": 63, "title": "User", "description": "Who reads: SELECT on the tables is enough.", "examples": ["reader"]},
    "password": {"type": "string", "maxLength": 1000, "secret": true, "title": "Password", "description": "Password of the user."},
    "sslMode": {
      "type": "string", "enum": ["disable", "prefer", "require", "verify-ca", "verify-full"], "default": "prefer",
      "title": "TLS", "description": "`verify-full` also proves that the server is the one that is named; `prefer` encrypts where the server can."
    },
    "sslRootCert": {"type": "string", "minLength": 1, "maxLength": 4096, "title": "CA file", "description": "PEM file with the certificates to trust, for verify-ca and verify-full."},
    "schema": {
      "type": "string", "minLength": 1, "maxLength": 63, "default": "public", "roles": ["destination"],
      "title": "Schema", "description": "Where the tables are made; it must exist.", "examples": ["raw"]
    },
    "schemas": {
      "roles": ["source"],
      "type": "array", "maxItems": 1000, "items": {"type": "string", "minLength": 1, "maxLength": 63},
      "title": "Schemas", "description": "Only these schemas; default: every one that the user may use.", "examples": [["public", "sales"]]
    }
  }
})";

namespace {

constexpr std::string_view kSslModes[] = {"disable", "prefer", "require", "verify-ca",
                                          "verify-full"};
// What a URL may say. Others name files, programs or services of this machine, or change what the
// connector relies on.
constexpr std::array<std::string_view, 14> kAllowed{"host",
                                                    "hostaddr",
                                                    "port",
                                                    "dbname",
                                                    "user",
                                                    "password",
                                                    "sslmode",
                                                    "sslrootcert",
                                                    "connect_timeout",
                                                    "keepalives",
                                                    "keepalives_idle",
                                                    "channel_binding",
                                                    "target_session_attrs",
                                                    "application_name"};

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

using Values = std::map<std::string, std::string, std::less<>>;

std::optional<Values> from_url(const std::string& url, json::Reader& r) {
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, FreeOptions> options(
      PQconninfoParse(url.c_str(), &message));
  if (!options) {
    // libpq's words quote the text, and a password with it.
    PQfreemem(message);
    r.error("url",
            "is no PostgreSQL URL; write postgresql://user:password@host:port/database, with %40 "
            "for an @, %2F for a / and %3F for a ? in the password");
    return std::nullopt;
  }
  Values values;
  for (const PQconninfoOption* o = options.get(); o->keyword != nullptr; ++o) {
    if (o->val == nullptr) continue;
    if (std::ranges::find(kAllowed, o->keyword) == kAllowed.end()) {
      r.error("url",
              fmt::format("has the parameter {}, which is not supported; remove it", o->keyword));
      return std::nullopt;
    }
    values.emplace(o->keyword, o->val);
  }
  // libpq takes what stands behind the first @ for the host, and the host is shown.
  const auto cut = [&](const char* keyword) {
    const auto at = values.find(keyword);
    return at != values.end() && at->second.find('@') != std::string::npos;
  };
  if (cut("host") || cut("dbname")) {
    r.error("url",
            "has more than one @, or a / or ? before it; write %40 for an @, %2F for a / and %3F "
            "for a ? in the password");
    return std::nullopt;
  }
  // libpq looks at it when it connects.
  if (const auto port = values.find("port"); port != values.end()) {
    for (const auto part : std::views::split(port->second, ',')) {
      int number = 0;
      const auto read = std::from_chars(part.data(), part.data() + part.size(), number);
      if (part.empty() || (read.ptr == part.data() + part.size() && number > 0 && number < 65536))
        continue;
      r.error("url", "has a port that is no number from 1 to 65535; correct it");
      return std::nullopt;
    }
  }
  return values;
}

Values from_fields(json::Reader& r) {
  Values values;
  const auto take = [&](std::string_view field, std::string_view keyword, json::TextRule rule) {
    if (auto text = r.text(field, rule)) values.emplace(keyword, std::move(*text));
  };
  take("host", "host", {.min = 1, .max = 255, .required = true});
  if (const auto port = r.integer("port", {.min = 1, .max = 65535})) {
    values.emplace("port", std::to_string(*port));
  }
  take("database", "dbname", {.min = 1, .max = 63, .required = true});
  take("user", "user", {.min = 1, .max = 63});
  take("password", "password", {.min = 0, .max = 1000});
  take("sslRootCert", "sslrootcert", {.min = 1, .max = 4096});
  if (const auto mode = r.one_of("sslMode", kSslModes)) {
    values.emplace("sslmode", kSslModes[*mode]);
  }
  return values;
}

}  // namespace

Result<Config> read_config(const boost::json::object& config, bool destination) {
  std::vector<FieldError> errors;
  json::Reader r(config, "config", errors);
  std::optional<Values> values;
  if (const auto url = r.text("url", {.min = 1, .max = 4096})) {
    values = from_url(*url, r);
    for (const char* field : {"host", "port", "database", "user", "sslMode", "sslRootCert"}) {
      if (r.has(field)) r.error(field, "stands beside url; give either");
      r.ignore(field);
    }
    if (const auto password = r.text("password", {.min = 0, .max = 1000}); password && values) {
      values->insert_or_assign("password", *password);
    }
  } else {
    values = from_fields(r);
  }
  Config c;
  if (destination) {
    c.schema = r.text("schema", {.min = 1, .max = 63}).value_or(c.schema);
  } else {
    c.schemas =
        r.texts("schemas", 1000, {.min = 1, .max = 63}).value_or(std::vector<std::string>{});
  }
  r.finish();
  if (!errors.empty() || !values) {
    return fail(Error{Code::Invalid, "the configuration of the PostgreSQL connector is wrong",
                      "bad_config", std::move(errors)});
  }
  const auto value = [&](std::string_view keyword, std::string_view otherwise) {
    const auto at = values->find(keyword);
    return at == values->end() ? std::string(otherwise) : at->second;
  };
  c.user = value("user", "");
  c.place = fmt::format("{}:{}/{}", value("host", value("hostaddr", "localhost")),
                        value("port", "5432"), value("dbname", c.user));
  // Ends a connection whose other end is gone within a minute.
  for (const auto& [keyword, text] : Values{{"application_name", "tidegate-sync"},
                                            {"client_encoding", "UTF8"},
                                            {"connect_timeout", "15"},
                                            {"keepalives_idle", "15"},
                                            {"keepalives_interval", "5"},
                                            {"keepalives_count", "3"},
                                            {"tcp_user_timeout", "60000"}}) {
    values->emplace(keyword, text);
  }
  for (const auto& [keyword, text] : *values) c.parameters.emplace_back(keyword, Secret(text));
  return c;
}

}  // namespace tidegate::engine::postgres

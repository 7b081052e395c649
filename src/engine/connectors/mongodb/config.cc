#include "engine/connectors/mongodb/config.h"

#include <fmt/format.h>
#include <mongoc/mongoc.h>
#include <unistd.h>

#include <memory>
#include <optional>

#include "base/json.h"
#include "engine/connectors/mongodb/connection.h"

namespace tidegate::engine::mongodb {

const std::string_view kSpec = R"({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["url"],
  "additionalProperties": false,
  "properties": {
    "url": {
      "type": "string", "minLength": 1, "maxLength": 4096, "secret": true,
      "title": "URL",
      "description": "mongodb://user:password@host:27017/database?replicaSet=name&tls=true, or mongodb+srv://….",
      "examples": ["mongodb://reader@db.example.com/shop?replicaSet=rs0"]
    },
    "database": {"type": "string", "minLength": 1, "maxLength": 63, "title": "Database", "description": "Name of the database; default: that of the URL.", "examples": ["shop"]},
    "timestamps": {
      "type": "string", "enum": ["text", "date", "truncate"], "default": "text", "roles": ["destination"],
      "title": "Timestamps", "description": "Of columns with digits below a millisecond, which a MongoDB date cannot hold: `text` is ISO 8601, `date` rejects rows with such digits, `truncate` cuts them."
    },
    "mode": {
      "type": "string", "enum": ["columns", "document"], "default": "columns", "roles": ["source"],
      "title": "Mode", "description": "`columns`: a column for each field; `document`: the key and one JSON column with all of it."
    }
  }
})";

namespace {

constexpr std::string_view kTimestamps[] = {"text", "date", "truncate"};
constexpr std::string_view kModes[] = {"columns", "document"};

std::string hosts_of(const mongoc_uri_t* uri) {
  if (const char* srv = mongoc_uri_get_srv_hostname(uri); srv != nullptr) return srv;
  std::string hosts;
  for (const auto* h = mongoc_uri_get_hosts(uri); h != nullptr; h = h->next) {
    hosts += (hosts.empty() ? "" : ",") + std::string(h->host_and_port);
  }
  return hosts;
}

// The driver says only "TLS handshake failed".
void check_files(const mongoc_uri_t* uri, json::Reader& r) {
  for (const char* option : {"tlsCAFile", "tlsCertificateKeyFile"}) {
    const char* file = mongoc_uri_get_option_as_utf8(uri, option, nullptr);
    if (file == nullptr || access(file, R_OK) == 0) continue;
    r.error("url", fmt::format("names {}={}, which is no file that this process can read; correct "
                               "it",
                               option, file));
  }
}

void read_url(const std::string& url, json::Reader& r, Config& config) {
  const ParsedUri parsed = parse_uri(url);
  if (!parsed.unknown_option.empty()) {
    r.error("url", fmt::format("has the option {}, which is not known; correct or remove it",
                               parsed.unknown_option));
    return;
  }
  if (parsed.uri == nullptr) {
    // The driver's words may quote the password.
    r.error("url",
            "is no MongoDB URL; write mongodb://user:password@host:27017/database, with special "
            "characters of user and password percent-encoded (%40 for an @, %2F for a /)");
    return;
  }
  // The driver takes what stands behind the first @ for the host, and the host is shown.
  const std::string hosts = hosts_of(parsed.uri.get());
  if (hosts.find('@') != std::string::npos) {
    r.error("url",
            "has more than one @; special characters of user and password must be "
            "percent-encoded (%40 for an @, %2F for a /)");
    return;
  }
  check_files(parsed.uri.get(), r);
  const char* named = mongoc_uri_get_database(parsed.uri.get());
  if (config.database.empty() && named != nullptr) config.database = named;
  if (config.database.empty()) {
    r.error("url", "names no database; write mongodb://host:27017/database, or give `database`");
  } else if (config.database.find_first_of("/\\. \"$*<>:|?") != std::string::npos ||
             config.database.size() > 63) {
    r.error(r.has("database") ? "database" : "url",
            "has a database name with a character that MongoDB does not take, or of more than 63 "
            "bytes; correct it");
  }
  config.place = hosts + "/" + config.database;
}

}  // namespace

Result<Config> read_config(const boost::json::object& config, bool destination) {
  std::vector<FieldError> errors;
  json::Reader r(config, "config", errors);
  Config c;
  c.database = r.text("database", {.min = 1, .max = 63}).value_or("");
  if (auto url = r.text("url", {.min = 1, .max = 4096, .required = true})) {
    read_url(*url, r, c);
    c.url = Secret(std::move(*url));
  }
  if (destination) {
    c.timestamps = static_cast<Timestamps>(r.one_of("timestamps", kTimestamps).value_or(0));
  } else {
    c.documents = r.one_of("mode", kModes).value_or(0) == 1;
  }
  r.finish();
  if (errors.empty()) return c;
  return fail(Error{Code::Invalid, "the configuration of the MongoDB connector is wrong",
                    "bad_config", std::move(errors)});
}

}  // namespace tidegate::engine::mongodb

#include "engine/connectors/mongodb/config.h"

#include <fmt/format.h>
#include <mongoc/mongoc.h>
#include <unistd.h>

#include <algorithm>
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

// What reaches no further than this connection, in the driver's spelling.
constexpr std::string_view kOptions[] = {"appname",
                                         "authmechanism",
                                         "authsource",
                                         "compressors",
                                         "connecttimeoutms",
                                         "directconnection",
                                         "heartbeatfrequencyms",
                                         "journal",
                                         "localthresholdms",
                                         "maxstalenessseconds",
                                         "readconcernlevel",
                                         "readpreference",
                                         "readpreferencetags",
                                         "replicaset",
                                         "retryreads",
                                         "retrywrites",
                                         "serverselectiontimeoutms",
                                         "serverselectiontryonce",
                                         "sockettimeoutms",
                                         "ssl",
                                         "tls",
                                         "tlsallowinvalidcertificates",
                                         "tlsallowinvalidhostnames",
                                         "tlscafile",
                                         "tlscertificatekeyfile",
                                         "tlscertificatekeyfilepassword",
                                         "tlsdisablecertificaterevocationcheck",
                                         "tlsdisableocspendpointcheck",
                                         "tlsinsecure",
                                         "w",
                                         "wtimeoutms",
                                         "zlibcompressionlevel"};
constexpr std::string_view kMechanisms[] = {"SCRAM-SHA-1", "SCRAM-SHA-256", "MONGODB-X509"};

void check_options(const mongoc_uri_t* uri, json::Reader& r) {
  const auto refuse = [&](std::string_view what) {
    r.error("url", fmt::format("has the option {}, which is not taken here; remove it", what));
  };
  bson_iter_t at;
  for (bson_iter_init(&at, mongoc_uri_get_options(uri)); bson_iter_next(&at);) {
    const std::string_view name = bson_iter_key(&at);
    if (std::ranges::count(kOptions, name) == 0) refuse(name);
  }
  const char* mechanism = mongoc_uri_get_auth_mechanism(uri);
  if (mechanism != nullptr && std::ranges::count(kMechanisms, mechanism) == 0) {
    refuse(fmt::format("authMechanism={}", mechanism));
  }
  bson_t properties;
  if (mongoc_uri_get_mechanism_properties(uri, &properties)) refuse("authMechanismProperties");
}

// The real path of a file that the driver is to read; it says only "TLS handshake failed".
std::string file_of(const mongoc_uri_t* uri, const char* option, const PathPolicy& paths,
                    json::Reader& r) {
  const char* file = mongoc_uri_get_option_as_utf8(uri, option, nullptr);
  if (file == nullptr) return {};
  const auto real = paths.resolve(file, false, option);
  if (!real) {
    r.error("url", fmt::format("names {}={}: {}", option, file, real.error().message));
    return {};
  }
  if (access(real->c_str(), R_OK) == 0) return *real;
  r.error("url", fmt::format("names {}={}, which is no file that this process can read; correct "
                             "it",
                             option, file));
  return {};
}

void read_url(const std::string& url, const PathPolicy& paths, json::Reader& r, Config& config) {
  const ParsedUri parsed = parse_uri(url);
  if (!parsed.complaint.empty()) {
    r.error("url", parsed.complaint + "; correct or remove it");
    return;
  }
  if (parsed.uri == nullptr) {
    // The driver's words may quote the password.
    r.error("url",
            "is no MongoDB URL; write mongodb://user:password@host:27017/database, with special "
            "characters of user and password percent-encoded (%40 for an @, %2F for a /)");
    return;
  }
  // The driver takes what stands behind the first @ for the host, or behind a / for the database,
  // and both are shown.
  const std::string hosts = hosts_of(parsed.uri.get());
  const char* named = mongoc_uri_get_database(parsed.uri.get());
  if ((hosts + (named != nullptr ? named : "")).find('@') != std::string::npos) {
    r.error("url",
            "has more than one @ or one behind the host; special characters of user and password "
            "must be "
            "percent-encoded (%40 for an @, %2F for a /)");
    return;
  }
  check_options(parsed.uri.get(), r);
  config.ca_file = file_of(parsed.uri.get(), "tlsCAFile", paths, r);
  config.key_file = file_of(parsed.uri.get(), "tlsCertificateKeyFile", paths, r);
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

Result<Config> read_config(const boost::json::object& config, const PathPolicy& paths,
                           bool destination) {
  std::vector<FieldError> errors;
  json::Reader r(config, "config", errors);
  Config c;
  c.database = r.text("database", {.min = 1, .max = 63}).value_or("");
  if (auto url = r.text("url", {.min = 1, .max = 4096, .required = true})) {
    read_url(*url, paths, r, c);
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

#include "engine/connectors/mysql/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <ranges>

#include "base/json.h"
#include "base/text.h"

namespace tidegate::engine::mysql {

const std::string_view kSpec = R"({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": [],
  "additionalProperties": false,
  "properties": {
    "url": {
      "type": "string", "minLength": 1, "maxLength": 4096, "secret": true,
      "title": "URL",
      "description": "mysql://user:password@host:port/database?ssl-mode=verify-identity, in place of the fields below.",
      "examples": ["mysql://reader@db.example.com/shop"]
    },
    "host": {
      "type": "string", "minLength": 1, "maxLength": 255,
      "title": "Host", "description": "Name or address of the server, or the path of its Unix socket.",
      "examples": ["db.example.com"]
    },
    "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 3306, "title": "Port", "description": "Port of the server."},
    "database": {"type": "string", "minLength": 1, "maxLength": 64, "title": "Database", "description": "Name of the database.", "examples": ["shop"]},
    "user": {"type": "string", "minLength": 1, "maxLength": 128, "title": "User", "description": "Who reads or writes.", "examples": ["reader"]},
    "password": {"type": "string", "maxLength": 1000, "secret": true, "title": "Password", "description": "Password of the user."},
    "sslMode": {
      "type": "string", "enum": ["disabled", "preferred", "required", "verify-ca", "verify-identity"], "default": "preferred",
      "title": "TLS", "description": "`verify-identity` also proves that the server is the one that is named; `preferred` encrypts where the server can."
    },
    "sslCa": {"type": "string", "minLength": 1, "maxLength": 4096, "title": "CA file", "description": "PEM file with the certificates to trust, for verify-ca and verify-identity; default of verify-identity: the system's."}
  }
})";

namespace {

constexpr const char* kForm =
    "is no MySQL URL; write mysql://user:password@host:port/database, with %40 for an @, %2F for a "
    "/, %3F for a ? and %25 for a % in the password";

std::optional<std::string> decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    int byte = 0;
    const std::string_view digits = text.substr(std::min(i + 1, text.size()), 2);
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || read.ptr != digits.data() + 2 || byte == 0) return std::nullopt;
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

std::optional<SslMode> ssl_mode(std::string_view text) {
  std::string name = ascii_lower(text);
  std::ranges::replace(name, '_', '-');
  const auto at = std::ranges::find(kSslModes, name);
  if (at == std::end(kSslModes)) return std::nullopt;
  return static_cast<SslMode>(at - std::begin(kSslModes));
}

// Words of a URL are never quoted: any of them may be a piece of the password.
class UrlReader {
 public:
  UrlReader(json::Reader& r, Config& config) : r_(r), config_(config) {}

  void read(std::string_view url) {
    for (const std::string_view scheme : {"mysql://", "mariadb://"}) {
      if (url.starts_with(scheme)) return read_rest(url.substr(scheme.size()));
    }
    wrong(kForm);
  }

 private:
  void wrong(std::string message) { r_.error("url", std::move(message)); }

  void read_rest(std::string_view rest) {
    std::string_view query;
    if (const auto at = rest.find('?'); at != std::string_view::npos) {
      query = rest.substr(at + 1);
      rest = rest.substr(0, at);
    }
    // What stands behind the first of them would be taken for the host, and the host is shown.
    const auto first = rest.find('@');
    if (std::ranges::count(rest, '@') > 1 || query.find('@') != std::string_view::npos ||
        (first != std::string_view::npos && rest.find('/') < first)) {
      return wrong(
          "has more than one @, or a / or ? before it; write %40 for an @, %2F for a / and %3F for "
          "a ? in the password");
    }
    const auto slash = rest.find('/');
    if (slash == std::string_view::npos || slash + 1 == rest.size()) return wrong(kForm);
    std::string_view place = rest.substr(0, slash);
    if (const auto at = place.find('@'); at != std::string_view::npos) {
      if (!read_user(place.substr(0, at))) return wrong(kForm);
      place.remove_prefix(at + 1);
    }
    const auto database = decoded(rest.substr(slash + 1));
    if (!read_place(place)) return;
    if (!database || database->find('/') != std::string::npos || database->size() > 64)
      return wrong(kForm);
    config_.database = *database;
    for (const auto part : std::views::split(query, '&'))
      read_parameter(std::string_view(part.begin(), part.end()));
  }

  bool read_user(std::string_view text) {
    const auto colon = text.find(':');
    const auto user = decoded(text.substr(0, colon));
    const auto password =
        decoded(colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1));
    if (!user || !password) return false;
    config_.user = *user;
    config_.password = Secret(*password);
    return true;
  }

  bool read_place(std::string_view place) {
    std::string_view port;
    if (place.starts_with('[')) {
      const auto end = place.find(']');
      if (end == std::string_view::npos) return wrong(kForm), false;
      config_.host = place.substr(1, end - 1);
      if (end + 1 < place.size()) port = place.substr(end + 1);
      if (!port.empty() && !port.starts_with(':')) return wrong(kForm), false;
    } else {
      const auto colon = place.find(':');
      const auto host = decoded(place.substr(0, colon));
      if (!host) return wrong(kForm), false;
      config_.host = *host;
      if (colon != std::string_view::npos) port = place.substr(colon);
    }
    if (config_.host.empty()) return wrong(kForm), false;
    if (port.empty()) return true;
    port.remove_prefix(1);
    const auto read = std::from_chars(port.data(), port.data() + port.size(), config_.port);
    if (port.empty() || read.ptr != port.data() + port.size() || config_.port < 1 ||
        config_.port > 65535) {
      wrong("has a port that is no number from 1 to 65535; correct it");
      return false;
    }
    return true;
  }

  void read_parameter(std::string_view part) {
    if (part.empty()) return;
    const auto equals = part.find('=');
    const auto value =
        decoded(equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1));
    const std::string_view name = part.substr(0, equals);
    if (name == "ssl-mode" && value && ssl_mode(*value)) {
      config_.ssl_mode = *ssl_mode(*value);
    } else if (name == "ssl-ca" && value && !value->empty()) {
      config_.ssl_ca = *value;
    } else if (name == "ssl-mode" || name == "ssl-ca") {
      wrong(fmt::format("has a wrong {}; ssl-mode is {}, ssl-ca the path of a PEM file", name,
                        json::list_of(kSslModes)));
    } else {
      wrong("has a parameter that is not supported; ssl-mode and ssl-ca are, remove others");
    }
  }

  json::Reader& r_;
  Config& config_;
};

}  // namespace

std::string Config::place() const {
  const bool v6 = host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}/{}", v6 ? "[" : "", host, v6 ? "]" : "", port, database);
}

Result<Config> read_config(const boost::json::object& config) {
  std::vector<FieldError> errors;
  json::Reader r(config, "config", errors);
  Config c;
  if (const auto url = r.text("url", {.min = 1, .max = 4096})) {
    UrlReader(r, c).read(*url);
    for (const char* field : {"host", "port", "database", "user", "sslMode", "sslCa"}) {
      if (r.has(field)) r.error(field, "stands beside url; give either");
      r.ignore(field);
    }
  } else {
    c.host = r.text("host", {.min = 1, .max = 255, .required = true}).value_or("");
    c.port = static_cast<int>(r.integer("port", {.min = 1, .max = 65535}).value_or(c.port));
    c.database = r.text("database", {.min = 1, .max = 64, .required = true}).value_or("");
    c.user = r.text("user", {.min = 1, .max = 128}).value_or("");
    c.ssl_ca = r.text("sslCa", {.min = 1, .max = 4096}).value_or("");
    if (const auto mode = r.one_of("sslMode", kSslModes)) c.ssl_mode = static_cast<SslMode>(*mode);
  }
  if (const auto password = r.text("password", {.min = 0, .max = 1000}))
    c.password = Secret(*password);
  r.finish();
  if (errors.empty() && c.ssl_mode == SslMode::VerifyCa && c.ssl_ca.empty()) {
    r.error(r.has("url") ? "url" : "sslCa",
            "needs the file with the certificates to trust for verify-ca (sslCa, in a URL ssl-ca)");
  }
  if (errors.empty()) return c;
  return fail(Error{Code::Invalid, "the configuration of the MySQL connector is wrong",
                    "bad_config", std::move(errors)});
}

}  // namespace tidegate::engine::mysql

#include "control/store/postgres/target.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <optional>

#include "base/text.h"

namespace tidegate::store::postgres {
namespace {

struct FreeInfo {
  void operator()(PQconninfoOption* o) const { PQconninfoFree(o); }
};
using Info = std::unique_ptr<PQconninfoOption, FreeInfo>;

std::unexpected<Error> bad_url(std::string_view why) {
  return fail(Code::Invalid,
              fmt::format("the store's URL is not one of PostgreSQL{}{}; expected "
                          "postgres://user:password@host:port/database?sslmode=verify-full",
                          why.empty() ? "" : ": ", why),
              "store_url");
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts(1);
  for (const char c : list) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back().push_back(c);
    }
  }
  return parts;
}

// libpq's messages have several lines; the first one says what happened.
std::string first_line(std::string_view text) {
  std::string line(clip(text.substr(0, text.find('\n')), 300));
  while (!line.empty() && (line.back() == ' ' || line.back() == '.')) line.pop_back();
  return line;
}

// "… FATAL:  28P01: password authentication failed": the five characters.
std::string_view sqlstate_in(std::string_view verbose) {
  const auto is_code = [](std::string_view s) {
    return std::ranges::all_of(
        s, [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); });
  };
  for (auto at = verbose.find(":  "); at != std::string_view::npos;
       at = verbose.find(":  ", at + 1)) {
    const auto rest = verbose.substr(at + 3);
    if (rest.size() > 6 && rest[5] == ':' && is_code(rest.substr(0, 5))) return rest.substr(0, 5);
  }
  return {};
}

// The server's sentence without "FATAL:  28P01: ".
std::string without_code(std::string_view line) {
  const auto code = sqlstate_in(line);
  if (code.empty()) return std::string(line);
  return std::string(line.substr(static_cast<std::size_t>(code.data() - line.data()) + 7));
}

// What libpq says of TLS and of an option's value, and what waiting mends nothing of. Its words are
// English, as the process runs in the locale C.
struct Wrong {
  std::string_view said, remedy;
};
constexpr std::string_view kRootRemedy =
    "name the file of the authority that signed the server's certificate by sslrootcert in the "
    "store's URL (of those that this machine trusts: /etc/ssl/certs/ca-certificates.crt)";
constexpr Wrong kWrong[] = {
    {"invalid sslmode value",
     "sslmode is one of disable, allow, prefer, require, verify-ca and verify-full"},
    {"root certificate", kRootRemedy},
    {"certificate verify failed", kRootRemedy},
    {"does not match host name",
     "write the store's URL with a host name of the server's certificate (sslmode=verify-ca does "
     "not compare it)"},
    {"server does not support SSL",
     "turn TLS on in the server, or take sslmode out of the store's URL, so that nothing is "
     "encrypted"},
    {"may not be used with sslrootcert=system", "write sslmode=verify-full"},
    {"certificate file", "look at sslcert and sslkey in the store's URL"},
    {"private key file", "look at sslcert and sslkey in the store's URL"},
    {"invalid port number", "look at the port in the store's URL"},
    {" value: \"", "look at this option in the store's URL"},
};

// Which of them, and the line that says so: of several addresses it need not be the first.
std::pair<const Wrong*, std::string> wrong_setting(std::string_view verbose) {
  for (const Wrong& w : kWrong) {
    const auto at = verbose.find(w.said);
    if (at == std::string_view::npos) continue;
    const auto before = verbose.rfind('\n', at);
    return {&w, first_line(verbose.substr(before == std::string_view::npos ? 0 : before + 1))};
  }
  return {nullptr, ""};
}

// With sslmode=require libpq does not verify when this file is missing, and says nothing.
Status check_root_file(const std::map<std::string, std::string>& given) {
  constexpr int kKnowsSystem = 160000;
  const auto file = given.find("sslrootcert");
  if (file == given.end() || file->second.empty() ||
      (file->second == "system" && PQlibVersion() >= kKnowsSystem) ||
      ::access(file->second.c_str(), R_OK) == 0) {
    return {};
  }
  return fail(
      Code::Invalid,
      fmt::format("the store's URL names sslrootcert={}, which is no file that this process "
                  "can read; {}",
                  file->second, kRootRemedy),
      "store_tls");
}

}  // namespace

Result<Target> Target::parse(const Secret& url) {
  const std::string text(url.reveal());
  if (!text.starts_with("postgres://") && !text.starts_with("postgresql://")) return bad_url("");
  char* message = nullptr;
  const Info info(PQconninfoParse(text.c_str(), &message));
  const std::unique_ptr<char, decltype(&PQfreemem)> owned(message, PQfreemem);
  if (!info) {
    // The only message that quotes no more than the name of a parameter, unless what stands behind
    // the "?" is the end of a password.
    const std::string_view why = message == nullptr ? "" : message;
    const bool harmless = why.starts_with("invalid URI query parameter") &&
                          text.find('@', text.find('?')) == std::string::npos;
    return bad_url(harmless ? first_line(why) : "");
  }
  std::map<std::string, std::string> given;
  for (const PQconninfoOption* o = info.get(); o->keyword != nullptr; ++o) {
    if (o->val != nullptr) given[o->keyword] = o->val;
  }
  TG_CHECK(check_root_file(given));
  Target target;
  const auto value_of = [&](const std::string& key, const std::string& otherwise) {
    const auto it = given.find(key);
    return it == given.end() || it->second.empty() ? otherwise : it->second;
  };
  target.user_ = value_of("user", "");
  target.database_ = value_of("dbname", target.user_);
  if (target.user_.empty()) return bad_url("it names no user");
  const std::string host = value_of("host", value_of("hostaddr", "localhost"));
  const std::string port = value_of("port", "5432");
  target.name_ = fmt::format("PostgreSQL at {} port {}, database {}", host, port, target.database_);
  const std::string timeout = value_of("connect_timeout", "0");
  std::from_chars(timeout.data(), timeout.data() + timeout.size(), target.connect_timeout_);

  given.emplace("application_name", "tidegate");
  // Dead peers: a host that vanished must not hold a worker for the two hours of the system.
  given.emplace("keepalives_idle", "5");
  given.emplace("keepalives_interval", "2");
  given.emplace("keepalives_count", "3");
  given.emplace("tcp_user_timeout", "10000");
  given["client_encoding"] = "UTF8";
  const bool several = !given.contains("hostaddr");
  const auto hosts = several ? split(host) : std::vector{host}, ports = split(port);
  // Of a cluster, the one that takes writes.
  if (hosts.size() > 1) given.emplace("target_session_attrs", "read-write");
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    if (several && given.contains("host")) {
      given["host"] = hosts[i];
      given["port"] = ports.size() == 1 ? ports[0] : ports[std::min(i, ports.size() - 1)];
    }
    Params params;
    for (const auto& [key, value] : given) {
      params.keys.push_back(key);
      params.values.emplace_back(value);
    }
    target.hosts_.push_back(std::move(params));
  }
  return target;
}

Error Target::cannot_connect(std::string_view verbose) const {
  const std::string_view code = sqlstate_in(verbose);
  const std::string cause = without_code(first_line(verbose));
  const auto invalid = [&](std::string_view remedy) {
    return Error{Code::Invalid,
                 fmt::format("{} refused user {}: {}; {}", name_, user_, cause, remedy),
                 "store_refused",
                 {}};
  };
  if (code == "28P01" || code == "28000") {
    return invalid(
        "check the user and the password of the store's URL, and the server's pg_hba.conf");
  }
  if (code == "3D000") {
    return invalid(fmt::format("create it with: CREATE DATABASE \"{}\"", database_));
  }
  if (code == "42501") {
    return invalid(fmt::format("GRANT CONNECT ON DATABASE \"{}\" TO \"{}\"", database_, user_));
  }
  if (code == "53300") {
    return {Code::Unavailable,
            fmt::format("{} has no connection free ({}); raise its max_connections or lower the "
                        "pool of the servers",
                        name_, cause),
            "store_unavailable",
            {}};
  }
  if (const auto [wrong, line] = wrong_setting(code.empty() ? verbose : ""); wrong != nullptr) {
    return {Code::Invalid,
            fmt::format("{} cannot be used as its URL says: {}; {}", name_, line, wrong->remedy),
            "store_tls",
            {}};
  }
  return {
      Code::Unavailable,
      fmt::format("{} cannot be reached: {}; check that the server runs and that host, port and "
                  "network let this machine in",
                  name_, cause),
      "store_unavailable",
      {}};
}

Error Target::too_old(int version) const {
  return {Code::Invalid,
          fmt::format("{} is version {}.{}; the store needs PostgreSQL 13 or newer. Nothing was "
                      "changed",
                      name_, version / 10000, version % 100),
          "store_too_old",
          {}};
}

Error Target::lost(std::string_view cause) const {
  return {Code::Unavailable,
          fmt::format("the connection to {} was lost: {}; it is opened again by itself, check the "
                      "server if this lasts",
                      name_, without_code(first_line(cause))),
          "store_unavailable",
          {}};
}

Error Target::refused(std::string_view sqlstate, std::string_view message) const {
  const std::string cause = first_line(message);
  const auto unavailable = [&](std::string_view remedy) {
    return Error{Code::Unavailable,
                 fmt::format("{}: {}; {}", name_, cause, remedy),
                 "store_unavailable",
                 {}};
  };
  const std::string_view kind = sqlstate.substr(0, 2);
  if (kind == "08" || sqlstate.starts_with("57P") || sqlstate == "25P03") return lost(cause);
  if (sqlstate == "40001" || sqlstate == "40P01") {
    return unavailable("other servers changed the same rows again and again; try again");
  }
  if (sqlstate == "55P03") return unavailable("somebody holds a row of the store; try again");
  if (sqlstate == "57014") {
    return unavailable("the statement was stopped; try again, or look for what slows the server");
  }
  if (kind == "53") return unavailable("the server lacks disk space, memory or connections");
  if (sqlstate == "25006") {
    return unavailable("this server accepts no writes (a standby?); name the primary in the URL");
  }
  if (sqlstate == "42501") {
    return {Code::Internal,
            fmt::format(
                "{}: {}; give user {} SELECT, INSERT, UPDATE and DELETE on the tables of the store",
                name_, cause, user_),
            "store_privilege",
            {}};
  }
  return {Code::Internal,
          fmt::format("{} refused a statement ({}): {}", name_, sqlstate, cause),
          "store_statement",
          {}};
}

}  // namespace tidegate::store::postgres

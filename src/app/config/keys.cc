// The table of configuration keys; docs/ops/configuration.md repeats it and a test compares them.
#include <algorithm>
#include <cctype>

#include "app/config/config.h"

namespace tidegate::app {
namespace {

constexpr std::string_view kLevels[] = {"debug", "info", "warn", "error"};
constexpr std::string_view kExecutors[] = {"all", "leader"};  // as worker::Executors
constexpr std::string_view kFormats[] = {"auto", "json", "text"};
constexpr std::int64_t kSecond = 1000, kMinute = 60 * kSecond, kHour = 60 * kMinute,
                       kDay = 24 * kHour;

constexpr Key kKeys[] = {
    {"data", KeyType::Path, "${XDG_DATA_HOME:-~/.local/share}/tidegate",
     "Data folder: the SQLite store, files of jobs, keys and the admin token; without HOME "
     "/var/lib/tidegate"},
    {"store",
     KeyType::Text,
     "sqlite:///DATA/tidegate.db",
     "Store of jobs and runs, as a URL: sqlite:///path, postgres://…, mongodb://…; DATABASE_URL is "
     "the last resort",
     true,
     false,
     0,
     0,
     {},
     true},
    {"store.connections", KeyType::Integer, "10",
     "Connections to a PostgreSQL store, at the most; one more listens for changes", true, false, 2,
     1000},
    {"listen", KeyType::Address, "127.0.0.1:8080",
     "Address of the HTTP server; port 0 takes a free one"},
    {"tls.cert", KeyType::Path, "",
     "Certificate chain (PEM); with tls.key it turns HTTPS on. SIGHUP reads both files again"},
    {"tls.key", KeyType::Path, "", "Private key of tls.cert (PEM)"},
    {"engine", KeyType::Path, "tidegate-sync beside this binary", "Path of the sync engine"},
    {"paths.roots", KeyType::PathList, "DATA/files",
     "Folders that local paths of jobs must lie in; several are separated by ':'"},
    {"admin.token", KeyType::Text, "generated into DATA/admin-token",
     "Token of the first administrator", true, true},
    {"secret.key", KeyType::Text, "generated into DATA/secret-key",
     "Key that encrypts stored secrets; 'new,old' while rotating", true, true},
    {"executors", KeyType::Choice, "all",
     "Which workers execute runs: all of them, or only the leader", true, false, 0, 0, kExecutors},
    {"worker.maxConcurrentRuns", KeyType::Integer, "2 × cores",
     "Runs that this process executes at once", true, false, 1, 10'000},
    {"worker.drain", KeyType::Duration, "30s", "How long a stop waits for running runs", true,
     false, 0, kDay},
    {"lease.schedulerTtl", KeyType::Duration, "8s",
     "A leader that is silent for so long is replaced; renewed four times as often", true, false,
     100, kHour},
    {"lease.runTtl", KeyType::Duration, "12s",
     "A run whose worker is silent for so long is taken over; renewed four times as often", true,
     false, 100, kHour},
    {"retention.age", KeyType::Duration, "30d", "Runs that ended longer ago are removed", true,
     false, kMinute, 36'500 * kDay},
    {"retention.runsPerJob", KeyType::Integer, "1000", "Runs kept for each job", true, false, 1,
     100'000'000},
    {"retention.runLogBytes", KeyType::Bytes, "10MiB",
     "Log kept of one run; later lines are dropped", true, false, 4096, std::int64_t{1} << 40},
    {"log.level", KeyType::Choice, "info", "Least severity that is logged; read again on SIGHUP",
     false, false, 0, 0, kLevels},
    {"log.format", KeyType::Choice, "auto",
     "Form of log lines; auto is text on a terminal, else json", true, false, 0, 0, kFormats},
};

// `maxConcurrentRuns` → `max-concurrent-runs` for a separator '-'.
std::string separated(std::string_view name, char separator) {
  std::string out;
  for (const char c : name) {
    if (c == '.') {
      out += separator;
    } else if (std::isupper(static_cast<unsigned char>(c))) {
      out += separator;
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::span<const Key> config_keys() { return kKeys; }

std::string_view type_name(KeyType type) {
  constexpr std::string_view kNames[] = {"text",    "path",  "paths",    "host:port",
                                         "integer", "bytes", "duration", "choice"};
  return kNames[static_cast<std::size_t>(type)];
}

std::string flag_name(const Key& key) { return "--" + separated(key.name, '-'); }

std::string env_name(const Key& key) {
  std::string out = "TIDEGATE_" + separated(key.name, '_');
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::toupper(c); });
  return out;
}

}  // namespace tidegate::app

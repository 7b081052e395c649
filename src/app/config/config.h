#pragma once
// Configuration: one table of keys, four origins. Flags > environment > tidegate.yaml > defaults.
//
// A key `a.bC` is the flag --a-b-c, the variable TIDEGATE_A_B_C and the YAML path a: {bC: …}. A
// secret has no flag (argv is public) and no YAML form; its variable has a twin NAME_FILE.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/secret.h"
#include "base/time.h"
#include "control/worker/options.h"

namespace tidegate::app {

enum class KeyType : std::uint8_t {
  Text,
  Path,
  PathList,
  Address,
  Integer,
  Bytes,
  Duration,
  Choice
};
std::string_view type_name(KeyType type);

struct Key {
  std::string_view name;
  KeyType type;
  std::string_view fallback;  // as printed; a value, or words about where it comes from
  std::string_view text;
  bool needs_restart = true;
  bool secret = false;
  std::int64_t min = 0, max = 0;  // Integer, Bytes; Duration in milliseconds
  std::span<const std::string_view> choices = {};
  bool file_twin = secret;  // its variable has a twin NAME_FILE; the variable is wiped when read
};
std::span<const Key> config_keys();
std::string flag_name(const Key& key);  // --worker-max-concurrent-runs
std::string env_name(const Key& key);   // TIDEGATE_WORKER_MAX_CONCURRENT_RUNS

enum class Origin : std::uint8_t { Default, File, Environment, Flag };

// One key's value before it is interpreted.
struct Setting {
  std::string value;
  Origin origin = Origin::Default;
  std::string where;  // `--listen`, `TIDEGATE_LISTEN`, `tidegate.yaml`, `default`
};

struct Config {
  std::string store_url, data_dir, listen, engine;
  std::vector<std::string> path_roots;
  std::string tls_cert, tls_key;
  Secret admin_token, secret_key;
  int store_connections = 0;
  worker::Executors executors = worker::Executors::All;
  int max_concurrent_runs = 0;
  Millis drain{0}, scheduler_ttl{0}, run_ttl{0};
  Millis retention_age{0};
  std::int64_t retention_runs = 0, run_log_bytes = 0;
  LogLevel log_level = LogLevel::Info;
  std::string log_format;  // auto, json, text

  std::map<std::string, Setting, std::less<>> settings;  // by key; secrets and passwords as ***
};

struct ConfigInput {
  std::map<std::string, std::string> flags;  // by key name
  std::function<std::optional<std::string>(const std::string&)> env;
  std::string file;       // path of the YAML file; empty: none
  std::string file_text;  // its content
  std::string program;    // path of this binary: the engine lies beside it
  int cores = 1;
};

// Invalid with one detail for each wrong value: the key, where it came from, what is wrong and what
// to do; unknown keys of the file with the nearest known one. Reads only the files that *_FILE
// names.
Result<Config> load_config(const ConfigInput& input);

// Variables that begin with TIDEGATE_ and mean nothing, each with the nearest known name or "".
std::vector<std::pair<std::string, std::string>> unknown_variables(
    std::span<const std::string> names);

}  // namespace tidegate::app

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <fstream>
#include <sstream>

#include "app/config/config.h"
#include "app/sync/scrub.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/yaml.h"

namespace tidegate::app {
namespace {

// Collects each key's value from its highest origin.
class Loader {
 public:
  explicit Loader(const ConfigInput& input) : input_(input) {}

  Result<Config> load() {
    TG_CHECK(read_file());
    for (const Key& key : config_keys()) gather(key);
    derive();
    fill();
    if (!errors_.empty()) {
      return fail(
          Error{Code::Invalid, "the configuration is wrong", "configuration", std::move(errors_)});
    }
    for (const Key& key : config_keys()) {
      Setting& s = config_.settings[std::string(key.name)];
      if (key.secret && !s.value.empty()) s.value = kMasked;
    }
    return std::move(config_);
  }

 private:
  void error(std::string_view key, std::string message) {
    errors_.push_back({std::string(key), std::move(message), {}});
  }
  void wrong(const Key& key, const Setting& s, std::string_view problem) {
    error(key.name, fmt::format("{} (from {}): {}", key.secret ? kMasked : "\"" + s.value + "\"",
                                s.where, problem));
  }

  // ---- tidegate.yaml
  Status read_file() {
    if (input_.file.empty()) return {};
    TG_TRY(const boost::json::value document, cli::read_yaml(input_.file_text, input_.file));
    if (document.is_null()) return {};
    if (!document.is_object()) {
      return fail(Code::Malformed,
                  fmt::format("{} must be a map of configuration keys", input_.file));
    }
    flatten(document.get_object(), "");
    return {};
  }

  void flatten(const boost::json::object& object, const std::string& prefix) {
    for (const auto& [name, value] : object) {
      const std::string key = prefix + std::string(name);
      // Named connections for `tidegate sync` may live in the same file.
      if (key == "sources" || key == "destinations") continue;
      const auto keys = config_keys();
      const auto known = std::ranges::find(keys, key, &Key::name);
      if (known != keys.end()) {
        if (known->secret) {
          error(key, fmt::format("a secret does not belong in {}; set {} or {}_FILE instead",
                                 input_.file, env_name(*known), env_name(*known)));
        } else if (value.is_array() && known->type != KeyType::PathList) {
          error(key, fmt::format("must be one value in {}, not a list", input_.file));
        } else if (auto text = scalar(value)) {
          from_file_.insert_or_assign(key, std::move(*text));
        } else {
          error(key, fmt::format("must be one value in {}, not a map", input_.file));
        }
      } else if (value.is_object() && is_section(key)) {
        flatten(value.get_object(), key + ".");
      } else {
        unknown_key(key);
      }
    }
  }

  static bool is_section(const std::string& name) {
    return std::ranges::any_of(config_keys(),
                               [&](const Key& k) { return k.name.starts_with(name + "."); });
  }

  void unknown_key(const std::string& key) {
    std::vector<std::string_view> names;
    for (const Key& k : config_keys()) names.push_back(k.name);
    const std::string_view near = json::nearest(key, names);
    std::string remedy =
        near.empty() ? "`tidegate config` lists the keys" : fmt::format("did you mean '{}'?", near);
    if (key == "jobs") remedy = "jobs go into a file for `tidegate apply -f FILE`";
    error(key, fmt::format("not a configuration key (in {}); {}", input_.file, remedy));
  }

  // A list is joined by ':', as PathList wants it.
  static std::optional<std::string> scalar(const boost::json::value& v) {
    if (v.is_object()) return std::nullopt;
    if (v.is_null()) return "";
    if (const auto* s = v.if_string()) return std::string(std::string_view(*s));
    if (const auto* list = v.if_array()) {
      std::string out;
      for (const auto& item : *list) {
        const auto text = scalar(item);
        if (!text || item.is_array()) return std::nullopt;
        out += (out.empty() ? "" : ":") + *text;
      }
      return out;
    }
    return boost::json::serialize(v);
  }

  // ---- one key
  void gather(const Key& key) {
    Setting& s = config_.settings[std::string(key.name)];
    s = {std::string(key.fallback), Origin::Default, "default"};
    const std::string name(key.name);
    if (const auto it = from_file_.find(name); it != from_file_.end()) {
      s = {it->second, Origin::File, input_.file};
    }
    const std::string variable = env_name(key);
    if (auto value = input_.env(variable)) s = {std::move(*value), Origin::Environment, variable};
    if (key.file_twin) gather_file_twin(key, variable, s);
    if (const auto it = input_.flags.find(name); it != input_.flags.end()) {
      s = {it->second, Origin::Flag, flag_name(key)};
    }
    if (name == "store" && s.origin == Origin::Default) {
      if (auto url = input_.env("DATABASE_URL"))
        s = {std::move(*url), Origin::Environment, "DATABASE_URL"};
    }
  }

  void gather_file_twin(const Key& key, const std::string& variable, Setting& s) {
    const auto path = input_.env(variable + "_FILE");
    if (!path) return;
    if (s.origin == Origin::Environment) {
      error(key.name, fmt::format("both {} and {}_FILE are set; keep one", variable, variable));
      return;
    }
    std::ifstream in(*path);
    std::stringstream content;
    if (!in || !(content << in.rdbuf())) {
      error(key.name,
            fmt::format("the file \"{}\" (from {}_FILE) cannot be read; check path and rights",
                        *path, variable));
      return;
    }
    s = {std::string(trim_end(content.view())), Origin::Environment, variable + "_FILE"};
  }

  // ---- defaults that depend on other values
  Setting& at(std::string_view key) { return config_.settings.find(key)->second; }
  void derive_default(std::string_view key, const std::string& value) {
    if (Setting& s = at(key); s.origin == Origin::Default) s.value = value;
  }
  void derive() {
    const std::string home = input_.env("HOME").value_or("");
    std::string base = input_.env("XDG_DATA_HOME").value_or("");
    if (!base.starts_with('/')) base = home.empty() ? "/var/lib" : home + "/.local/share";
    derive_default("data", base + "/tidegate");
    Setting& data = at("data");
    if (data.value.starts_with("~/") && !home.empty()) data.value = home + data.value.substr(1);
    while (data.value.size() > 1 && data.value.ends_with('/')) data.value.pop_back();
    derive_default("store", "sqlite://" +
                                (data.value.starts_with('/') ? data.value : "/" + data.value) +
                                "/tidegate.db");
    if (at("store").origin == Origin::Default && !data.value.starts_with('/')) {
      at("store").value = "sqlite:" + data.value + "/tidegate.db";
    }
    derive_default("paths.roots", data.value + "/files");
    const std::size_t slash = input_.program.rfind('/');
    derive_default("engine", slash == std::string::npos
                                 ? "tidegate-sync"
                                 : input_.program.substr(0, slash + 1) + "tidegate-sync");
    derive_default("worker.maxConcurrentRuns", std::to_string(2 * std::max(1, input_.cores)));
    for (const Key& key : config_keys()) {
      if (Setting& s = at(key.name); key.secret && s.origin == Origin::Default) s.value.clear();
    }
  }

  // ---- from text to types
  std::int64_t number(std::string_view name) {
    const Key& key = find(name);
    const Setting& s = at(name);
    std::int64_t n = 0;
    const char* const end = s.value.data() + s.value.size();
    const auto r = std::from_chars(s.value.data(), end, n);
    std::int64_t unit = 1;
    if (key.type == KeyType::Bytes) {
      const std::string_view suffix(r.ptr, end);
      unit = suffix.empty()    ? 1
             : suffix == "KiB" ? 1 << 10
             : suffix == "MiB" ? 1 << 20
             : suffix == "GiB" ? 1 << 30
                               : 0;
    } else if (r.ptr != end) {
      unit = 0;
    }
    if (r.ec != std::errc() || unit == 0 || n < 0 || n > key.max / unit || n * unit < key.min) {
      wrong(key, s,
            fmt::format("must be a whole number from {} to {}{}", key.min, key.max,
                        key.type == KeyType::Bytes ? " (bytes, or with KiB, MiB, GiB)" : ""));
      return key.min;
    }
    return n * unit;
  }
  Millis duration(std::string_view name) {
    const Key& key = find(name);
    const Setting& s = at(name);
    const auto d = parse_duration(s.value);
    if (!d || d->count() < key.min || d->count() > key.max) {
      wrong(key, s,
            fmt::format("must be a time from {} to {}, such as 30s, 15m, 24h or 7d",
                        format_duration(Millis(key.min)), format_duration(Millis(key.max))));
      return Millis(key.min);
    }
    return *d;
  }
  std::size_t choice(std::string_view name) {
    const Key& key = find(name);
    const Setting& s = at(name);
    const auto it = std::ranges::find(key.choices, s.value);
    if (it == key.choices.end()) {
      wrong(key, s, fmt::format("must be {}", json::list_of(key.choices)));
      return 0;
    }
    return static_cast<std::size_t>(it - key.choices.begin());
  }
  std::string address(std::string_view name) {
    const Setting& s = at(name);
    const std::size_t colon = s.value.rfind(':');
    unsigned port = 0;
    const char* const end = s.value.data() + s.value.size();
    const bool ok = colon != std::string::npos && colon > 0 && colon + 1 < s.value.size() && [&] {
      const auto r = std::from_chars(s.value.data() + colon + 1, end, port);
      return r.ec == std::errc() && r.ptr == end && port <= 65535;
    }();
    if (!ok)
      wrong(find(name), s,
            "must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080; port 0 takes a free one");
    return s.value;
  }
  static const Key& find(std::string_view name) {
    return *std::ranges::find(config_keys(), name, &Key::name);
  }

  void fill() {
    config_.data_dir = at("data").value;
    if (config_.data_dir.empty()) wrong(find("data"), at("data"), "must not be empty");
    config_.store_url = at("store").value;
    // The settings are for showing. A path may hold a '?'.
    std::string& store = at("store").value;
    if (!store.starts_with("sqlite:")) store = shown_url(store);
    config_.listen = address("listen");
    config_.engine = at("engine").value;
    std::stringstream roots(at("paths.roots").value);
    for (std::string root; std::getline(roots, root, ':');) {
      if (!root.empty()) config_.path_roots.push_back(root);
    }
    if (config_.path_roots.empty())
      wrong(find("paths.roots"), at("paths.roots"), "must name a folder");
    config_.tls_cert = at("tls.cert").value;
    config_.tls_key = at("tls.key").value;
    if (config_.tls_cert.empty() != config_.tls_key.empty()) {
      error(config_.tls_cert.empty() ? "tls.cert" : "tls.key",
            "tls.cert and tls.key go together; set both or none");
    }
    config_.admin_token = Secret(at("admin.token").value);
    if (const auto n = at("admin.token").value.size(); n > 0 && n < 16) {
      wrong(find("admin.token"), at("admin.token"), "must have at least 16 characters");
    }
    config_.secret_key = Secret(at("secret.key").value);
    config_.store_connections = static_cast<int>(number("store.connections"));
    config_.executors = static_cast<worker::Executors>(choice("executors"));
    config_.max_concurrent_runs = static_cast<int>(number("worker.maxConcurrentRuns"));
    config_.drain = duration("worker.drain");
    config_.scheduler_ttl = duration("lease.schedulerTtl");
    config_.run_ttl = duration("lease.runTtl");
    config_.retention_age = duration("retention.age");
    config_.retention_runs = number("retention.runsPerJob");
    config_.run_log_bytes = number("retention.runLogBytes");
    config_.log_level = static_cast<LogLevel>(choice("log.level"));
    choice("log.format");
    config_.log_format = at("log.format").value;
  }

  const ConfigInput& input_;
  std::map<std::string, std::string> from_file_;
  std::vector<FieldError> errors_;
  Config config_;
};

}  // namespace

Result<Config> load_config(const ConfigInput& input) { return Loader(input).load(); }

std::vector<std::pair<std::string, std::string>> unknown_variables(
    std::span<const std::string> names) {
  // What the CLI reads besides the configuration keys.
  std::vector<std::string> known = {"TIDEGATE_CONFIG", "TIDEGATE_SERVER", "TIDEGATE_TOKEN_FILE",
                                    "TIDEGATE_DUCKDB_LIBRARY", "TIDEGATE_WORKSPACE"};
  for (const Key& key : config_keys()) {
    known.push_back(env_name(key));
    if (key.file_twin) known.push_back(env_name(key) + "_FILE");
  }
  const std::vector<std::string_view> views(known.begin(), known.end());
  std::vector<std::pair<std::string, std::string>> out;
  for (const std::string& name : names) {
    if (!name.starts_with("TIDEGATE_") || std::ranges::find(known, name) != known.end()) continue;
    out.emplace_back(name, std::string(json::nearest(name, views)));
  }
  return out;
}

}  // namespace tidegate::app

// `tidegate doctor`: what a server needs, one line each, with the remedy.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "app/commands/commands.h"
#include "app/serve/data_dir.h"
#include "app/serve/open_store.h"
#include "app/serve/server_process.h"
#include "base/json.h"
#include "cli/api_client.h"
#include "cli/output.h"
#include "control/cron/time_zone.h"
#include "control/launch/engine_client.h"

namespace tidegate::app {
namespace {

class Report {
 public:
  void ok(std::string_view check, std::string detail) { add(check, "ok", std::move(detail), ""); }
  void warn(std::string_view check, std::string detail, std::string remedy) {
    add(check, "warning", std::move(detail), std::move(remedy));
  }
  void bad(std::string_view check, std::string detail, std::string remedy) {
    failed = true;
    add(check, "failed", std::move(detail), std::move(remedy));
  }
  // An error's message is "what is wrong; the remedy"; `otherwise`: where it has none.
  void bad(std::string_view check, const Error& error, std::string_view otherwise) {
    const std::size_t cut = error.message.find("; ");
    if (cut == std::string::npos) return bad(check, error.message, std::string(otherwise));
    bad(check, error.message.substr(0, cut), error.message.substr(cut + 2));
  }
  boost::json::array rows;
  bool failed = false;

 private:
  void add(std::string_view check, std::string_view status, std::string detail,
           std::string remedy) {
    rows.push_back(boost::json::object{
        {"check", check}, {"status", status}, {"detail", detail}, {"remedy", remedy}});
  }
};

void check_data_dir(const Config& config, Report& report) {
  struct stat info{};
  if (::stat(config.data_dir.c_str(), &info) != 0) {
    report.warn("data folder", config.data_dir + " does not exist", "`tidegate serve` makes it");
    return;
  }
  if (!S_ISDIR(info.st_mode) || ::access(config.data_dir.c_str(), R_OK | W_OK | X_OK) != 0) {
    report.bad("data folder", config.data_dir + " cannot be written by this user",
               "choose another with --data, or chown it");
    return;
  }
  if ((info.st_mode & 077) != 0) {
    report.warn(
        "data folder",
        fmt::format("{} is open to other users (mode {:o})", config.data_dir, info.st_mode & 0777U),
        "chmod 700 " + config.data_dir);
  } else {
    report.ok("data folder", config.data_dir);
  }
  struct statvfs space{};
  if (::statvfs(config.data_dir.c_str(), &space) == 0) {
    const std::uint64_t free_mib = space.f_bavail * space.f_frsize >> 20;
    if (free_mib < 512) {
      report.warn("disk space", fmt::format("{} MiB free", free_mib),
                  "make room; the store cannot grow on a full disk");
    } else {
      report.ok("disk space", fmt::format("{} MiB free", free_mib));
    }
  }
}

// What `serve` makes when it is missing, and refuses when it is wrong.
void check_keys(const Config& config, Report& report) {
  SystemRng rng;
  for (const char* name : {"admin-token", "secret-key"}) {
    const std::string path = config.data_dir + "/" + name;
    const bool is_token = name == std::string_view("admin-token");
    const Secret& configured = is_token ? config.admin_token : config.secret_key;
    struct stat info{};
    const bool is_file = configured.empty() && ::stat(path.c_str(), &info) == 0;
    if (configured.empty() && !is_file) continue;
    if (is_file && (info.st_mode & 077) != 0) {
      report.bad(name, fmt::format("other users may read {}", path),
                 "chmod 600 " + path + " and replace it: it may be known");
      continue;
    }
    Status usable;
    if (!is_token) {
      if (const auto keys = key_ring(config, rng); !keys) usable = fail(keys.error());
    } else if (is_file) {
      if (const auto token = kept_admin_token(config); !token) usable = fail(token.error());
    }
    if (!usable) report.bad(name, usable.error(), "replace it");
  }
}

void check_roots(const Config& config, Report& report) {
  for (const std::string& root : config.path_roots) {
    struct stat info{};
    if (root == config.data_dir + "/files" || ::stat(root.c_str(), &info) == 0) continue;
    report.warn("paths.roots", root + " does not exist; jobs cannot use it", "mkdir -p " + root);
  }
}

// By doing what `serve` does, for a moment.
void check_address(const Config& config, Report& report) {
  const std::string port = config.listen.substr(config.listen.rfind(':'));
  if (const auto own = living_server(config); own && own->ends_with(port)) {
    report.ok("address", *own + ", where the server of this folder listens");
    return;
  }
  const auto options = http_options(config);
  Status started = options ? Status() : std::unexpected(options.error());
  if (options) {
    const SystemClock clock;
    SystemRng rng;
    auto routes = http::Router::create({});
    if (!routes) started = fail(routes.error());
    if (routes) {
      http::Server server(*options, std::move(*routes), clock, rng);
      started = server.start();
      if (!started) started = fail(listen_error(*options, started.error()));
    }
  }
  if (started) {
    report.ok("address", config.listen);
  } else {
    report.bad("address", started.error(), "choose another with --listen");
  }
}

// False: the schema is another version's, so that the store is opened no further: a diagnosis
// changes nothing.
Result<bool> schema_fits(const Config& config, const StoreUrl& url, Report& report) {
  TG_TRY(const store::SchemaState schema, inspect_store(config, url));
  if (schema.present == schema.needed) return true;
  if (schema.present == 0) {
    report.warn("store", url.shown + " is empty", "`tidegate serve` fills it");
    return false;
  }
  const std::string detail = fmt::format("{} has schema version {}, this tidegate needs {}",
                                         url.shown, schema.present, schema.needed);
  if (schema.present < schema.needed) {
    report.warn("store", detail,
                "`tidegate serve` brings it up to date when it starts, `tidegate migrate` before");
  } else {
    report.bad("store", detail, "it was written by a newer tidegate: start that one");
  }
  return false;
}

void check_store(const Config& config, Report& report) {
  const auto url = parse_store_url(config.store_url);
  if (!url) {
    report.bad("store", url.error().message, "set --store or TIDEGATE_STORE");
    return;
  }
  if (const Status folder = check_store_folder(config, *url); !folder) {
    report.bad("store", folder.error(), "choose another with --store");
    return;
  }
  if (!is_there(*url)) {
    report.warn("store", url->shown + " does not exist", "`tidegate serve` makes it");
    return;
  }
  const SystemClock clock;
  SystemRng rng;
  const auto fits = schema_fits(config, *url, report);
  if (fits && !*fits) return;
  const auto store = fits ? open_store(config, *url, clock, rng) : fail(fits.error());
  Status usable = store ? (*store)->ping() : std::unexpected(store.error());
  const bool has_key =
      !config.secret_key.empty() || ::access((config.data_dir + "/secret-key").c_str(), F_OK) == 0;
  if (usable && has_key) {  // key_ring() would make one
    const auto keys = key_ring(config, rng);
    if (keys) usable = check_store_key(**store, *keys);
  }
  const Status whole = usable ? (*store)->check_whole() : Status();
  if (!whole) {
    report.bad("store", whole.error(), "restore it from a backup");
  } else if (usable) {
    report.ok("store", url->shown);
  } else {
    report.bad("store", usable.error(),
               url->kind == StoreKind::Sqlite ? "a backup restores a damaged file"
                                              : "see whether its server runs, and `store`");
  }
}

void check_engine(const Config& config, Report& report) {
  constexpr const char* kRemedy = "put tidegate-sync beside this binary or set --engine";
  if (const Status found = launch::find_engine(config.engine); !found) {
    report.bad("sync engine", found.error().message, kRemedy);
    return;
  }
  launch::ChildHost host(config.engine);
  const Status started = host.start();
  const auto answer =
      started ? launch::EngineClient(host).spec() : std::unexpected(started.error());
  host.stop();
  if (!answer) {
    report.bad("sync engine", answer.error().message, kRemedy);
    return;
  }
  std::string names;
  if (const auto* list = cli::at_path(**answer, "connectors").if_array()) {
    for (const auto& c : *list) names += (names.empty() ? "" : ", ") + cli::text_at(c, "name");
  }
  report.ok("sync engine", fmt::format("{} ({})", config.engine, names));
}

void check_time(Report& report) {
  const SystemClock clock;
  const auto zone = cron::TimeZone::load("America/New_York");
  if (!zone) {
    report.bad("time zones", zone.error().message, "install the package tzdata");
  } else {
    report.ok("time zones", "tzdata is there");
  }
  if (clock.now() < from_ms(1'767'225'600'000)) {  // 2026-01-01
    report.bad("clock", format_utc(clock.now()), "set the clock; schedules follow it");
  } else {
    report.ok("clock", format_utc(clock.now()));
  }
}

void check_limits(const Config& config, Report& report) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const auto need = 256 + 5 * static_cast<rlim_t>(config.max_concurrent_runs);
  if (limit.rlim_max < need) {
    report.warn("open files",
                fmt::format("limit {}, {} runs at once need {}", limit.rlim_max,
                            config.max_concurrent_runs, need),
                fmt::format("ulimit -n {}", need));
  } else {
    report.ok("open files", fmt::format("limit {}", limit.rlim_max));
  }
}

void check_server(cli::Context& context, const cli::Args& args, Report& report) {
  auto api = cli::ApiClient::connect(context, args);
  if (!api) {
    report.warn("server", "none is running on this data folder", "start one with `tidegate serve`");
    return;
  }
  const auto ready = api->call({.path = "/readyz", .body = nullptr});
  if (ready) {
    report.ok("server", api->target().url + " is ready");
  } else {
    report.bad("server", ready.error().message, "look at its log");
  }
}

Result<int> doctor(cli::Context& context, const cli::Args& args) {
  TG_TRY(const Config config, read_config(context, args));
  Report report;
  check_data_dir(config, report);
  check_keys(config, report);
  check_roots(config, report);
  check_store(config, report);
  check_engine(config, report);
  check_time(report);
  check_limits(config, report);
  check_address(config, report);
  check_server(context, args, report);
  cli::print(
      context.io, args, report.rows,
      {{"CHECK", "check"}, {"STATUS", "status"}, {"DETAIL", "detail"}, {"REMEDY", "remedy"}});
  return report.failed ? 1 : 0;
}

}  // namespace

cli::Command doctor_command() {
  std::vector<cli::Option> options = config_options();
  options.push_back(cli::output_option());
  return {"doctor", "Check what a server needs and say how to mend it", std::move(options), doctor};
}

}  // namespace tidegate::app

// `tidegate serve | api | worker`.
#include <fmt/format.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "app/commands/commands.h"
#include "app/serve/notify.h"
#include "app/serve/server_process.h"
#include "base/log.h"
#include "base/subprocess.h"
#include "base/version.h"

namespace tidegate::app {
namespace {

void configure_log(const cli::Context& context, const Config& config) {
  const bool text =
      config.log_format == "text" || (config.log_format == "auto" && context.io.err_is_terminal);
  log::configure(config.log_level, text ? log::Format::Text : log::Format::Json);
}

void warn_of_unknown_variables() {
  constexpr std::string_view kText = "an environment variable means nothing to this version";
  for (const auto& [name, near] : unknown_variables_here()) {
    if (near.empty()) {
      log::warn(kText, {{"name", name}});
    } else {
      log::warn(kText, {{"name", name}, {"didYouMean", near}});
    }
  }
}

// What was read is wiped: /proc/PID/environ shows the environment as it was at the start of the
// process for as long as it lives. REQUIRES: no other thread yet.
void forget_secret_variables() {
  std::vector<std::string> names{"DATABASE_URL"};
  for (const Key& key : config_keys()) {
    if (key.file_twin) names.push_back(env_name(key));
  }
  for (const std::string& name : names) {
    if (char* value = std::getenv(name.c_str())) ::explicit_bzero(value, std::strlen(value));
    ::unsetenv(name.c_str());
  }
}

// Blocked in every thread started after this; wait_for_end() takes them.
sigset_t block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, s);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return set;
}

// Gives what was freed back to the system: a list of 10,000 jobs must not stay in memory for ever.
void trim_memory() {
  if (mallinfo2().fordblks > std::size_t{4} << 20) malloc_trim(0);
}

void greet(const cli::Io& io, const Config& config, const ServerProcess& server, Parts parts) {
  if (!io.err_is_terminal) return;
  std::string text = fmt::format("Tidegate {}\n  address  {}\n  data     {}\n", version(),
                                 server.url(), config.data_dir);
  const AdminToken& token = server.token();
  if (parts != Parts::Worker && token.generated)
    text += fmt::format("  token    {}\n", token.text.reveal());
  if (parts != Parts::Worker && !token.file.empty())
    text += fmt::format("           kept in {}\n", token.file);
  io.err(text + "Ctrl-C stops it.\n");
}

timespec to_timespec(Millis t) {
  return {.tv_sec = static_cast<time_t>(t.count() / 1000),
          .tv_nsec = static_cast<long>(t.count() % 1000) * 1'000'000};
}

// For the keys that need no restart, and the content of the TLS files.
void reload(const cli::Context& context, const cli::Args& args, ServerProcess& server) {
  if (const auto again = read_config(context, args)) {
    configure_log(context, *again);
    log::info("configuration read again", {{"log.level", again->settings.at("log.level").value}});
  } else {
    log::error("the configuration is wrong and was not read again: " + describe(again.error()));
  }
  if (const Status tls = server.reload_tls(); !tls)
    log::error("the TLS files stay as they were: " + describe(tls.error()));
}

// Until SIGINT or SIGTERM. SIGHUP reloads. Errors: those of keep_house().
Result<int> wait_for_end(const sigset_t& set, const cli::Context& context, const cli::Args& args,
                         const Config& config, Parts parts, ServerProcess& server,
                         Notifier& notifier) {
  bool greeted = false;
  Millis wait{500};
  while (true) {
    if (server.live() && !std::exchange(greeted, true)) {
      greet(context.io, config, server, parts);
      notifier.ready(server.url());
    }
    if (!greeted) notifier.starting("waiting for the store", std::chrono::minutes(1));
    const timespec limit = to_timespec(std::min(wait, notifier.watchdog_interval().value_or(wait)));
    const int signal = sigtimedwait(&set, nullptr, &limit);
    if (signal == SIGINT || signal == SIGTERM) return signal;
    if (signal == SIGHUP) {
      if (greeted) notifier.reloading();
      reload(context, args, server);
      if (greeted) notifier.ready(server.url());
      continue;
    }
    trim_memory();
    TG_TRY(wait, server.keep_house(*context.transport));
    // A store that is away is no reason to be restarted; an HTTP server that is silent is.
    if (notifier.watchdog_interval() && !is_silent(*context.transport, server.url()))
      notifier.alive();
  }
}

// A server mostly waits: a few arenas and early trimming keep it small.
void keep_memory_small() {
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_TRIM_THRESHOLD, 256 << 10);
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
}

Result<int> serve(cli::Context& context, const cli::Args& args, Parts parts) {
  TG_TRY(Config config, read_config(context, args));
  // A worker's port is for probes only: without a wish it must not collide with a server's.
  if (parts == Parts::Worker && config.settings.at("listen").origin == Origin::Default) {
    config.listen = "127.0.0.1:0";
  }
  configure_log(context, config);
  keep_memory_small();
  ::umask(077);
  warn_of_unknown_variables();
  forget_secret_variables();
  raise_descriptor_limit();
  Notifier notifier = Notifier::from_environment();
  const sigset_t signals = block_signals();
  ServerProcess server(config, parts);
  // A store that is migrated may take longer than a service manager waits.
  notifier.starting("opening the store", std::chrono::minutes(10));
  TG_CHECK(server.start());
  log::info("listening",
            {{"url", server.url()}, {"version", version()}, {"pid", std::int64_t{::getpid()}}});
  TG_TRY(const int signal, wait_for_end(signals, context, args, config, parts, server, notifier));
  notifier.stopping("waiting for runs to end", stop_limit(config));
  log::info("stopping", {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"},
                         {"drain", format_duration(config.drain)}});
  // From here on a second signal ends the process at once.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  server.stop();
  log::info("stopped");
  return 0;
}

cli::Command command(const char* name, const char* summary, Parts parts) {
  std::vector<cli::Option> options = config_options();
  if (parts == Parts::Worker) {
    std::ranges::find(options, "--listen", &cli::Option::name)->help =
        "Address of /healthz and /readyz (default: a free port of 127.0.0.1)";
  }
  return {name, summary, std::move(options), [parts](cli::Context& context, const cli::Args& args) {
            return serve(context, args, parts);
          }};
}

}  // namespace

std::vector<cli::Command> serve_commands() {
  return {
      command("serve", "Run the server: API, scheduler and worker in one process", Parts::All),
      command("api", "Run only the API, beside workers on the same store", Parts::Api),
      command(
          "worker",
          "Run only the scheduler and worker; answers /healthz and /readyz (default: a free port)",
          Parts::Worker)};
}

}  // namespace tidegate::app

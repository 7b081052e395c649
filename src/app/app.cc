#include "app/app.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <clocale>
#include <csignal>
#include <cstring>
#include <exception>

#include "app/commands/commands.h"
#include "app/sync/scrub.h"
#include "base/log.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "httpclient/http_client.h"

namespace tidegate::app {
namespace {

std::atomic<bool> g_interrupted = false;  // a signal handler can reach nothing else

void catch_interrupts() {
  struct sigaction action{};
  action.sa_handler = [](int) { g_interrupted.store(true, std::memory_order_relaxed); };
  sigemptyset(&action.sa_mask);
  // No SA_RESTART: a blocked read or poll returns and looks at the flag. A second signal kills.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// A core file would hold tokens and passwords.
void forbid_core_dumps() {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
}

std::string own_path() {
  std::array<char, 4096> path{};
  const ssize_t n = ::readlink("/proc/self/exe", path.data(), path.size());
  return n > 0 ? std::string(path.data(), static_cast<std::size_t>(n)) : "tidegate";
}

Result<int> dispatch(cli::Context& context, const std::vector<std::string>& words) {
  std::vector<cli::Command> commands = local_commands();
  for (cli::Command& c : cli::server_commands()) commands.push_back(std::move(c));
  std::vector<cli::Group> groups = local_groups();
  for (cli::Group& g : cli::server_groups()) groups.push_back(std::move(g));
  TG_TRY(cli::Invocation invocation, cli::parse(commands, groups, words));
  if (!invocation.command) {
    context.io.out(invocation.help);
    return 0;
  }
  return invocation.command->action(context, invocation.args);
}

void print_error(const cli::Io& io, const Error& error) {
  std::string text = "tidegate: " + error.message + "\n";
  for (const FieldError& d : error.details) {
    text += "  " + (d.field.empty() ? "" : d.field + ": ") + d.message + "\n";
  }
  io.err(escape_controls(text, "\n\t"));
}

}  // namespace

int run(std::span<char*> argv) {
  forbid_core_dumps();
  std::setlocale(LC_ALL, "C");
  const std::vector<std::string> words(argv.begin() + (argv.empty() ? 0 : 1), argv.end());
  httpclient::Client client;
  cli::Context context{.io = cli::Io::standard(),
                       .transport = &client,
                       .interrupted = &g_interrupted,
                       .catch_interrupts = catch_interrupts,
                       .password_in_argv = scrub_passwords(argv),
                       .program = own_path()};
  context.configured_data = [&context]() -> Result<std::optional<std::string>> {
    TG_TRY(const Config config, read_config(context, cli::Args()));
    if (config.settings.find("data")->second.origin != Origin::File) return std::nullopt;
    return config.data_dir;
  };
  try {
    const Result<int> code = dispatch(context, words);
    if (code && *context.io.out_failed != 0) {
      context.io.err(fmt::format("tidegate: cannot write to standard output: {}\n",
                                 std::strerror(*context.io.out_failed)));
      return *code == 0 ? 1 : *code;
    }
    if (code) return *code;
    print_error(context.io, code.error());
    return traits(code.error().code).exit_code;
  } catch (const std::exception& e) {
    context.io.err(std::string("tidegate: internal error: ") + e.what() + "\n");
    return 1;
  }
}

}  // namespace tidegate::app

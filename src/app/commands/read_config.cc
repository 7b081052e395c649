#include <fmt/format.h>
#include <unistd.h>

#include <thread>

#include "app/commands/commands.h"
#include "cli/locate.h"

extern char** environ;

namespace tidegate::app {

std::vector<std::pair<std::string, std::string>> unknown_variables_here() {
  std::vector<std::string> names;
  for (char** e = environ; *e; ++e) {
    const std::string_view entry(*e);
    names.emplace_back(entry.substr(0, entry.find('=')));
  }
  return unknown_variables(names);
}

std::vector<cli::Option> config_options() {
  std::vector<cli::Option> out = {{"--config",
                                   "Configuration file (TIDEGATE_CONFIG; default: ./tidegate.yaml)",
                                   cli::Arity::One,
                                   false,
                                   "FILE",
                                   {}}};
  for (const Key& key : config_keys()) {
    if (key.secret) continue;
    std::string help(key.text);
    if (!key.fallback.empty()) help += fmt::format(" (default: {})", key.fallback);
    out.push_back({flag_name(key),
                   std::move(help),
                   cli::Arity::One,
                   false,
                   std::string(type_name(key.type)),
                   {}});
  }
  return out;
}

Result<Config> read_config(const cli::Context& context, const cli::Args& args, bool with_file) {
  ConfigInput input;
  for (const Key& key : config_keys()) {
    if (auto value = args.get(flag_name(key).substr(2)))
      input.flags[std::string(key.name)] = *value;
  }
  input.env = context.io.env;
  input.program = context.program;
  input.cores = static_cast<int>(std::thread::hardware_concurrency());
  std::string file = args.get_or("config", context.io.env("TIDEGATE_CONFIG").value_or(""));
  if (file.empty() && ::access("tidegate.yaml", F_OK) == 0) file = "tidegate.yaml";
  if (with_file && !file.empty()) {
    TG_TRY(input.file_text, cli::read_text_file(file));
    input.file = file;
  }
  return load_config(input);
}

}  // namespace tidegate::app

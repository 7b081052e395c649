#pragma once
// The commands that work without a server, or are one.

#include <vector>

#include "app/config/config.h"
#include "cli/command.h"

namespace tidegate::app {

std::vector<cli::Command> local_commands();
std::vector<cli::Group> local_groups();

// One per file of this folder.
cli::Command version_command();
cli::Command config_command();
std::vector<cli::Command> cron_commands();
cli::Command sync_command();
std::vector<cli::Command> backup_commands();
cli::Command migrate_command();
cli::Command doctor_command();
cli::Command secrets_rotate_command();
std::vector<cli::Command> serve_commands();

// --config FILE and one flag for each configuration key that has one.
std::vector<cli::Option> config_options();
// From those flags, the environment and, with `with_file`, the file: --config, TIDEGATE_CONFIG,
// ./tidegate.yaml.
Result<Config> read_config(const cli::Context& context, const cli::Args& args,
                           bool with_file = true);

// unknown_variables() of this process.
std::vector<std::pair<std::string, std::string>> unknown_variables_here();

}  // namespace tidegate::app

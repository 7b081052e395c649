#pragma once
// The commands that talk to a server's REST API.

#include <vector>

#include "cli/command.h"

namespace tidegate::cli {

std::vector<Command> server_commands();
std::vector<Group> server_groups();

// One list per file.
std::vector<Command> job_commands();
std::vector<Command> run_commands();
std::vector<Command> connection_commands();
std::vector<Command> token_commands();
std::vector<Command> admin_commands();
std::vector<Command> apply_commands();

// What most commands take besides their own: server_options() and, with `output`, --output.
std::vector<Option> with_common(std::vector<Option> own, bool output = true);
// The same without --workspace: of what stands above workspaces.
std::vector<Option> with_server(std::vector<Option> own, bool output = true);

}  // namespace tidegate::cli

#pragma once
// The commands that talk to a server's REST API.

#include <vector>

#include "cli/command.h"

namespace tidegate::cli {

std::vector<Command> server_commands();
std::vector<Group> server_groups();

}  // namespace tidegate::cli

#include "cli/commands.h"

namespace tidegate::cli {

std::vector<Command> server_commands() { return {}; }

std::vector<Group> server_groups() { return {}; }

}  // namespace tidegate::cli

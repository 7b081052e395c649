#include "cli/commands.h"

namespace tidegate::cli {

std::vector<Command> server_commands() {
  std::vector<Command> out;
  for (auto* list : {job_commands, run_commands, connection_commands, token_commands,
                     admin_commands, apply_commands}) {
    for (Command& c : list()) out.push_back(std::move(c));
  }
  return out;
}

std::vector<Group> server_groups() {
  return {{"jobs", "Manage and run sync jobs"}, {"runs", "Look at runs, cancel and retry them"},
          {"sources", "Manage data sources"},   {"destinations", "Manage destinations"},
          {"token", "Manage API tokens"},       {"workspaces", "Manage workspaces"},
          {"workers", "Look at the workers"}};
}

std::vector<Option> with_common(std::vector<Option> own, bool output) {
  if (output) own.push_back(output_option());
  for (Option& o : server_options()) own.push_back(std::move(o));
  return own;
}

std::vector<Option> with_server(std::vector<Option> own, bool output) {
  std::vector<Option> options = with_common(std::move(own), output);
  std::erase_if(options, [](const Option& o) { return o.name == "-w,--workspace"; });
  return options;
}

}  // namespace tidegate::cli

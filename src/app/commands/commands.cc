#include "app/commands/commands.h"

namespace tidegate::app {

std::vector<cli::Command> local_commands() {
  std::vector<cli::Command> out;
  for (cli::Command& c : serve_commands()) out.push_back(std::move(c));
  out.push_back(sync_command());
  for (cli::Command& c : cron_commands()) out.push_back(std::move(c));
  out.push_back(config_command());
  out.push_back(doctor_command());
  for (cli::Command& c : backup_commands()) out.push_back(std::move(c));
  out.push_back(migrate_command());
  out.push_back(secrets_rotate_command());
  out.push_back(version_command());
  return out;
}

std::vector<cli::Group> local_groups() {
  return {{"cron", "Try out cron expressions"}, {"secrets", "Keys of the stored secrets"}};
}

}  // namespace tidegate::app

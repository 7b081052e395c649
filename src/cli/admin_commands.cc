// What stands above workspaces: themselves, and the workers.
#include <fmt/format.h>

#include "cli/api_client.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace tidegate::cli {
namespace {

using boost::json::value;

constexpr const char* kWorkspaces = "/api/workspaces";

const std::vector<Column>& workspace_columns() {
  static const std::vector<Column> columns = {
      {"ID", "id"}, {"NAME", "name"}, {"CREATED", "createdAt"}};
  return columns;
}

Result<int> list_workspaces(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const boost::json::array all, api.list(kWorkspaces));
  return print(context.io, args, all, workspace_columns());
}

Result<int> create_workspace(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const value made,
         api.call({.method = "POST",
                   .path = kWorkspaces,
                   .body = boost::json::object{{"name", args.get_or("NAME", "")}}}));
  return print(context.io, args, made, workspace_columns());
}

Result<int> delete_workspace(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const boost::json::object found,
         api.find(kWorkspaces, "workspace", args.get_or("NAME", "")));
  TG_TRY(const value gone, api.call({.method = "DELETE",
                                     .path = kWorkspaces + ("/" + text_at(found, "id")),
                                     .body = nullptr}));
  context.io.err(fmt::format("deleted workspace {}\n", text_at(found, "name")));
  return 0;
}

Result<int> list_workers(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const value all, api.call({.path = "/api/workers", .body = nullptr}));
  return print(context.io, args, all,
               {{"ID", "id"},
                {"HOST", "host"},
                {"PID", "pid"},
                {"VERSION", "version"},
                {"LEADS", "leader"},
                {"DRAINING", "draining"},
                {"RUNS", "",
                 [](const value& w) {
                   return fmt::format("{} of {}", cell_text(at_path(w, "running")),
                                      cell_text(at_path(w, "capacity")));
                 }},
                {"STARTED", "startedAt"},
                {"SEEN", "seenAt"}});
}

}  // namespace

std::vector<Command> admin_commands() {
  return {
      {"workspaces list", "List the workspaces that the token reaches", with_server({}),
       list_workspaces},
      {"workspaces create", "Create a workspace",
       with_server({{"NAME", "1 to 63 of a-z, 0-9 and '-'", Arity::One, true}}), create_workspace},
      {"workspaces delete", "Delete an empty workspace",
       with_server({{"NAME", "Name or id of the workspace", Arity::One, true}}, false),
       delete_workspace},
      {"workers list", "List the workers seen in the last minute", with_server({}), list_workers},
  };
}

}  // namespace tidegate::cli

#include <fmt/format.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/api_client.h"
#include "cli/commands.h"
#include "cli/names.h"
#include "cli/output.h"

namespace tidegate::cli {
namespace {

using boost::json::object;
using boost::json::value;

std::vector<Column> columns(const Names& workspaces) {
  const auto reach = [&workspaces](const value& token) {
    const auto* ids = at_path(token, "workspaces").if_array();
    std::string out;
    for (const auto& id : ids ? *ids : boost::json::array())
      out += (out.empty() ? "" : ", ") + name_or_id(workspaces, cell_text(id));
    return out.empty() ? "all" : out;
  };
  return {{"ID", "id"},
          {"NAME", "name"},
          {"ROLE", "role"},
          {"WORKSPACES", "", reach},
          {"EXPIRES", "expiresAt"},
          {"CREATED", "createdAt"}};
}

Result<int> create(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  object body{{"name", args.get_or("NAME", "")}, {"role", args.get_or("role", "viewer")}};
  if (const auto expires = args.get("expires")) body["expiresAt"] = *expires;
  if (args.has("workspaces")) {
    boost::json::array names;
    for (const std::string& name : args.all("workspaces", true)) names.emplace_back(name);
    if (names.empty()) {
      return fail(Code::Invalid,
                  "--workspaces is empty; name a workspace, or leave it out for all workspaces");
    }
    body["workspaces"] = std::move(names);
  }
  TG_TRY(const value made,
         api.call({.method = "POST", .path = "/api/tokens", .body = std::move(body)}));
  const Names workspaces = names_for(api, args, "/api/workspaces", "workspace", made, "workspaces");
  std::vector<Column> shown = columns(workspaces);
  shown.push_back({"TOKEN", "token"});
  print(context.io, args, made, shown);
  context.io.err("The token is shown this once; keep it in a file of mode 0600.\n");
  return 0;
}

Result<int> list(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const boost::json::array all, api.list("/api/tokens"));
  const Names workspaces = names_for(api, args, "/api/workspaces", "workspace", all, "workspaces");
  return print(context.io, args, all, columns(workspaces));
}

Result<int> revoke(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const boost::json::array all, api.list("/api/tokens"));
  const std::string ref = args.get_or("TOKEN", "");
  for (const auto& token : all) {
    if (text_at(token, "id") != ref && text_at(token, "name") != ref) continue;
    TG_TRY(const value gone, api.call({.method = "DELETE",
                                       .path = "/api/tokens/" + text_at(token, "id"),
                                       .body = nullptr}));
    context.io.err(fmt::format("revoked token {}\n", text_at(token, "name")));
    return 0;
  }
  return fail(Code::NotFound,
              fmt::format("there is no token \"{}\"; `tidegate token list` shows them", ref),
              "token_not_found");
}

// Asks on a terminal, reads a line from a pipe; never from argv, which is public.
Result<std::string> ask_token(Context& context, const Args& args) {
  if (const auto path = args.get("token-file")) return read_file(context.io, *path, 4096);
  if (context.io.in_is_terminal) context.io.err("API token: ");
  auto line = context.io.read_line();
  if (!line || line->empty())
    return fail(Code::Invalid, "no token was given; give --token-file FILE or type it", "usage");
  return std::move(*line);
}

Result<int> login(Context& context, const Args& args) {
  TG_TRY(const std::string url, server_url(args.get_or("URL", ""), "URL"));
  TG_TRY(const std::string typed, ask_token(context, args));
  const std::string token(trim_end(typed));
  const std::string path = login_path(context.io);
  // Tried before it is kept.
  ApiClient api(context, {.url = url,
                          .url_from = "URL",
                          .token = Secret(token),
                          .token_from = args.get_or("token-file", "what was typed"),
                          .ca_file = args.get_or("ca-file", "")});
  TG_TRY(const value answer, api.call({.path = "/api/workspaces", .body = nullptr}));
  TG_CHECK(write_private_file(path, json::write(object{{"url", url}, {"token", token}})));
  context.io.err(fmt::format("logged in to {}; kept in {}\n", url, path));
  return 0;
}

}  // namespace

std::vector<Command> token_commands() {
  return {
      {"token create", "Make a token; it is shown once",
       with_server({{"NAME", "What it is for", Arity::One, true},
                    {"--role",
                     "viewer, operator or admin (default: viewer)",
                     Arity::One,
                     false,
                     "ROLE",
                     {"viewer", "operator", "admin"}},
                    {"--workspaces", "Workspaces it is for, separated by commas (default: all)",
                     Arity::Many, false, "NAME,NAME"},
                    {"--expires", "RFC 3339 time of its end", Arity::One, false, "TIME"}}),
       create},
      {"token list", "List the tokens", with_server({}), list},
      {"token revoke", "Make a token useless",
       with_server({{"TOKEN", "Name or id", Arity::One, true}}, false), revoke},
      {"login",
       "Remember a server and its token for the commands that need one",
       {{"URL", "Address of the server", Arity::One, true},
        {"--token-file", "File with the token (default: asked for)", Arity::One, false, "FILE"},
        {"--ca-file", "Authorities to trust for https (PEM)", Arity::One, false, "FILE"}},
       login},
  };
}

}  // namespace tidegate::cli

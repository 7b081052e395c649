#include <fmt/format.h>

#include "cli/api_client.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/yaml.h"

namespace tidegate::cli {
namespace {

using boost::json::object;
using boost::json::value;

// Sources and destinations differ in their words only.
struct Kind {
  const char* word;  // the command
  const char* one;   // `source`
  const char* path;
};
constexpr Kind kSources{"sources", "source", "/data-sources"};
constexpr Kind kDestinations{"destinations", "destination", "/destinations"};

const std::vector<Column>& columns() {
  static const std::vector<Column> list = {
      {"ID", "id"},
      {"NAME", "name"},
      {"TYPE", "type"},
      {"CONFIG", "", [](const value& row) {
         std::string out;
         if (const auto* o = at_path(row, "config").if_object()) {
           for (const auto& [key, v] : *o) {
             out += (out.empty() ? "" : ", ") + std::string(key) + "=" + cell_text(v);
           }
         }
         return out;
       }}};
  return list;
}

Result<int> list(const Kind& kind, Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const boost::json::array all, api.list(kind.path));
  return print(context.io, args, all, columns());
}

Result<object> config_from(Context& context, const Args& args) {
  object config;
  if (const auto path = args.get("file")) {
    TG_TRY(const std::string text, read_file(context.io, *path));
    TG_TRY(value document, read_yaml(text, origin_of(*path)));
    TG_TRY(document, expand_env(std::move(document), context.io.env));
    if (!document.is_object())
      return fail(Code::Malformed, fmt::format("{} must be a map of settings", origin_of(*path)));
    config = document.get_object();
  }
  for (const std::string& assignment : args.all("config")) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(Code::Invalid, fmt::format("--config wants NAME=VALUE, not \"{}\"", assignment),
                  "usage");
    }
    TG_TRY(value v, read_yaml(assignment.substr(equals + 1), "--config"));
    TG_TRY(v, expand_env(std::move(v), context.io.env));
    config[assignment.substr(0, equals)] = std::move(v);
  }
  return config;
}

Result<int> add(const Kind& kind, Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(object config, config_from(context, args));
  TG_TRY(const value made, api.call({.method = "POST",
                                     .path = kind.path,
                                     .body = object{{"name", args.get_or("NAME", "")},
                                                    {"type", args.get_or("type", "")},
                                                    {"config", std::move(config)}}}));
  return print(context.io, args, made, columns());
}

Result<value> ask(const Kind& kind, ApiClient& api, const Args& args, const char* verb) {
  TG_TRY(const object found, api.find(kind.path, kind.one, args.get_or("NAME", "")));
  return api.call({.method = "POST",
                   .path = fmt::format("{}/{}/{}", kind.path, text_at(found, "id"), verb),
                   .body = object(),
                   .timeout = kConnectorTime});
}

Result<int> check(const Kind& kind, Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const value answer, ask(kind, api, args, "check"));
  print(context.io, args, answer, {{"OK", "ok"}, {"MESSAGE", "message"}});
  const auto* ok = at_path(answer, "ok").if_bool();
  return ok && *ok ? 0 : 1;
}

Result<int> discover(const Kind& kind, Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const value answer, ask(kind, api, args, "discover"));
  const value& entities = at_path(answer, "entities");
  return print(context.io, args, entities.is_array() ? entities : answer,
               {{"ENTITY", "name"},
                {"PRIMARY KEY", "primaryKey"},
                {"CURSOR", "cursor"},
                {"COLUMNS", "", [](const value& e) {
                   const auto* list = at_path(e, "columns").if_array();
                   std::string out;
                   for (const auto& c : list ? *list : boost::json::array()) {
                     out +=
                         (out.empty() ? "" : ", ") + text_at(c, "name") + " " + text_at(c, "type");
                   }
                   return out;
                 }}});
}

Result<int> remove(const Kind& kind, Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const object found, api.find(kind.path, kind.one, args.get_or("NAME", "")));
  TG_TRY(const value gone, api.call({.method = "DELETE",
                                     .path = fmt::format("{}/{}", kind.path, text_at(found, "id")),
                                     .body = nullptr}));
  context.io.err(fmt::format("deleted {} {}\n", kind.one, text_at(found, "name")));
  return 0;
}

void add_kind(std::vector<Command>& out, const Kind& kind) {
  const Option name = {"NAME", fmt::format("Name or id of the {}", kind.one), Arity::One, true};
  const auto command = [&](const char* word, std::string summary, std::vector<Option> options,
                           auto action) {
    out.push_back({fmt::format("{} {}", kind.word, word), std::move(summary), std::move(options),
                   [kind, action](Context& c, const Args& a) { return action(kind, c, a); }});
  };
  command("list", fmt::format("List the {}", kind.word), with_common({}), list);
  command(
      "add", fmt::format("Add a {}", kind.one),
      with_common(
          {{"NAME", "Name to give it", Arity::One, true},
           {"--type", "Connector, such as file or sqlite", Arity::One, true, "TYPE"},
           {"-c,--config", "Setting of the connector; ${ENV} is allowed; may be repeated",
            Arity::Many, false, "NAME=VALUE"},
           {"-f,--file", "YAML or JSON with the settings; - is stdin", Arity::One, false, "FILE"}}),
      add);
  command("check", fmt::format("Try whether a {} can be used", kind.one), with_common({name}),
          check);
  command("discover", fmt::format("List the entities of a {}", kind.one), with_common({name}),
          discover);
  command("delete", fmt::format("Delete a {} that no job uses", kind.one),
          with_common({name}, false), remove);
}

}  // namespace

std::vector<Command> connection_commands() {
  std::vector<Command> out;
  add_kind(out, kSources);
  add_kind(out, kDestinations);
  return out;
}

}  // namespace tidegate::cli

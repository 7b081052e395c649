#include <fmt/format.h>

#include <algorithm>

#include "cli/api_client.h"
#include "cli/apply_plan.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/yaml.h"

namespace tidegate::cli {
namespace {

using boost::json::object;
using boost::json::value;
using Ids = std::map<std::string, std::string>;

Result<Existing> read_existing(ApiClient& api) {
  Existing out;
  for (std::size_t s = 0; s < 3; ++s) {
    TG_TRY(out.items[s], api.list(std::string(section_path(static_cast<Section>(s)))));
  }
  return out;
}

Ids ids_of(const boost::json::array& items) {
  Ids out;
  for (const value& item : items) out[text_at(item, "name")] = text_at(item, "id");
  return out;
}

// One change; the id of what was created.
Result<std::string> execute(ApiClient& api, const Change& change, const Ids& sources,
                            const Ids& destinations) {
  const std::string path(section_path(change.section));
  if (change.kind == ChangeKind::Delete) {
    TG_TRY(const value gone, api.call({.method = "DELETE",
                                       .path = path + "/" + change.id,
                                       .body = nullptr,
                                       .if_match = change.revision}));
    return change.id;
  }
  object body = api_body(change, sources, destinations);
  Call call{.method = "POST", .path = path, .body = std::move(body)};
  if (change.kind == ChangeKind::Update) {
    call.method = "PUT";
    call.path += "/" + change.id;
    call.if_match = change.revision;
  }
  TG_TRY(const value made, api.call(call));
  return text_at(made, "id");
}

// The next change would fail the same way.
bool is_hopeless(Code code) {
  return code == Code::Unavailable || code == Code::Unauthorized || code == Code::Cancelled;
}

// One change that is refused stops no other; each refusal is named.
Status execute_all(ApiClient& api, const ApplyPlan& plan, const Existing& existing) {
  Ids sources = ids_of(existing.items[0]);
  Ids destinations = ids_of(existing.items[1]);
  std::size_t done = 0;
  std::optional<Error> failed;
  for (const Change& change : plan.changes) {
    const std::string what = fmt::format(
        "{} \"{}\"", kSectionNames[static_cast<std::size_t>(change.section)], change.name);
    auto id = execute(api, change, sources, destinations);
    if (!id) {
      Error& error = id.error();
      if (!failed) failed.emplace(error.code, "", error.reason, std::vector<FieldError>());
      failed->details.push_back({what, std::move(error.message), std::nullopt});
      for (FieldError& d : error.details) {
        failed->details.push_back({fmt::format("{} {}", what, d.field), std::move(d.message), {}});
      }
      if (is_hopeless(error.code)) break;
      continue;
    }
    if (change.section == Section::Source) sources[change.name] = *id;
    if (change.section == Section::Destination) destinations[change.name] = *id;
    ++done;
  }
  if (!failed) return {};
  failed->message = fmt::format(
      "{} of {} changes were made; mend what is named here, and the same command makes what is "
      "left",
      done, plan.changes.size());
  return fail(std::move(*failed));
}

// What the server would refuse of the connections, by its own rules, before the first change is
// made. Paths are left to the server: it alone knows its folders.
Status check_connections(ApiClient& api, const ApplyPlan& plan) {
  const auto& faults_of = api.context().connection_faults;
  const auto writes_connection = [](const Change& c) {
    return c.kind != ChangeKind::Delete && c.section != Section::Job;
  };
  if (!faults_of || std::ranges::none_of(plan.changes, writes_connection)) return {};
  TG_TRY(const value connectors, api.call({.path = "/api/connectors", .body = nullptr}));
  std::vector<FieldError> faults;
  for (const Change& c : plan.changes) {
    if (!writes_connection(c)) continue;
    const auto word = kSectionNames[static_cast<std::size_t>(c.section)];
    for (FieldError& f : faults_of(connectors, c.section == Section::Source, c.body)) {
      f.field = fmt::format("{}s[\"{}\"].{}", word, c.name, f.field);
      faults.push_back(std::move(f));
    }
  }
  if (faults.empty()) return {};
  return fail(Error{Code::Invalid, "the file is not valid; nothing was changed", "invalid_file",
                    std::move(faults)});
}

Result<int> apply(Context& context, const Args& args) {
  const std::string file = args.get_or("file", "");
  TG_TRY(const std::string text, read_file(context.io, file));
  TG_TRY(value document, read_yaml(text, file));
  TG_TRY(document, expand_env(std::move(document), context.io.env));
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const Existing existing, read_existing(api));
  TG_TRY(const Declared declared, read_declared(document, existing));
  const ApplyPlan plan =
      plan_apply(declared, existing, args.has("prune"), args.has("send-secrets"));
  context.io.out(format_plan(plan));
  TG_CHECK(check_connections(api, plan));
  if (args.has("dry-run")) {
    context.io.out("nothing was changed (--dry-run)\n");
    return 0;
  }
  TG_CHECK(execute_all(api, plan, existing));
  if (!plan.changes.empty())
    context.io.out(fmt::format("applied {} change{}\n", plan.changes.size(),
                               plan.changes.size() == 1 ? "" : "s"));
  return 0;
}

Result<int> export_all(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const Existing existing, read_existing(api));
  const object file = export_file(existing);
  context.io.out(args.get_or("output", "yaml") == "json" ? format_json(file) : write_yaml(file));
  return 0;
}

}  // namespace

std::vector<Command> apply_commands() {
  return {
      {"apply", "Make a server equal to a file: print the plan, then change",
       with_common(
           {{"-f,--file", "YAML with sources, destinations and jobs; - is stdin; ${ENV} is allowed",
             Arity::One, true, "FILE"},
            {"--dry-run", "Print the plan and change nothing", Arity::Flag},
            {"--prune", "Delete what neither the file nor a job of it names", Arity::Flag},
            {"--send-secrets", "Send secrets again, which cannot be compared", Arity::Flag}},
           false),
       apply},
      {"export", "Print everything in the form that apply reads; secrets become ${NAME}",
       with_common({{"-o,--output",
                     "yaml or json (default: yaml)",
                     Arity::One,
                     false,
                     "FORMAT",
                     {"yaml", "json"}}},
                   false),
       export_all},
  };
}

}  // namespace tidegate::cli

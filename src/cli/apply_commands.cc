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

Call write_call(const Change& change, const Ids& sources, const Ids& destinations) {
  const std::string path(section_path(change.section));
  switch (change.kind) {
    case ChangeKind::Create:
      return {.method = "POST", .path = path, .body = api_body(change, sources, destinations)};
    case ChangeKind::Update:
      return {.method = "PUT",
              .path = path + "/" + change.id,
              .body = api_body(change, sources, destinations),
              .if_match = change.revision};
    case ChangeKind::Delete:
      break;
  }
  return {.method = "DELETE",
          .path = path + "/" + change.id,
          .body = nullptr,
          .if_match = change.revision};
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
    auto made = api.call(write_call(change, sources, destinations));
    if (!made) {
      Error& error = made.error();
      if (!failed) failed.emplace(error.code, "", error.reason, std::vector<FieldError>());
      failed->details.push_back({what, std::move(error.message), std::nullopt});
      for (FieldError& d : error.details) {
        failed->details.push_back({fmt::format("{} {}", what, d.field), std::move(d.message), {}});
      }
      if (is_hopeless(error.code)) break;
      continue;
    }
    if (change.section == Section::Source) sources[change.name] = text_at(*made, "id");
    if (change.section == Section::Destination) destinations[change.name] = text_at(*made, "id");
    ++done;
  }
  if (!failed) return {};
  failed->message = fmt::format(
      "{} of {} changes were made; mend what is named here, and the same command makes what is "
      "left",
      done, plan.changes.size());
  return fail(std::move(*failed));
}

// What the server would refuse, before the first change is made: it judges each body by its own
// rules, folders and roles. A deletion has no body to judge.
Status try_all(ApiClient& api, const ApplyPlan& plan, const Existing& existing) {
  const Ids sources = ids_of(existing.items[0]);
  const Ids destinations = ids_of(existing.items[1]);
  std::optional<Error> refused;
  for (const Change& change : plan.changes) {
    if (change.kind == ChangeKind::Delete) continue;
    Call call = write_call(change, sources, destinations);
    call.query = {{"dryRun", "true"}};
    auto tried = api.call(call);
    if (tried) continue;
    Error& error = tried.error();
    if (is_hopeless(error.code)) return fail(std::move(error));
    const auto names_it = [](const FieldError& d) { return d.field == "dryRun"; };
    if (std::ranges::any_of(error.details, names_it)) {
      return fail(Code::Invalid,
                  "the server is older than this program and cannot try a change before it is "
                  "made; upgrade the server first. Nothing was changed",
                  "server_too_old");
    }
    if (!refused) {
      refused.emplace(error.code, "the server refuses it; nothing was changed", error.reason,
                      std::vector<FieldError>());
    }
    const std::string where = fmt::format(
        "{}s[\"{}\"]", kSectionNames[static_cast<std::size_t>(change.section)], change.name);
    if (error.details.empty()) refused->details.push_back({where, error.message, std::nullopt});
    for (FieldError& d : error.details) {
      refused->details.push_back({fmt::format("{}.{}", where, d.field), std::move(d.message), {}});
    }
  }
  return refused ? fail(std::move(*refused)) : Status();
}

std::unexpected<Error> about_file(const std::string& file, Error error) {
  error.message = fmt::format("{}: {}", file == "-" ? "stdin" : file, error.message);
  return fail(std::move(error));
}

Result<int> apply(Context& context, const Args& args) {
  const std::string file = args.get_or("file", "");
  TG_TRY(const std::string text, read_file(context.io, file));
  TG_TRY(value document, read_yaml(text, file));
  TG_TRY(document, expand_env(std::move(document), context.io.env));
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const Existing existing, read_existing(api));
  const auto declared = read_declared(document, existing);
  if (!declared) return about_file(file, declared.error());
  const ApplyPlan plan =
      plan_apply(*declared, existing, args.has("prune"), args.has("send-secrets"));
  context.io.out(format_plan(plan));
  if (Status tried = try_all(api, plan, existing); !tried) {
    const bool is_of_file = !tried.error().details.empty();
    return is_of_file ? about_file(file, std::move(tried).error()) : fail(std::move(tried).error());
  }
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

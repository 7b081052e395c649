#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value_from.hpp>

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

std::string label(const Change& change) {
  return fmt::format("{} \"{}\"", kSectionNames[static_cast<std::size_t>(change.section)],
                     change.name);
}

// What became of the plan.
struct Outcome {
  std::vector<std::vector<std::string>> warnings;  // of each change
  std::vector<bool> made;
};

// Keeps the warnings of an answer, and prints those that are new: the trial has had most of them.
void keep_warnings(const Io& io, const Change& change, const value& answer,
                   std::vector<std::string>& known) {
  const auto* list = at_path(answer, "warnings").if_array();
  for (const value& item : list == nullptr ? boost::json::array() : *list) {
    std::string text = cell_text(item);
    if (std::ranges::find(known, text) != known.end()) continue;
    io.err(fmt::format("warning: {}: {}\n", label(change), one_line(text)));
    known.push_back(std::move(text));
  }
}

// One change that is refused stops no other; each refusal is named.
Status execute_all(ApiClient& api, const ApplyPlan& plan, const Existing& existing,
                   Outcome& outcome) {
  Ids sources = ids_of(existing.items[0]);
  Ids destinations = ids_of(existing.items[1]);
  std::optional<Error> failed;
  for (std::size_t i = 0; i < plan.changes.size(); ++i) {
    const Change& change = plan.changes[i];
    auto made = api.call(write_call(change, sources, destinations));
    if (!made) {
      Error& error = made.error();
      const std::string what = label(change);
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
    keep_warnings(api.context().io, change, *made, outcome.warnings[i]);
    outcome.made[i] = true;
  }
  if (!failed) return {};
  failed->message = fmt::format(
      "{} of {} changes were made; mend what is named here, and the same command makes what is "
      "left",
      std::ranges::count(outcome.made, true), plan.changes.size());
  return fail(std::move(*failed));
}

// Without those that the plan itself changes: a job is not to be judged by what they were before.
Ids settled(const boost::json::array& items, const ApplyPlan& plan, Section section) {
  Ids ids = ids_of(items);
  for (const Change& change : plan.changes) {
    if (change.section == section && change.kind != ChangeKind::Delete) ids.erase(change.name);
  }
  return ids;
}

// What the server would refuse, before the first change is made: it judges each request by its own
// rules, folders and roles. Whether a connection is still in use, the plan knows.
Status try_all(ApiClient& api, const ApplyPlan& plan, const Existing& existing, Outcome& outcome) {
  const Ids sources = settled(existing.items[0], plan, Section::Source);
  const Ids destinations = settled(existing.items[1], plan, Section::Destination);
  std::optional<Error> refused;
  for (std::size_t i = 0; i < plan.changes.size(); ++i) {
    const Change& change = plan.changes[i];
    Call call = write_call(change, sources, destinations);
    call.query = {{"dryRun", "true"}};
    auto tried = api.call(call);
    if (tried) {
      keep_warnings(api.context().io, change, *tried, outcome.warnings[i]);
      continue;
    }
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
  error.message = fmt::format("{}: {}", origin_of(file), error.message);
  return fail(std::move(error));
}

// What was planned, said of it and done, for programs.
object report(const ApplyPlan& plan, const Outcome& outcome) {
  boost::json::array changes;
  for (std::size_t i = 0; i < plan.changes.size(); ++i) {
    object change = change_json(plan.changes[i]);
    change["warnings"] = boost::json::value_from(outcome.warnings[i]);
    change["made"] = static_cast<bool>(outcome.made[i]);
    changes.push_back(std::move(change));
  }
  return {{"changes", std::move(changes)},
          {"notes", boost::json::value_from(plan.notes)},
          {"unchanged", plan.unchanged}};
}

Result<int> apply(Context& context, const Args& args) {
  const std::string file = args.get_or("file", "");
  TG_TRY(const std::string text, read_file(context.io, file));
  TG_TRY(value document, read_yaml(text, origin_of(file)));
  TG_TRY(document, expand_env(std::move(document), context.io.env));
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const Existing existing, read_existing(api));
  const auto declared = read_declared(document, existing);
  if (!declared) return about_file(file, declared.error());
  const ApplyPlan plan =
      plan_apply(*declared, existing, args.has("prune"), args.has("send-secrets"));
  const bool for_people = args.get_or("output", "table") == "table";
  const auto say = [&](std::string_view words) {
    if (for_people) context.io.out(words);
  };
  say(format_plan(plan));
  Outcome outcome{std::vector<std::vector<std::string>>(plan.changes.size()),
                  std::vector<bool>(plan.changes.size())};
  if (Status tried = try_all(api, plan, existing, outcome); !tried) {
    const bool is_of_file = !tried.error().details.empty();
    return is_of_file ? about_file(file, std::move(tried).error()) : fail(std::move(tried).error());
  }
  Status made;
  if (args.has("dry-run")) {
    say("nothing was changed (--dry-run)\n");
  } else {
    made = execute_all(api, plan, existing, outcome);
  }
  if (!for_people) print(context.io, args, report(plan, outcome), {});
  TG_CHECK(made);
  if (!plan.changes.empty() && !args.has("dry-run")) {
    say(fmt::format("applied {} change{}\n", plan.changes.size(),
                    plan.changes.size() == 1 ? "" : "s"));
  }
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
            {"--send-secrets", "Send secrets again, which cannot be compared", Arity::Flag}}),
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

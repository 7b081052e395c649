#include "cli/job_fields.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "cli/output.h"
#include "cli/progress.h"
#include "cli/yaml.h"

namespace tidegate::cli {
namespace {

using boost::json::object;
using boost::json::value;

// Sets `a.b.c` = value; makes the objects on the way.
Status set_path(object& o, std::string_view assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return fail(Code::Invalid, fmt::format("--set wants FIELD=VALUE, not \"{}\"", assignment),
                "usage");
  }
  TG_TRY(value v, read_yaml(assignment.substr(equals + 1), "--set"));
  std::string_view path = assignment.substr(0, equals);
  object* at = &o;
  while (true) {
    const std::size_t dot = path.find('.');
    if (dot == std::string_view::npos) break;
    value& next = (*at)[path.substr(0, dot)];
    if (!next.is_object()) next = object();
    at = &next.get_object();
    path.remove_prefix(dot + 1);
  }
  (*at)[path] = std::move(v);
  return {};
}

Status resolve(ApiClient& api, object& job, const char* name_field, const char* id_field,
               const char* path, const char* what) {
  const auto* name = job.if_contains(name_field);
  if (!name) return {};
  if (!name->is_string())
    return fail(Code::Invalid, fmt::format("{} must be a name or an id", name_field));
  TG_TRY(const object found, api.find(path, what, text_at(job, name_field)));
  job.erase(name_field);
  job[id_field] = text_at(found, "id");
  return {};
}

Status apply_file(ApiClient& api, const std::string& path, object& job) {
  const Io& io = api.context().io;
  TG_TRY(const std::string text, read_file(io, path));
  TG_TRY(value document, read_yaml(text, origin_of(path)));
  TG_TRY(document, expand_env(std::move(document), io.env));
  if (!document.is_object())
    return fail(Code::Malformed,
                fmt::format("{} must be a map of a job's fields", origin_of(path)));
  for (const auto& [key, v] : document.get_object()) job[key] = v;
  return {};
}

void apply_schedule(const Args& args, object& job) {
  object schedule;
  for (const char* name : {"cron", "timezone", "dst", "every", "at"}) {
    if (const auto text = args.get(name)) schedule[name] = *text;
  }
  if (schedule.empty()) return;
  const auto* old = job.contains("schedule") ? job["schedule"].if_object() : nullptr;
  // Another expression keeps the zone, another zone the expression; a schedule of another kind
  // keeps nothing.
  const bool same_kind = old != nullptr && !schedule.contains("every") &&
                         !schedule.contains("at") &&
                         (!schedule.contains("cron") || old->contains("cron"));
  object merged = same_kind ? *old : object();
  for (const auto& [key, v] : schedule) merged[key] = v;
  job["schedule"] = std::move(merged);
}

// Into the entry of each named entity, or of all; what else it has stays.
void apply_entity_options(const Args& args, object& job) {
  object options;
  if (const auto cursor = args.get("cursor")) options["cursor"] = *cursor;
  if (args.has("key")) {
    boost::json::array columns;
    for (const std::string& column : args.all("key", true)) columns.emplace_back(column);
    options["primaryKey"] = std::move(columns);
  }
  if (options.empty()) return;
  value& entities = job["entities"];
  if (!entities.is_object()) entities = object();
  std::vector<std::string> names = args.all("entity");
  if (names.empty()) names = {"*"};
  for (const std::string& name : names) {
    value& entry = entities.get_object()[name];
    if (!entry.is_object()) entry = object();
    for (const auto& [key, v] : options) entry.get_object()[key] = v;
  }
}

bool apply_options(const Args& args, object& job) {
  const object before = job;
  for (const auto& [option, field] : {std::pair{"name", "name"},
                                      {"description", "description"},
                                      {"source", "source"},
                                      {"destination", "destination"},
                                      {"mode", "syncMode"}}) {
    if (const auto text = args.get(option)) job[field] = *text;
  }
  apply_schedule(args, job);
  if (args.has("entity")) {
    boost::json::array names;
    for (const std::string& name : args.all("entity")) names.emplace_back(name);
    job["entityFilter"] = std::move(names);
  }
  apply_entity_options(args, job);
  if (args.has("enabled")) job["enabled"] = args.get("enabled") == "true";
  return job != before;
}

// The writable fields in $VISUAL or $EDITOR, as YAML.
Status edit_by_hand(Context& context, object& job) {
  const Io& io = context.io;
  const std::string editor = io.env("VISUAL").value_or(io.env("EDITOR").value_or(""));
  if (!io.in_is_terminal || editor.empty()) {
    return fail(
        Code::Invalid,
        "nothing to change; give options such as --cron or --set FIELD=VALUE, a --file, or set "
        "EDITOR on a terminal",
        "usage");
  }
  std::string path = io.env("TMPDIR").value_or("/tmp") + "/tidegate-job-XXXXXX";
  const int fd = ::mkstemp(path.data());  // mode 0600
  if (fd < 0)
    return fail(Code::Internal, "cannot make a temporary file; set TMPDIR to a writable folder");
  ::close(fd);
  TG_CHECK(write_private_file(path, write_yaml(job)));
  const int code = std::system(fmt::format("{} '{}'", editor, path).c_str());
  const auto text = read_file(io, path);
  ::unlink(path.c_str());
  if (code != 0)
    return fail(Code::Cancelled,
                fmt::format("{} ended with an error; nothing was changed", editor));
  TG_TRY(const std::string edited, text);
  TG_TRY(const value document, read_yaml(edited, path));
  if (!document.is_object())
    return fail(Code::Malformed, "the edited text is no job; nothing was changed");
  job = document.get_object();
  return {};
}

}  // namespace

std::vector<Option> job_options() {
  return {
      {"-f,--file", "YAML or JSON with fields of the job; - is stdin", Arity::One, false, "FILE"},
      {"--name", "Name of the job"},
      {"--description", "What it is for"},
      {"--source", "Data source, name or id", Arity::One, false, "NAME"},
      {"--destination", "Destination, name or id", Arity::One, false, "NAME"},
      {"--cron", "Cron expression, in quotes", Arity::One, false, "EXPR"},
      {"-z,--timezone", "IANA time zone of --cron (default: UTC)", Arity::One, false, "ZONE"},
      {"--dst",
       "Clock changes: auto, once or wall",
       Arity::One,
       false,
       "POLICY",
       {"auto", "once", "wall"}},
      {"--every", "Instead of --cron: a time such as 15m", Arity::One, false, "TIME"},
      {"--at", "Instead of --cron: once, at this RFC 3339 time", Arity::One, false, "TIME"},
      {"--mode",
       "full, full_append, incremental or incremental_append",
       Arity::One,
       false,
       "MODE",
       {"full", "full_append", "incremental", "incremental_append"}},
      {"--entity", "Name or glob of an entity; may be repeated (default: all)", Arity::Many, false,
       "NAME"},
      {"--cursor", "Cursor column, for incremental modes", Arity::One, false, "COL"},
      {"--key", "Primary key, columns separated by commas; one that has a comma in double quotes",
       Arity::Many, false, "COL,COL"},
      {"--enabled", "Whether it starts by itself", Arity::One, false, "BOOL", {"true", "false"}},
      {"--set", "Any field, as FIELD.SUBFIELD=YAML; may be repeated", Arity::Many, false,
       "FIELD=VALUE"},
  };
}

Result<object> job_from_options(ApiClient& api, const Args& args, object base) {
  object job = std::move(base);
  const bool is_new = job.empty();
  // Fields of the answer that a client does not set.
  for (const char* read_only :
       {"id", "revision", "nextRunAt", "lastRunAt", "lastSuccessAt", "lastError", "runCount",
        "consecutiveFailures", "avgDurationMs", "status", "pause", "createdBy", "createdAt",
        "updatedAt", "warnings"}) {
    job.erase(read_only);
  }
  bool changed = false;
  if (const auto path = args.get("file")) {
    TG_CHECK(apply_file(api, *path, job));
    changed = true;
  }
  changed |= apply_options(args, job);
  for (const std::string& assignment : args.all("set")) {
    TG_CHECK(set_path(job, assignment));
    changed = true;
  }
  if (!changed && !is_new) TG_CHECK(edit_by_hand(api.context(), job));
  TG_CHECK(resolve(api, job, "source", "dataSourceId", "/data-sources", "source"));
  TG_CHECK(
      resolve(api, job, "destination", "destinationDatabaseId", "/destinations", "destination"));
  return job;
}

Result<value> in_words_of_options(Result<value> answer) {
  constexpr std::pair<std::string_view, std::string_view> kOptions[] = {
      {"name", "--name"},
      {"dataSourceId", "--source"},
      {"destinationDatabaseId", "--destination"},
      {"schedule.cron", "--cron"},
      {"schedule.timezone", "--timezone"},
      {"schedule.every", "--every"},
      {"schedule.at", "--at"},
      {"schedule", "--cron, --every or --at"},
      {"syncMode", "--mode"},
      {"entityFilter", "--entity"}};
  if (answer) return answer;
  Error error = std::move(answer).error();
  for (FieldError& d : error.details) {
    const auto* option =
        std::ranges::find(kOptions, d.field, &std::pair<std::string_view, std::string_view>::first);
    if (option != std::end(kOptions)) d.field += fmt::format(" ({})", option->second);
  }
  return fail(std::move(error));
}

std::string rows_written(const value& run) {
  std::int64_t sum = 0;
  if (const auto* entities = at_path(run, "entities").if_array()) {
    for (const auto& e : *entities) {
      if (const auto* n = at_path(e, "rowsWritten").if_int64()) sum += *n;
    }
  }
  return grouped(sum);
}

}  // namespace tidegate::cli

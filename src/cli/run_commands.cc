#include <fmt/format.h>

#include "cli/api_client.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/job_fields.h"
#include "cli/names.h"
#include "cli/output.h"

namespace tidegate::cli {
namespace {

using boost::json::object;
using boost::json::value;

const Option kRun = {"RUN", "Id of the run", Arity::One, true};

std::vector<Column> list_columns(const Names& jobs) {
  return {{"RUN", "id"},
          name_column("JOB", "jobId", jobs),
          {"STATE", "state"},
          {"SCHEDULED FOR", "scheduledFor"},
          {"TRIGGER", "trigger"},
          {"STARTED", "startedAt"},
          {"DURATION MS", "durationMs"},
          {"ROWS", "", rows_written},
          {"ERROR", "error"}};
}

std::string entity_lines(const value& run) {
  std::string out;
  if (const auto* entities = at_path(run, "entities").if_array()) {
    for (const auto& e : *entities) {
      out += fmt::format("{}{}: {} ({} rows)", out.empty() ? "" : ", ", text_at(e, "entity"),
                         text_at(e, "outcome"), cell_text(at_path(e, "rowsWritten")));
    }
  }
  return out;
}

int print_run(ApiClient& api, const Args& args, const value& run) {
  const Names jobs = names_for(api, args, "/sync-jobs", "job", run, "jobId");
  return print(api.context().io, args, run,
               {{"RUN", "id"},
                name_column("JOB", "jobId", jobs),
                {"STATE", "state"},
                {"SCHEDULED FOR", "scheduledFor"},
                {"TRIGGER", "trigger"},
                {"BY", "triggeredBy"},
                {"ATTEMPT", "attempt"},
                {"CREATED", "createdAt"},
                {"STARTED", "startedAt"},
                {"FINISHED", "finishedAt"},
                {"DURATION MS", "durationMs"},
                {"ROWS", "", rows_written},
                {"ENTITIES", "", entity_lines},
                {"ERROR KIND", "errorKind"},
                {"ERROR", "error"},
                {"WARNINGS", "warnings"}});
}

// `job`: only of this one.
Result<int> print_runs(Context& context, const Args& args, const std::optional<std::string>& job) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const auto limit, args.integer("limit", 1, 100'000));
  std::vector<std::pair<std::string, std::string>> query;
  if (job) {
    TG_TRY(const object found, api.find("/sync-jobs", "job", *job));
    query.emplace_back("jobId", text_at(found, "id"));
  }
  if (const auto state = args.get("state")) query.emplace_back("state", *state);
  if (const auto since = args.get("since")) query.emplace_back("since", *since);
  TG_TRY(const boost::json::array runs,
         api.list("/runs", query, static_cast<std::size_t>(limit.value_or(20))));
  const Names jobs = names_for(api, args, "/sync-jobs", "job", runs, "jobId");
  return print(context.io, args, runs, list_columns(jobs));
}
Result<int> list(Context& context, const Args& args) {
  return print_runs(context, args, args.get("job"));
}
Result<int> history(Context& context, const Args& args) {
  return print_runs(context, args, args.get("JOB"));
}

std::string run_path(const Args& args) {
  return "/runs/" + httpclient::escape(args.get_or("RUN", ""));
}

Result<int> get(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const value run, api.call({.path = run_path(args), .body = nullptr}));
  return print_run(api, args, run);
}

Result<int> cancel(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const value run,
         api.call({.method = "POST", .path = run_path(args) + "/cancel", .body = object()}));
  return print_run(api, args, run);
}

Result<int> retry(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const value started,
         api.call({.method = "POST", .path = run_path(args) + "/retry", .body = object()}));
  return print(context.io, args, started, {{"RUN", "runId"}});
}

Result<int> logs(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_CHECK(print_log(api, httpclient::escape(args.get_or("RUN", "")), args.has("follow")));
  return 0;
}

}  // namespace

std::vector<Command> run_commands() {
  const auto choosing = [](Option first) {
    return with_common(
        {std::move(first),
         {"--state",
          "Only in this state",
          Arity::One,
          false,
          "STATE",
          {"queued", "running", "succeeded", "failed", "cancelled", "timed_out"}},
         {"--since", "Created at or after this RFC 3339 time", Arity::One, false, "TIME"},
         {"-n,--limit", "At most so many (default: 20)", Arity::One, false, "N"}});
  };
  return {
      {"runs list", "List runs, newest first",
       choosing({"--job", "Only of this job, name or id", Arity::One, false, "JOB"}), list},
      {"jobs history", "List a job's runs, newest first",
       choosing({"JOB", "Name or id of the job", Arity::One, true}), history},
      {"runs get", "Show one run", with_common({kRun}), get},
      {"runs cancel", "Stop a run at its next checkpoint", with_common({kRun}), cancel},
      {"runs retry", "Run the failed entities of a run again", with_common({kRun}), retry},
      {"runs logs", "Print the log of a run",
       with_common({kRun, {"-f,--follow", "Go on until the run has ended", Arity::Flag}}, false),
       logs},
  };
}

}  // namespace tidegate::cli

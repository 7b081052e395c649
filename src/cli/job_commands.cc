#include <fmt/format.h>

#include <algorithm>

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

constexpr const char* kJobs = "/sync-jobs";

std::string schedule_text(const value& row) {
  const value& s = at_path(row, "schedule");
  if (s.is_null()) return "by hand";
  if (const std::string cron = text_at(s, "cron"); !cron.empty()) {
    const std::string zone = text_at(s, "timezone");
    return zone.empty() || zone == "UTC" ? cron : cron + " " + zone;
  }
  if (at_path(s, "every").is_string()) return "every " + text_at(s, "every");
  return "at " + text_at(s, "at");
}

const std::vector<Column>& list_columns() {
  static const std::vector<Column> columns = {
      {"NAME", "name"},           {"STATUS", "status"},      {"SCHEDULE", "", schedule_text},
      {"MODE", "syncMode"},       {"NEXT RUN", "nextRunAt"}, {"LAST SUCCESS", "lastSuccessAt"},
      {"LAST ERROR", "lastError"}};
  return columns;
}
const std::vector<Column>& job_columns() {
  static const std::vector<Column> columns = {{"ID", "id"},
                                              {"NAME", "name"},
                                              {"DESCRIPTION", "description"},
                                              {"STATUS", "status"},
                                              {"SCHEDULE", "", schedule_text},
                                              {"MODE", "syncMode"},
                                              {"ENTITIES", "entityFilter"},
                                              {"NEXT RUN", "nextRunAt"},
                                              {"LAST RUN", "lastRunAt"},
                                              {"LAST SUCCESS", "lastSuccessAt"},
                                              {"LAST ERROR", "lastError"},
                                              {"RUNS", "runCount"},
                                              {"AVG DURATION MS", "avgDurationMs"},
                                              {"REVISION", "revision"},
                                              {"WARNINGS", "warnings"}};
  return columns;
}

// "succeeded at 2026-… (1,234 rows)" of a run inside the status.
std::string run_line(const value& run) {
  if (!run.is_object()) return "";
  std::string out = text_at(run, "state");
  if (const std::string at = text_at(run, "finishedAt"); !at.empty()) out += " at " + at;
  out += fmt::format(" ({} rows) {}", rows_written(run), text_at(run, "id"));
  if (const std::string error = text_at(run, "error"); !error.empty()) out += ": " + error;
  return out;
}

const std::vector<Column>& status_columns() {
  static const std::vector<Column> columns = {
      {"NAME", "name"},
      {"STATUS", "status"},
      {"HEALTH", "health"},
      {"CURRENT RUN", "", [](const value& s) { return run_line(at_path(s, "currentRun")); }},
      {"WAITING", "waiting.text"},
      {"LAST RUN", "", [](const value& s) { return run_line(at_path(s, "lastRun")); }},
      {"LAST NOT RUN", "lastNotRun.why"},
      {"LAST SUCCESS", "lastSuccessAt"},
      {"LAST ERROR", "lastError"},
      {"FAILURES IN A ROW", "consecutiveFailures"},
      {"AVG DURATION MS", "avgDurationMs"},
      {"NEXT RUNS", "nextRuns"}};
  return columns;
}

// One job, with the names of what it copies from and to.
int print_job(ApiClient& api, const Args& args, const value& job) {
  const Names sources = names_for(api, args, "/data-sources", "source", job, "dataSourceId");
  const Names destinations =
      names_for(api, args, "/destinations", "destination", job, "destinationDatabaseId");
  std::vector<Column> columns = job_columns();
  columns.insert(std::ranges::find(columns, "ENTITIES", &Column::title),
                 {name_column("SOURCE", "dataSourceId", sources),
                  name_column("DESTINATION", "destinationDatabaseId", destinations)});
  return print(api.context().io, args, job, columns);
}

const Option kJob = {"JOB", "Name or id of the job", Arity::One, true};

Result<int> list(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const boost::json::array jobs, api.list(kJobs));
  return print(context.io, args, jobs, list_columns());
}

Result<int> get(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const object job, api.find(kJobs, "job", args.get_or("JOB", "")));
  return print_job(api, args, job);
}

Result<int> create(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(object body, job_from_options(api, args, {}));
  TG_TRY(const value job,
         in_words_of_options(api.call({.method = "POST", .path = kJobs, .body = std::move(body)})));
  for (const auto& warning : at_path(job, "warnings").is_array()
                                 ? at_path(job, "warnings").get_array()
                                 : boost::json::array()) {
    context.io.err("warning: " + one_line(cell_text(warning)) + "\n");
  }
  return print_job(api, args, job);
}

Result<int> edit(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(object job, api.find(kJobs, "job", args.get_or("JOB", "")));
  const std::string path = kJobs + ("/" + text_at(job, "id"));
  const std::string revision = cell_text(at_path(job, "revision"));
  TG_TRY(object body, job_from_options(api, args, std::move(job)));
  TG_TRY(const value changed,
         in_words_of_options(api.call(
             {.method = "PUT", .path = path, .body = std::move(body), .if_match = revision})));
  return print_job(api, args, changed);
}

Result<int> run(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const object job, api.find(kJobs, "job", args.get_or("JOB", "")));
  object body;
  if (args.has("take-over")) body["takeOver"] = true;
  TG_TRY(const value started, api.call({.method = "POST",
                                        .path = kJobs + ("/" + text_at(job, "id") + "/run"),
                                        .body = std::move(body)}));
  const std::string id = text_at(started, "runId");
  if (!args.has("wait")) {
    return print(context.io, args, object{{"runId", id}, {"job", text_at(job, "name")}},
                 {{"RUN", "runId"}, {"JOB", "job"}});
  }
  context.io.err(fmt::format("run {} of {}\n", id, text_at(job, "name")));
  TG_TRY(const object ended, wait_for_run(api, id));
  print(context.io, args, ended,
        {{"RUN", "id"},
         {"STATE", "state"},
         {"DURATION MS", "durationMs"},
         {"ROWS", "", rows_written},
         {"ERROR", "error"}});
  return exit_code_of(ended);
}

Result<value> post(ApiClient& api, const object& job, const std::string& name, object body) {
  return api.call({.method = "POST",
                   .path = kJobs + ("/" + text_at(job, "id") + "/" + name),
                   .body = std::move(body)});
}
// pause, resume, reset: POST …/VERB.
Result<int> verb(Context& context, const Args& args, const std::string& name, object body) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const object job, api.find(kJobs, "job", args.get_or("JOB", "")));
  TG_TRY(const value changed, post(api, job, name, std::move(body)));
  return print_job(api, args, changed);
}
Result<int> pause(Context& context, const Args& args) {
  object body;
  if (const auto note = args.get("note")) body["note"] = *note;
  if (const auto until = args.get("until")) body["until"] = *until;
  return verb(context, args, "pause", std::move(body));
}

// One job after the other: what one of them refuses leaves the others before it resumed, and the
// same command goes on.
Result<int> resume_all(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const boost::json::array jobs, api.list(kJobs));
  boost::json::array resumed;
  for (const value& job : jobs) {
    if (at_path(job, "pause").is_null()) continue;
    auto changed = post(api, job.as_object(), "resume", {});
    if (!changed) {
      Error& error = changed.error();
      error.message = fmt::format("job {}: {}", text_at(job, "name"), error.message);
      return fail(std::move(error));
    }
    resumed.push_back(std::move(*changed));
  }
  return print(context.io, args, resumed, list_columns());
}
Result<int> resume(Context& context, const Args& args) {
  if (args.has("JOB") == args.has("all")) {
    return fail(Code::Invalid, "name one JOB, or --all for every paused job of the workspace",
                "usage");
  }
  return args.has("all") ? resume_all(context, args) : verb(context, args, "resume", {});
}

Result<int> reset(Context& context, const Args& args) { return verb(context, args, "reset", {}); }

Result<int> remove(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const object job, api.find(kJobs, "job", args.get_or("JOB", "")));
  TG_TRY(
      const value gone,
      api.call({.method = "DELETE", .path = kJobs + ("/" + text_at(job, "id")), .body = nullptr}));
  context.io.err(fmt::format("deleted job {}\n", text_at(job, "name")));
  return 0;
}

Result<int> status(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const object job, api.find(kJobs, "job", args.get_or("JOB", "")));
  TG_TRY(const value s,
         api.call({.path = kJobs + ("/" + text_at(job, "id") + "/status"), .body = nullptr}));
  return print(context.io, args, s, status_columns());
}

Result<int> slots(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const auto limit, args.integer("limit", 1, 100'000));
  TG_TRY(const object job, api.find(kJobs, "job", args.get_or("JOB", "")));
  std::vector<std::pair<std::string, std::string>> query;
  for (const char* name : {"since", "until"}) {
    if (const auto time = args.get(name)) query.emplace_back(name, *time);
  }
  TG_TRY(const boost::json::array all,
         api.list(kJobs + ("/" + text_at(job, "id") + "/slots"), query,
                  static_cast<std::size_t>(limit.value_or(20))));
  return print(context.io, args, all,
               {{"FIRST", "first"},
                {"LAST", "last"},
                {"COUNT", "count"},
                {"OUTCOME", "outcome"},
                {"RUN", "runId"},
                {"WHY", "why"}});
}

Result<int> next(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const auto count, args.integer("count", 1, 1000));
  TG_TRY(const object job, api.find(kJobs, "job", args.get_or("JOB", "")));
  TG_TRY(const value all, api.call({.path = kJobs + ("/" + text_at(job, "id") + "/next"),
                                    .query = {{"count", std::to_string(count.value_or(10))}},
                                    .body = nullptr}));
  return print(context.io, args, all, {{"AT", "at"}, {"LOCAL", "local"}});
}

Result<int> logs(Context& context, const Args& args) {
  TG_TRY(ApiClient api, ApiClient::connect(context, args));
  TG_TRY(const object job, api.find(kJobs, "job", args.get_or("JOB", "")));
  TG_TRY(const boost::json::array runs, api.list("/runs", {{"jobId", text_at(job, "id")}}, 1));
  if (runs.empty()) {
    return fail(Code::NotFound,
                fmt::format("job {} has no run yet; start one with `tidegate jobs run`",
                            text_at(job, "name")));
  }
  TG_CHECK(print_log(api, text_at(runs[0], "id"), args.has("follow")));
  return 0;
}

}  // namespace

std::vector<Command> job_commands() {
  std::vector<Option> edit_options = job_options();
  edit_options.insert(edit_options.begin(), kJob);
  return {
      {"jobs list", "List the jobs", with_common({}), list},
      {"jobs get", "Show one job", with_common({kJob}), get},
      {"jobs create", "Create a job from options or a file", with_common(job_options()), create},
      {"jobs edit", "Change a job: options, a file, or neither to open $EDITOR",
       with_common(std::move(edit_options)), edit},
      {"jobs run", "Start a run now",
       with_common({kJob,
                    {"--wait", "Wait for its end and show progress", Arity::Flag},
                    {"--take-over",
                     "Take tables that another job owns, such as a deleted one's; their rows are "
                     "replaced, except in append modes",
                     Arity::Flag}}),
       run},
      {"jobs pause", "Stop a job from starting by itself",
       with_common(
           {kJob,
            {"--note", "Why"},
            {"--until", "Resume by itself at this RFC 3339 time", Arity::One, false, "TIME"}}),
       pause},
      {"jobs resume", "End a pause",
       with_common(
           {{kJob.name, kJob.help}, {"--all", "Every paused job of the workspace", Arity::Flag}}),
       resume},
      {"jobs reset", "Forget the sync state: the next run reads every entity from its beginning",
       with_common({kJob}), reset},
      {"jobs delete", "Delete a job; a running run is cancelled, its history stays",
       with_common({kJob}, false), remove},
      {"jobs status", "Show health, the current run and why a job waits", with_common({kJob}),
       status},
      {"jobs slots", "List a job's scheduled times and what became of each, newest first",
       with_common({kJob,
                    {"--since", "At or after this RFC 3339 time", Arity::One, false, "TIME"},
                    {"--until", "Before this RFC 3339 time", Arity::One, false, "TIME"},
                    {"-n,--limit", "At most so many lines (default: 20)", Arity::One, false, "N"}}),
       slots},
      {"jobs next", "List a job's next scheduled times",
       with_common({kJob, {"-n,--count", "How many (default: 10)", Arity::One, false, "N"}}), next},
      {"jobs logs", "Print the log of the newest run",
       with_common({kJob, {"-f,--follow", "Go on until the run has ended", Arity::Flag}}, false),
       logs},
  };
}

}  // namespace tidegate::cli

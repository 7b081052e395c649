// `tidegate sync`: one run without a server.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "app/commands/commands.h"
#include "app/sync/endpoint.h"
#include "app/sync/local_engine.h"
#include "app/sync/prompt.h"
#include "app/sync/reporter.h"
#include "app/sync/scrub.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "cli/api_client.h"
#include "cli/locate.h"
#include "cli/yaml.h"
#include "control/api/job_check.h"
#include "control/model/connector_facts.h"
#include "control/secrets/tokens.h"

namespace tidegate::app {
namespace {

struct Plan {
  SyncEndpoint source, destination;
  protocol::RunSpec run;
};

// The request is JSON, and so is what the destination remembers of it.
// `shown`: the text as people may see it.
Status check_utf8(std::string_view word, std::string_view text, std::string_view shown) {
  if (is_utf8(text)) return {};
  return fail(
      Code::Invalid,
      fmt::format("{} \"{}\" is not valid UTF-8, and no other name can be kept; rename what "
                  "it names",
                  word, escape_bytes(shown)),
      "usage");
}

// `sources:` and `destinations:` of the file.
Result<boost::json::object> named_connections(const std::string& file) {
  if (file.empty()) return boost::json::object();
  TG_TRY(const std::string text, cli::read_text_file(file));
  TG_TRY(boost::json::value document, cli::read_yaml(text, file));
  if (!document.is_object()) return boost::json::object();
  boost::json::object kept;
  for (const char* section : {"sources", "destinations"}) {
    auto* items = document.get_object().if_contains(section);
    if (!items || items->is_null()) continue;
    if (!items->is_object())
      return fail(Code::Invalid, fmt::format("{}: {} must be a map of names", file, section));
    kept[section] = std::move(*items);
  }
  return kept;
}

// The connections of one section, ${ENV} replaced in the one that is used: what another one lacks
// is no matter here.
Result<boost::json::object> connections_for(std::string_view name, const char* section,
                                            const boost::json::object& named,
                                            const cli::EnvLookup& env) {
  const auto* items = named.if_contains(section);
  if (items == nullptr) return boost::json::object();
  boost::json::object out = items->get_object();
  auto* used = out.if_contains(name);
  if (used == nullptr) return out;
  boost::json::object one, document;
  one[name] = *used;
  document[section] = std::move(one);  // so that an error names the place
  TG_TRY(const boost::json::value expanded, cli::expand_env(std::move(document), env));
  *used = expanded.at(section).at(name);
  return out;
}

Result<protocol::SyncMode> mode_of(const cli::Args& args) {
  const std::string name = args.get_or("mode", args.has("incremental") ? "incremental" : "full");
  if (args.has("incremental") && !name.starts_with("incremental")) {
    return fail(Code::Invalid,
                fmt::format("--incremental and --mode {} contradict each other; give one", name),
                "usage");
  }
  for (std::size_t i = 0; i < std::size(protocol::kSyncModeNames); ++i) {
    if (protocol::kSyncModeNames[i] == name) return static_cast<protocol::SyncMode>(i);
  }
  return fail(
      Code::Invalid,
      fmt::format("the mode must be {}, not \"{}\"", json::list_of(protocol::kSyncModeNames), name),
      "usage");
}

protocol::EntityOptions entity_options(const cli::Args& args) {
  protocol::EntityOptions options;
  options.cursor = args.get("cursor");
  options.primary_key = args.all("key", true);
  options.include_columns = args.all("columns", true);
  options.exclude_columns = args.all("exclude-columns", true);
  return options;
}

protocol::SchemaChange schema_change_of(const cli::Args& args) {
  const auto name = args.get("schema-change");
  for (std::size_t i = 0; i < std::size(protocol::kSchemaChangeNames); ++i) {
    if (name == protocol::kSchemaChangeNames[i]) return static_cast<protocol::SchemaChange>(i);
  }
  return protocol::SchemaChange::Evolve;
}

Result<protocol::RunSpec> run_spec(const cli::Args& args, const SyncEndpoint& source,
                                   const SyncEndpoint& destination) {
  protocol::RunSpec run;
  for (const auto& [name, word] : {std::pair{"ENTITY", "ENTITY"},
                                   {"cursor", "--cursor"},
                                   {"key", "--key"},
                                   {"where", "--where"},
                                   {"columns", "--columns"},
                                   {"exclude-columns", "--exclude-columns"},
                                   {"job", "--job"}}) {
    for (const std::string& text : args.all(name)) TG_CHECK(check_utf8(word, text, text));
  }
  TG_TRY(run.mode, mode_of(args));
  SystemRng rng;
  run.run_id = new_id<RunId>(SystemClock(), rng);
  run.entity_filter = args.all("ENTITY");
  TG_TRY(run.limit, args.integer("limit", 1, std::int64_t{1} << 53));
  TG_TRY(const auto rejected, args.integer("max-rejected", 0, std::int64_t{1} << 53));
  run.max_rejected = rejected.value_or(0);
  run.where = args.get("where");
  run.dry_run = args.has("dry-run");
  run.take_over = args.has("take-over");
  protocol::EntityOptions options = entity_options(args);
  run.schema_change = schema_change_of(args);
  // Greater than that of any reset before, as a server's counter would be.
  if (args.has("reset")) run.reset_epoch = to_ms(SystemClock().now());
  const bool incremental = run.mode == protocol::SyncMode::Incremental ||
                           run.mode == protocol::SyncMode::IncrementalAppend;
  if (incremental && !options.cursor) {
    return fail(
        Code::Invalid,
        fmt::format("the mode {} needs --cursor COL, a column that grows with every change, "
                    "such as updated_at; nothing was read or written",
                    protocol::kSyncModeNames[static_cast<std::size_t>(run.mode)]),
        "usage");
  }
  if (options != protocol::EntityOptions{}) run.entities["*"] = std::move(options);
  const auto mode = protocol::kSyncModeNames[static_cast<std::size_t>(run.mode)];
  // The same command tomorrow is the same job, so that its tables and its state are found again.
  const std::string hash =
      secrets::sha256_hex(fmt::format("{}\n{}\n{}", source.identity, destination.identity, mode));
  if (args.has("job") && args.get_or("job", "").empty()) {
    return fail(
        Code::Invalid,
        "--job is empty; name the owner of the tables, or leave it out for one that follows "
        "from the command",
        "usage");
  }
  run.job = args.get_or("job", "cli-" + hash.substr(0, 16));
  if (args.has("reset") && cli::looks_like_id(run.job)) {
    return fail(Code::Invalid,
                fmt::format("{} is a job of a server, which counts its own resets; reset it with "
                            "`tidegate jobs reset {}`",
                            run.job, run.job),
                "usage");
  }
  return run;
}

// The file with the named connections; "": there is none.
std::string connections_file(const cli::Context& context, const cli::Args& args) {
  const std::string file = args.get_or("config", context.io.env("TIDEGATE_CONFIG").value_or(""));
  return file.empty() && ::access("tidegate.yaml", F_OK) == 0 ? "tidegate.yaml" : file;
}

Result<SyncEndpoint> endpoint_of(const cli::Context& context, const cli::Args& args, Role role,
                                 const std::string& text) {
  const bool source = role == Role::Source;
  const std::string file = connections_file(context, args);
  TG_TRY(const boost::json::object named, named_connections(file));
  std::error_code ec;
  EndpointParams params{
      .named_in = file, .cwd = std::filesystem::current_path(ec).string(), .look = look_at};
  TG_TRY(const boost::json::value expanded,
         cli::expand_env(boost::json::value(text), context.io.env));
  const std::string_view place(expanded.get_string());
  TG_TRY(params.named,
         connections_for(place, source ? "sources" : "destinations", named, context.io.env));
  if (const auto pattern = unquoted_pattern(place, params);
      pattern && !source && args.has("ENTITY")) {
    return fail(Code::Invalid,
                fmt::format("the destination would be the file {} and {} an entity. Put the "
                            "pattern in quotes, or the shell replaces it by its files: "
                            "tidegate sync '{}' {}",
                            place, args.get_or("ENTITY", ""), *pattern, args.get_or("ENTITY", "")),
                "usage");
  }
  const std::string_view word = source ? "SOURCE" : "DESTINATION";
  const std::string shown(place);
  TG_CHECK(check_utf8(word, place, place.contains("://") ? shown_url(shown) : shown));
  TG_TRY(SyncEndpoint endpoint, parse_endpoint(place, role, params));
  TG_CHECK(check_utf8(word, endpoint.shown, endpoint.shown));  // with the working directory
  return endpoint;
}

Result<Plan> make_plan(const cli::Context& context, const cli::Args& args) {
  Plan plan;
  for (const auto& [role, word, out] : {std::tuple{Role::Source, "SOURCE", &plan.source},
                                        {Role::Destination, "DESTINATION", &plan.destination}}) {
    const auto text = args.get(word);
    if (!text)
      return fail(Code::Invalid,
                  fmt::format("{} is required; -i asks for it (see `tidegate sync --help`)", word),
                  "usage");
    TG_TRY(*out, endpoint_of(context, args, role, *text));
  }
  TG_TRY(plan.run, run_spec(args, plan.source, plan.destination));
  return plan;
}

// The reply of a check or discover. The engine's threads end with it: where there are none, it is
// the question that Ctrl-C interrupts.
Result<boost::json::object> reply_of(cli::Context& context, const std::string& engine_path,
                                     const protocol::Request& request) {
  LocalEngine engine(engine_path);
  TG_CHECK(engine.start());
  protocol::RunResult result = engine.call(context, request, {});
  if (result.code == protocol::ExitCode::Done && result.reply.is_object())
    return std::move(result.reply.get_object());
  return fail(result.code == protocol::ExitCode::Cancelled ? Code::Cancelled : Code::Invalid,
              result.error.value_or("the engine gave no answer"));
}

// What no run could do from the one to the other; "": there is nothing, or what the command itself
// names is wrong, which the run says.
std::string clash_of(const cli::Context& context, const cli::Args& args, Role role,
                     const SyncEndpoint& answer) {
  const bool source = role == Role::Source;
  const auto other = args.get(source ? "DESTINATION" : "SOURCE");
  const auto mode = mode_of(args);
  if (!other || !mode) return "";
  const auto named = endpoint_of(context, args, source ? Role::Destination : Role::Source, *other);
  if (!named) return "";
  const auto connection = [](const SyncEndpoint& e) {
    model::Connection c;
    c.name = e.shown;
    c.type = e.endpoint.type;
    c.config = e.endpoint.config;
    return c;
  };
  model::JobSpec job;
  job.mode = *mode;
  const auto problems = api::endpoint_problems(connection(source ? answer : *named),
                                               connection(source ? *named : answer), job, {});
  return problems.empty() ? "" : problems.front().message;
}

Status ask_what_is_missing(cli::Context& context, cli::Args& args, const std::string& engine) {
  if (!context.io.in_is_terminal) {
    return fail(Code::Invalid,
                "-i asks questions and needs a terminal; give SOURCE and DESTINATION instead",
                "usage");
  }
  PromptParams params;
  params.check = [&](Role role, const std::string& text) -> Status {
    TG_TRY(SyncEndpoint endpoint, endpoint_of(context, args, role, text));
    if (std::string why = clash_of(context, args, role, endpoint); !why.empty()) {
      return fail(Code::Invalid, std::move(why));
    }
    protocol::Request request{.kind = protocol::RequestKind::Check};
    (role == Role::Source ? request.source : request.destination) = std::move(endpoint.endpoint);
    TG_CHECK(reply_of(context, engine, request));
    return {};
  };
  params.check_mode = [&](const std::string& name) -> Status {
    cli::Args with = args;
    with.set("mode", {name});
    model::JobSpec job;
    TG_TRY(job.mode, mode_of(with));
    TG_TRY(const SyncEndpoint destination,
           endpoint_of(context, args, Role::Destination, args.get_or("DESTINATION", "")));
    auto problems = model::destination_problems(job, destination.shown, destination.endpoint.type);
    return problems.empty() ? Status{} : fail(Code::Invalid, std::move(problems.front().message));
  };
  params.discover = [&]() -> Result<boost::json::array> {
    TG_TRY(SyncEndpoint source,
           endpoint_of(context, args, Role::Source, args.get_or("SOURCE", "")));
    protocol::Request request{.kind = protocol::RequestKind::Discover};
    request.source = std::move(source.endpoint);
    TG_TRY(boost::json::object reply, reply_of(context, engine, request));
    return std::move(reply.at("entities").get_array());
  };
  return ask(context, args, params);
}

// What the engine cannot know: how the connections are called here, and the options.
void explain(cli::Context& context, const protocol::RunResult& result, const Plan& plan) {
  for (const auto& [role, endpoint] :
       {std::pair{"source", &plan.source}, {"destination", &plan.destination}}) {
    if (result.error.value_or("").find(fmt::format("{}.config.", role)) == std::string::npos)
      continue;
    context.io.err(fmt::format("tidegate: the {} is {}\n", role, endpoint->shown));
  }
  const bool too_many = std::ranges::any_of(result.entities, [&](const auto& e) {
    return e.error_kind == "data" && e.rows_rejected > plan.run.max_rejected;
  });
  if (too_many) {
    context.io.err("tidegate: --max-rejected N accepts up to N rejected rows of each entity\n");
  }
}

int exit_code(protocol::ExitCode code) {
  switch (code) {
    case protocol::ExitCode::Done:
      return 0;
    case protocol::ExitCode::Configuration:
      return traits(Code::Invalid).exit_code;
    case protocol::ExitCode::Cancelled:
      return traits(Code::Cancelled).exit_code;
    default:
      return 1;
  }
}

Result<int> sync(cli::Context& context, const cli::Args& given) {
  cli::Args args = given;
  if (context.password_in_argv) {
    context.io.err(
        "warning: a password on the command line can be read by others and stays in the shell's "
        "history; write "
        "'${NAME}' in quotes to take it from the environment, or name a connection of a file "
        "(--config)\n");
  }
  // --config names connections here, maybe in a file for `apply`, which holds no configuration.
  TG_TRY(const Config config, read_config(context, args, false));
  context.catch_interrupts();
  if (args.has("interactive")) TG_CHECK(ask_what_is_missing(context, args, config.engine));
  TG_TRY(const Plan plan, make_plan(context, args));
  context.io.err(fmt::format("from {}\nto   {}\n", plan.source.shown, plan.destination.shown));

  LocalEngine engine(config.engine);
  TG_CHECK(engine.start());
  const bool json = args.get_or("output", context.io.out_is_terminal ? "table" : "json") == "json";
  SyncReporter reporter(context.io, json);
  protocol::Request request;
  request.kind = protocol::RequestKind::Run;
  request.source = plan.source.endpoint;
  request.destination = plan.destination.endpoint;
  request.run = plan.run;
  const protocol::RunResult result = engine.call(
      context, request,
      {.on_event = [&](const protocol::Event& event) { reporter.on_event(event); },
       .on_tick = [&] { reporter.tick(); },
       .on_cancel = "stopping; what was committed stays; Ctrl-C again ends it at once\n"});
  const int code = exit_code(result.code);
  reporter.finish(result, code);
  if (result.error) context.io.err(fmt::format("tidegate: {}\n", *result.error));
  explain(context, result, plan);
  return code;
}

}  // namespace

cli::Command sync_command() {
  using enum cli::Arity;
  return {
      "sync",
      "Copy from SOURCE to DESTINATION now, without a server\n\n"
      "SOURCE and DESTINATION are paths (data/*.csv, out.db), URLs (sqlite:out.db, "
      "postgresql://host/db)\n"
      "or names from a file given with --config. Files are written into a folder, a DESTINATION "
      "that\n"
      "ends with a slash (outdir/), as CSV, or as outdir/?format=parquet or outdir/?format=jsonl "
      "says.\n"
      "In a pipe each event is one line of JSON, the last one the result.",
      {{"SOURCE", "Where to copy from", One},
       {"DESTINATION", "Where to copy to", One},
       {"ENTITY", "Names or globs of what to copy (default: everything)", Many},
       {"--mode",
        "full, full_append, incremental or incremental_append (default: full)",
        One,
        false,
        "MODE",
        {"full", "full_append", "incremental", "incremental_append"}},
       {"--incremental", "Short for --mode incremental", Flag},
       {"--cursor", "Column that grows with every change", One, false, "COL"},
       {"--key", "Primary key, columns separated by commas; one that has a comma in double quotes",
        Many, false, "COL,COL"},
       {"--where",
        "Only rows that match, in the source's language: they are merged or appended, all others "
        "stay; never advances state",
        One, false, "COND"},
       {"--limit", "At most so many rows of each entity; never advances state", One, false, "N"},
       {"--max-rejected", "Rows that may be rejected before an entity fails (default: 0)", One,
        false, "N"},
       {"--columns", "Only these columns, separated by commas", Many, false, "COL,COL"},
       {"--exclude-columns", "All but these columns, separated by commas", Many, false, "COL,COL"},
       {"--schema-change",
        "What to do when the source's columns change: evolve, ignore or fail (default: evolve)",
        One,
        false,
        "WAY",
        {"evolve", "ignore", "fail"}},
       {"--reset", "Forget the state and read everything again (\"reset the job\")", Flag},
       {"--dry-run",
        "Read and check every row (or --limit), count what would be rejected, write nothing", Flag},
       {"--job", "Owner of tables and state (default: made from source, destination and mode)", One,
        false, "NAME"},
       {"--take-over",
        "Take tables that another job or somebody else filled; the first run replaces their rows, "
        "except in append modes",
        Flag},
       {"--config",
        "YAML with sources: and destinations: (TIDEGATE_CONFIG; default: ./tidegate.yaml)", One,
        false, "FILE"},
       {"--engine",
        "Path of the sync engine (TIDEGATE_ENGINE; default: tidegate-sync beside this binary)", One,
        false, "FILE"},
       {"-i,--interactive", "Ask for what is missing", Flag},
       {"-o,--output",
        "table or json (default: table on a terminal, else json)",
        One,
        false,
        "FORMAT",
        {"table", "json"}}},
      sync};
}

}  // namespace tidegate::app

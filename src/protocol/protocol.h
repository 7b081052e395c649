#pragma once
// What passes between a worker and its tidegate-sync child (docs/protocol.md).
//
// fd 3, parent → child: one line with a Request, then Control lines until the child ends. End of
// file on fd 3 means the parent is gone: the child stops without committing.
// fd 4, child → parent: one Event a line. A line of an unknown type is ignored, so versions mix.
// Every line is one JSON object in UTF-8, ended by '\n', at most kMaxLine bytes.

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/time.h"

namespace tidegate::protocol {

inline constexpr int kVersion = 1;
inline constexpr int kRequestFd = 3;
inline constexpr int kEventFd = 4;
inline constexpr std::size_t kMaxLine = 16 << 20;  // bytes

enum class ExitCode : int {
  Done = 0,
  Failed = 1,         // not worth a retry: data, permission, defect
  Configuration = 2,  // the user must change something
  Retryable = 3,      // transient; a Result with retryAfter may say when
  Cancelled = 4,      // stopped at a checkpoint
  Fenced = 5,         // another attempt owns the work
};

enum class SyncMode : std::uint8_t { Full, FullAppend, Incremental, IncrementalAppend };
inline constexpr std::string_view kSyncModeNames[] = {"full", "full_append", "incremental",
                                                      "incremental_append"};
enum class SchemaChange : std::uint8_t { Evolve, Ignore, Fail };
inline constexpr std::string_view kSchemaChangeNames[] = {"evolve", "ignore", "fail"};

// A data source or destination as the child needs it: with its secrets. Never logged.
struct Endpoint {
  std::string type;            // a connector's name
  boost::json::object config;  // valid against the connector's spec
};

struct EntityOptions {
  bool operator==(const EntityOptions&) const = default;
  std::optional<std::string> cursor;
  std::vector<std::string> primary_key;
  std::vector<std::string> include_columns, exclude_columns;
  std::optional<std::string> where;
  std::optional<Millis> lookback, lag;
};

// What the control store remembers of one entity's committed state in the destination. When the
// destination disagrees, the run fails ("destination changed") instead of starting from zero.
struct KnownState {
  std::string destination_id;  // a random id the destination keeps in its state table
  std::int64_t epoch = 0;
  // Commits of this entity so far. The destination's may be greater (the worker died before it
  // could record a commit); a smaller one means that the destination was restored or swapped.
  std::int64_t sequence = 0;
  std::string state;  // opaque JSON text, "" when never committed
};

struct RunSpec {
  std::string job;  // owner of tables and state: the job's id, or the serverless job name
  RunId run_id;
  int attempt = 1;
  Fence fence{};  // {} : taken from the destination (serverless)
  SyncMode mode = SyncMode::Full;
  std::vector<std::string> entity_filter;         // names and globs; empty: all
  std::vector<std::string> only_entities;         // exact names; a retry of the failed ones
  std::map<std::string, EntityOptions> entities;  // by name or glob; an exact name wins
  SchemaChange schema_change = SchemaChange::Evolve;
  std::int64_t max_rejected = 0;  // rows per entity
  // Given for this run only, so it never replaces, deletes or advances the state: at most so many
  // rows per entity, and a condition beside the entity's own.
  std::optional<std::int64_t> limit;
  std::optional<std::string> where;
  bool dry_run = false;
  bool take_over = false;                         // tables owned by another job
  std::map<std::string, KnownState> known_state;  // by entity
  // At least this epoch; a greater one than the destination's starts over.
  std::int64_t reset_epoch = 0;
  std::optional<BootInstant> lease_until;  // none: no lease (serverless)
  Millis patience{60'000};  // how long a lost lease may stay lost before the child gives up
};

// Of RunSpec: `*`, `?`, `[a-z]` as in glob(7), but `*` also matches `/`, and a backslash is a
// letter. An equal name always matches.
bool matches(const std::string& pattern, const std::string& name);

enum class RequestKind : std::uint8_t { Spec, Check, Discover, Run };
inline constexpr std::string_view kRequestKindNames[] = {"spec", "check", "discover", "run"};

struct Request {
  int version = kVersion;
  RequestKind kind = RequestKind::Run;
  std::optional<Endpoint> source;       // check, discover: exactly one of the two
  std::optional<Endpoint> destination;  // run: both
  RunSpec run;                          // run
  std::vector<std::string> path_roots;  // local paths must resolve beneath one; empty: unrestricted
  std::vector<std::string> forbidden_paths;  // the control store's files
};

// Parent → child, after the request.
struct LeaseRenewed {
  BootInstant until;
};
struct CancelRequested {};  // stop at the next checkpoint, commit nothing after it
using Control = std::variant<LeaseRenewed, CancelRequested>;

// Child → parent.
struct Started {
  int version = kVersion;
  std::string build;  // version and build id
};
struct EntityPlanned {
  std::string entity;
  std::optional<std::int64_t> total_rows;
};
// At most 5 a second; totals of the run so far, which never go back. Written: what is committed, so
// that a full load has none until its end; what is being done shows in the rows that were read.
struct Progress {
  std::string entity;
  std::int64_t rows_read = 0, rows_written = 0, bytes = 0;
};
struct StateCommitted {
  std::string entity;
  KnownState state;
};
struct LogLine {
  LogLevel level = LogLevel::Info;
  std::string message;
  std::string entity;  // may be empty
};

enum class EntityOutcome : std::uint8_t { Succeeded, Failed, Skipped, Cancelled };
inline constexpr std::string_view kEntityOutcomeNames[] = {"succeeded", "failed", "skipped",
                                                           "cancelled"};

// rows_read = rows_written + rows_rejected + rows_deduplicated + rows_superseded, else the entity
// fails. rows_written counts rows inserted or updated; rows_updated those of them that replaced a
// row; rows_deduplicated rows read again at the cursor's bound, which the destination has;
// rows_superseded rows in whose place another row of the same key and run was kept.
struct EntityResult {
  std::string entity;
  EntityOutcome outcome = EntityOutcome::Succeeded;
  std::int64_t rows_read = 0, rows_written = 0, rows_updated = 0, rows_deleted = 0,
               rows_rejected = 0, rows_deduplicated = 0, rows_superseded = 0, bytes = 0;
  Millis duration{0};
  std::string destination_table;
  std::vector<std::string> schema_changes;  // sentences
  std::vector<std::string> warnings;
  std::optional<std::string> error_kind;  // as in RunResult
  std::optional<std::string> error;       // what happened and what to do
};

// The last event. error_kind: configuration | permission | data | transient | rate_limited |
// internal | fenced | cancelled.
struct RunResult {
  ExitCode code = ExitCode::Done;
  std::vector<EntityResult> entities;
  std::optional<std::string> error_kind;
  std::optional<std::string> error;
  std::optional<Millis> retry_after;
  // code Fenced: the greater fence that the destination holds, so that the next attempt's is above.
  std::optional<Fence> fence_found;
  std::vector<std::string> warnings;
  // spec: {connectors:[{name,title,roles,spec}]}; check: {ok,message}; discover: {entities:[…]};
  // a dry run: {entities:[{entity,table,mode,columns,rows}]} (docs/protocol.md).
  boost::json::value reply;
};
using Event = std::variant<Started, EntityPlanned, Progress, StateCommitted, LogLine, RunResult>;

// One line without the '\n'. parse_*: Malformed for what is not a JSON object of that kind.
// An unknown type gives nullopt, an unknown field is ignored.
std::string encode(const Request& request);
std::string encode(const Control& control);
std::string encode(const Event& event);
Result<Request> parse_request(std::string_view line);
Result<std::optional<Control>> parse_control(std::string_view line);
Result<std::optional<Event>> parse_event(std::string_view line);

boost::json::object to_json(const EntityResult& r);
Result<EntityResult> entity_result_from_json(const boost::json::value& v);

}  // namespace tidegate::protocol

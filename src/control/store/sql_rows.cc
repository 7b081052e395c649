#include "control/store/sql_rows.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <charconv>
#include <cstdint>
#include <system_error>

#include "control/model/storage_json.h"
#include "control/model/text_field.h"

namespace tidegate::store::sql {
namespace {

namespace bj = boost::json;

std::unexpected<Error> unreadable(std::string_view what) {
  return fail(Code::Internal, "the " + std::string(what) +
                                  " column of the store is not JSON: the store is damaged; restore "
                                  "a backup");
}

Result<bj::value> parse(std::string_view text, std::string_view what) {
  boost::system::error_code ec;
  bj::value v = bj::parse(bj::string_view(text.data(), text.size()), ec);
  if (ec) return unreadable(what);
  return v;
}

// A column that holds a JSON list of texts.
Result<std::vector<std::string>> texts_from(std::string_view text, std::string_view what) {
  TG_TRY(const bj::value list, parse(text, what));
  if (!list.is_array()) return unreadable(what);
  std::vector<std::string> out;
  for (const auto& item : list.get_array()) {
    if (item.is_string()) out.emplace_back(item.get_string());
  }
  return out;
}

}  // namespace

std::optional<Instant> Row::maybe_time(int column) const {
  if (null(column)) return std::nullopt;
  return time(column);
}

std::unexpected<Error> unknown_name(std::string_view text) {
  return fail(Code::Internal, "the store holds the unknown value '" + std::string(text) +
                                  "': it is damaged or was written by a newer version");
}

// ---- runs

std::string run_detail(const model::Run& run) {
  const bj::object detail = model::run_detail_to_stored(run);
  return detail.empty() ? std::string() : bj::serialize(detail);
}

Result<model::Run> run_from(const Row& row) {
  model::Run run;
  if (const auto detail = row.view(21); !detail.empty()) {
    TG_TRY(const bj::value v, parse(detail, "detail"));
    TG_TRY(run, model::run_from_stored(v));
  }
  run.id = RunId(row.text(0));
  run.workspace = WorkspaceId(row.text(1));
  run.job = JobId(row.text(2));
  run.job_revision = row.integer(3);
  run.scheduled_for = row.maybe_time(4);
  TG_CHECK(read_name(row.view(5), model::kTriggerNames, run.trigger));
  run.triggered_by = row.text(6);
  TG_CHECK(read_name(row.view(7), model::kRunStateNames, run.state));
  run.attempt = row.small(8);
  run.retries_used = row.small(9);
  run.lost_in_row = row.small(10);
  run.created_at = row.time(11);
  run.not_before = row.time(12);
  run.started_at = row.maybe_time(13);
  run.finished_at = row.maybe_time(14);
  run.owner = OwnerId(row.text(15));
  run.fence = Fence{row.integer(16)};
  run.cancel_requested = row.flag(17);
  run.error_kind = row.text(18);
  run.error = row.text(19);
  run.exclusive_key = row.text(20);
  return run;
}

// ---- jobs

std::string durations_text(const model::SyncJob& job) {
  std::string list = "[";
  for (const Millis d : job.success_durations) {
    if (list.size() > 1) list += ',';
    list += std::to_string(d.count());
  }
  return list + ']';
}

std::string spec_text(const model::JobSpec& spec) { return bj::serialize(model::to_stored(spec)); }

std::string states_text(const std::map<std::string, protocol::KnownState>& states) {
  return bj::serialize(model::to_stored(states));
}

// A list of whole numbers as durations_text writes it: read by hand, since every end of a run on
// SQLite reads one.
Result<std::deque<Millis>> durations_from(std::string_view text) {
  if (!text.starts_with('[') || !text.ends_with(']') || text.size() < 2) {
    return unreadable("success_durations");
  }
  std::deque<Millis> durations;
  for (std::string_view rest = text.substr(1, text.size() - 2); !rest.empty();) {
    std::int64_t ms = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), ms);
    const auto used = static_cast<std::size_t>(end - rest.data());
    const bool more = used < rest.size();
    if (error != std::errc() || (more && (rest[used] != ',' || used + 1 == rest.size()))) {
      return unreadable("success_durations");
    }
    durations.emplace_back(ms);
    rest.remove_prefix(used + (more ? 1 : 0));
  }
  return durations;
}

Result<model::JobSpec> spec_from(std::string_view text) {
  TG_TRY(const bj::value v, parse(text, "spec"));
  return model::job_spec_from_stored(v);
}

Result<std::map<std::string, protocol::KnownState>> states_from(std::string_view text) {
  TG_TRY(const bj::value v, parse(text, "states"));
  return model::known_state_from_stored(v);
}

namespace {

// Four columns from `at`: note, until, since, by.
std::optional<model::Pause> pause_from(const Row& row, int at) {
  if (row.null(at + 2)) return std::nullopt;
  return model::Pause{row.text(at), row.maybe_time(at + 1), row.time(at + 2), row.text(at + 3)};
}

}  // namespace

Result<JobHead> job_head_from(const Row& row) {
  JobHead head;
  model::SyncJob& job = head.job;
  job.id = JobId(row.text(0));
  job.workspace = WorkspaceId(row.text(1));
  job.revision = row.integer(2);
  job.next_slot = row.maybe_time(3);
  job.last_run_at = row.maybe_time(4);
  job.last_success_at = row.maybe_time(5);
  if (!row.null(6)) job.last_error = row.text(6);
  job.run_count = row.integer(7);
  job.consecutive_failures = row.small(8);
  TG_TRY(job.success_durations, durations_from(row.view(9)));
  job.reset_epoch = row.integer(10);
  job.pause = pause_from(row, 11);
  job.created_by = row.text(15);
  job.created_at = row.time(16);
  job.updated_at = row.time(17);
  head.fence = Fence{row.integer(18)};
  head.deleted = !row.null(19);
  return head;
}

PlannedJob planned_from(const Row& row) {
  return {.workspace = WorkspaceId(row.text(1)),
          .revision = row.integer(2),
          .next_slot = row.maybe_time(3),
          .source = ConnectionId(row.text(4)),
          .destination = ConnectionId(row.text(5)),
          .allow_overlap = row.view(6) == name_of(model::Overlap::Allow, model::kOverlapNames),
          .enabled = row.flag(7),
          .pause = pause_from(row, 8)};
}

// ---- connections, workspaces, tokens, workers

Result<model::Connection> connection_from(const Row& row) {
  model::Connection c;
  c.id = ConnectionId(row.text(0));
  c.workspace = WorkspaceId(row.text(1));
  TG_CHECK(read_name(row.view(2), model::kConnectionKindNames, c.kind));
  c.name = row.text(3);
  c.type = row.text(4);
  TG_TRY(bj::value config, parse(row.view(5), "config"));
  if (!config.is_object()) return unreadable("config");
  c.config = std::move(config.get_object());
  c.exclusive_key = row.text(6);
  c.revision = row.integer(7);
  c.created_at = row.time(8);
  c.updated_at = row.time(9);
  c.created_by = row.text(10);
  return c;
}

Result<model::Token> token_from(const Row& row) {
  model::Token t;
  t.id = TokenId(row.text(0));
  t.name = row.text(1);
  t.hash = row.text(2);
  TG_CHECK(read_name(row.view(3), model::kRoleNames, t.role));
  TG_TRY(auto workspaces, texts_from(row.view(4), "workspaces"));
  for (auto& w : workspaces) t.workspaces.emplace_back(std::move(w));
  t.expires_at = row.maybe_time(5);
  t.created_at = row.time(6);
  t.created_by = row.text(7);
  t.revision = row.integer(8);
  return t;
}

std::string workspaces_text(const model::Token& token) {
  bj::array all;
  for (const auto& w : token.workspaces) all.emplace_back(w.str());
  return bj::serialize(all);
}

model::Workspace workspace_from(const Row& row) {
  return {.id = WorkspaceId(row.text(0)),
          .name = row.text(1),
          .revision = row.integer(2),
          .created_at = row.time(3)};
}

Result<model::WorkerInfo> worker_from(const Row& row) {
  TG_TRY(auto secret_keys, texts_from(row.view(12), "secret_keys"));
  return model::WorkerInfo{.id = OwnerId(row.text(0)),
                           .host = row.text(1),
                           .boot_id = row.text(2),
                           .pid = row.integer(3),
                           .pid_start = row.integer(4),
                           .version = row.text(5),
                           .leader = row.flag(6),
                           .draining = row.flag(7),
                           .running = row.small(8),
                           .capacity = row.small(9),
                           .started_at = row.time(10),
                           .seen_at = row.time(11),
                           .secret_keys = std::move(secret_keys)};
}

// ---- logs

// One line: [at, attempt, level, entity, message].
std::string lines_text(const std::vector<model::RunLogLine>& lines) {
  bj::array all;
  for (const auto& l : lines) {
    all.push_back(
        bj::array{to_ms(l.at), l.attempt, static_cast<int>(l.level), l.entity, l.message});
  }
  return bj::serialize(all);
}

Status read_lines(std::int64_t first_seq, std::string_view text, std::int64_t after,
                  std::size_t limit, std::vector<model::RunLogLine>& out) {
  TG_TRY(const bj::value v, parse(text, "lines"));
  if (!v.is_array()) return unreadable("lines");
  std::int64_t seq = first_seq;
  for (const auto& item : v.get_array()) {
    const auto* l = item.if_array();
    if (l == nullptr || l->size() != 5 || !(*l)[0].is_int64() || !(*l)[1].is_int64() ||
        !(*l)[2].is_int64() || !(*l)[3].is_string() || !(*l)[4].is_string()) {
      return unreadable("lines");
    }
    if (seq > after && out.size() < limit) {
      out.push_back({.seq = seq,
                     .at = from_ms((*l)[0].get_int64()),
                     .attempt = static_cast<int>((*l)[1].get_int64()),
                     .level = static_cast<LogLevel>((*l)[2].get_int64()),
                     .entity = std::string((*l)[3].get_string()),
                     .message = std::string((*l)[4].get_string())});
    }
    ++seq;
  }
  return {};
}

}  // namespace tidegate::store::sql

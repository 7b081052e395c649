#include "control/store/mongo/rows.h"

#include <algorithm>
#include <iterator>

#include "control/model/storage_json.h"
#include "control/model/text_field.h"

namespace tidegate::store::mongo {
namespace {

constexpr int kProgressTries = 50;

// What the codec of all stores calls otherwise than operators do here.
constexpr std::pair<std::string_view, std::string_view> kNames[] = {
    {"id", "_id"}, {"workspace", "workspaceId"}, {"job", "jobId"}};
// Of documents and of the objects in their lists, never of what users write.
constexpr std::string_view kDates[] = {"createdAt", "updatedAt",     "startedAt", "finishedAt",
                                       "notBefore", "slot",          "nextSlot",  "lastRunAt",
                                       "since",     "lastSuccessAt", "until"};
// With names that users chose.
constexpr std::string_view kShielded[] = {"spec", "state", "config"};

void rename(bj::object& o, std::string_view from, std::string_view to) {
  const auto it = o.find(from);
  if (it == o.end()) return;
  bj::value value = std::move(it->value());
  o.erase(it);
  o[to] = std::move(value);
}

void make_dates(bj::object& o) {
  for (const auto name : kDates) {
    if (auto* v = o.if_contains(name); v != nullptr && v->is_int64())
      *v = date(from_ms(v->get_int64()));
  }
}

// From the codec's form to a document, and back.
bj::object outward(bj::object o) {
  for (const auto& [ours, theirs] : kNames) rename(o, ours, theirs);
  for (const auto name : kShielded) {
    if (auto* v = o.if_contains(name)) *v = shield(*v);
  }
  make_dates(o);
  if (auto* pause = o.if_contains("pause")) make_dates(pause->as_object());
  if (auto* attempts = o.if_contains("attempts")) {
    for (auto& attempt : attempts->as_array()) make_dates(attempt.as_object());
  }
  return o;
}

bj::object inward(bj::object o) {
  for (const auto& [ours, theirs] : kNames) rename(o, theirs, ours);
  for (const auto name : kShielded) {
    if (auto* v = o.if_contains(name)) *v = unshield(*v);
  }
  return o;
}

const bj::value* member(const bj::object& document, std::string_view key) {
  return document.if_contains(key);
}

}  // namespace

std::string text_of(const bj::object& document, std::string_view key) {
  const auto* v = member(document, key);
  return v != nullptr && v->is_string() ? std::string(v->get_string()) : std::string();
}
std::int64_t number_of(const bj::object& document, std::string_view key) {
  const auto* v = member(document, key);
  return v != nullptr && v->is_int64() ? v->get_int64() : 0;
}
bool flag_of(const bj::object& document, std::string_view key) {
  const auto* v = member(document, key);
  return v != nullptr && v->is_bool() && v->get_bool();
}
Instant time_of(const bj::object& document, std::string_view key) {
  return from_ms(number_of(document, key));
}

std::vector<std::string> texts_of(const bj::object& o, std::string_view key) {
  std::vector<std::string> texts;
  const auto* list = o.if_contains(key);
  if (list == nullptr || !list->is_array()) return texts;
  for (const auto& item : list->get_array()) {
    if (item.is_string()) texts.emplace_back(item.get_string());
  }
  return texts;
}

std::string_view connections_of(model::ConnectionKind kind) {
  return kind == model::ConnectionKind::Source ? coll::kSources : coll::kDestinations;
}

// ---- jobs

Result<JobRow> job_from(bj::object document) {
  JobRow row;
  row.fence = Fence{number_of(document, "fence")};
  row.plan_fence = Fence{number_of(document, "planFence")};
  row.deleted = !flag_of(document, "live");
  row.runs_kept = number_of(document, "runsKept");
  row.seq = number_of(document, "seq");
  TG_TRY(row.job, model::job_from_stored(inward(std::move(document))));
  return row;
}

bj::object to_document(const JobRow& row) {
  bj::object o = outward(model::to_stored(row.job));
  o["name"] = row.job.spec.name;
  o["live"] = !row.deleted;
  o["fence"] = value(row.fence);
  o["planFence"] = value(row.plan_fence);
  o["runsKept"] = row.runs_kept;
  return o;
}

// ---- runs

Result<RunRow> run_from(bj::object document) {
  RunRow row;
  row.lease_until = time_of(document, "expiresAt");
  row.log = {number_of(document, "logSeq"), number_of(document, "logBytes"),
             flag_of(document, "logFull")};
  row.seq = number_of(document, "seq");
  if (auto* progress = document.if_contains("progress")) {
    bj::value of = progress->is_object() ? unshield(progress->get_object()["of"]) : bj::value();
    *progress = std::move(of);
  }
  document = inward(std::move(document));
  if (const auto* spec = document.if_contains("spec")) {
    TG_TRY(row.spec, model::job_spec_from_stored(*spec));
  }
  TG_TRY(row.run, model::run_from_stored(document));
  return row;
}

bj::object progress_document(const std::map<std::string, model::EntityProgress>& progress,
                             std::string_view by) {
  return {{"by", by}, {"of", shield(model::to_stored(progress))}};
}

bj::object to_document(const RunRow& row) {
  const model::Run& run = row.run;
  bj::object o = model::to_stored(run);
  if (row.spec) o["spec"] = model::to_stored(*row.spec);
  o = outward(std::move(o));
  if (!run.progress.empty()) o["progress"] = progress_document(run.progress, "");
  o["sortAt"] = date(run.scheduled_for.value_or(run.created_at));
  if (row.log.seq > 0) {
    o["logSeq"] = row.log.seq;
    o["logBytes"] = row.log.bytes;
    o["logFull"] = row.log.full;
  }
  if (run.state != model::RunState::Running) return o;
  o["expiresAt"] = date(row.lease_until);
  // A unique index lets no second one in.
  if (row.spec && !rules::allows_overlap(*row.spec)) o["lane"] = run.job.str();
  return o;
}

// ---- connections

Result<model::Connection> connection_from(bj::object document) {
  return model::connection_from_stored(inward(std::move(document)));
}

bj::object to_document(const model::Connection& connection) {
  return outward(model::to_stored(connection));
}

// ---- workspaces, tokens

model::Workspace workspace_from(const bj::object& o) {
  return {.id = WorkspaceId(text_of(o, "_id")),
          .name = text_of(o, "name"),
          .revision = number_of(o, "revision"),
          .created_at = time_of(o, "createdAt")};
}

bj::object to_document(const model::Workspace& w) {
  return {{"_id", w.id.str()},
          {"name", w.name},
          {"revision", w.revision},
          {"createdAt", date(w.created_at)}};
}

// An unknown role, of a newer version, is refused rather than taken for another.
Result<model::Token> token_from(const bj::object& o) {
  model::Token t;
  t.id = TokenId(text_of(o, "_id"));
  t.name = text_of(o, "name");
  t.hash = text_of(o, "hash");
  const auto role = std::ranges::find(model::kRoleNames, text_of(o, "role"));
  if (role == std::end(model::kRoleNames)) {
    return fail(Code::Internal, "the store holds a token with the unknown role '" +
                                    text_of(o, "role") +
                                    "': it is damaged or was written by a newer version");
  }
  t.role = static_cast<model::Role>(role - std::begin(model::kRoleNames));
  for (auto& w : texts_of(o, "workspaces")) t.workspaces.emplace_back(std::move(w));
  if (o.contains("expiresAt")) t.expires_at = time_of(o, "expiresAt");
  t.created_at = time_of(o, "createdAt");
  t.created_by = text_of(o, "createdBy");
  t.revision = number_of(o, "revision");
  return t;
}

bj::object to_document(const model::Token& t) {
  bj::array workspaces;
  for (const auto& w : t.workspaces) workspaces.emplace_back(w.str());
  bj::object o{{"_id", t.id.str()},
               {"name", t.name},
               {"hash", t.hash},
               {"role", model::enum_name(t.role, model::kRoleNames)},
               {"workspaces", std::move(workspaces)},
               {"createdAt", date(t.created_at)},
               {"createdBy", t.created_by},
               {"revision", t.revision}};
  if (t.expires_at) o["expiresAt"] = date(*t.expires_at);
  return o;
}

// ---- logs

namespace {

bj::array to_lines(const std::vector<model::RunLogLine>& lines) {
  bj::array out;
  for (const auto& l : lines) {
    out.push_back(bj::object{{"at", date(l.at)},
                             {"attempt", l.attempt},
                             {"level", static_cast<int>(l.level)},
                             {"entity", l.entity},
                             {"message", l.message}});
  }
  return out;
}

}  // namespace

bj::object log_document(const RunId& run, const std::vector<model::RunLogLine>& lines) {
  return {{"_id", run.str() + "/" + std::to_string(lines.front().seq)},
          {"runId", run.str()},
          {"firstSeq", lines.front().seq},
          {"lastSeq", lines.back().seq},
          {"lines", to_lines(lines)}};
}

void read_lines(const bj::object& batch, std::int64_t after, std::size_t limit,
                std::vector<model::RunLogLine>& out) {
  const auto* lines = batch.if_contains("lines");
  if (lines == nullptr || !lines->is_array()) return;
  std::int64_t seq = number_of(batch, "firstSeq");
  for (const auto& item : lines->get_array()) {
    if (const auto* l = item.if_object(); l != nullptr && seq > after && out.size() < limit) {
      out.push_back({.seq = seq,
                     .at = time_of(*l, "at"),
                     .attempt = static_cast<int>(number_of(*l, "attempt")),
                     .level = static_cast<LogLevel>(number_of(*l, "level")),
                     .entity = text_of(*l, "entity"),
                     .message = text_of(*l, "message")});
    }
    ++seq;
  }
}

// ---- reading whole things

namespace {

template <class Row>
Result<std::optional<Row>> find_row(Conn& db, std::string_view collection, const std::string& id,
                                    Result<Row> (*from)(bj::object)) {
  TG_TRY(auto document, db.find_one(collection, {.filter = {{"_id", id}}}));
  if (!document) return std::nullopt;
  TG_TRY(Row row, from(std::move(*document)));
  return row;
}

}  // namespace

Result<std::optional<RunRow>> find_run(Conn& db, const RunId& id) {
  return find_row(db, coll::kRuns, id.str(), run_from);
}

Result<std::optional<JobRow>> find_job(Conn& db, const JobId& id) {
  return find_row(db, coll::kJobs, id.str(), job_from);
}

Result<std::optional<JobRow>> find_live_job(Conn& db, const WorkspaceId& ws, const JobId& id) {
  TG_TRY(auto row, find_job(db, id));
  if (!row || row->deleted || (!ws.empty() && row->job.workspace != ws)) return std::nullopt;
  return row;
}

Result<std::optional<model::Connection>> find_connection(Conn& db, model::ConnectionKind kind,
                                                         const ConnectionId& id) {
  return find_row(db, connections_of(kind), id.str(), connection_from);
}

Result<std::vector<RunRow>> active_runs(Conn& db, const JobId& job) {
  TG_TRY(auto documents,
         db.find(coll::kRuns, {.filter = {{"jobId", job.str()},
                                          {"state", {{"$in", bj::array{"queued", "running"}}}}},
                               .sort = {{"createdAt", 1}, {"_id", 1}}}));
  std::vector<RunRow> rows;
  for (auto& d : documents) {
    TG_TRY(auto row, run_from(std::move(d)));
    rows.push_back(std::move(row));
  }
  return rows;
}

// ---- writing

Status add_run(Tx& tx, const model::Run& run, const model::JobSpec& spec) {
  tx.note(ChangeKind::Run, run.id.str());
  return tx.add(coll::kRuns, to_document(RunRow{.run = run, .spec = spec}));
}

Status save_run(Tx& tx, const RunRow& row) {
  tx.note(ChangeKind::Run, row.run.id.str());
  bj::object document = to_document(row);
  if (model::is_terminal(row.run.state)) document.erase("spec");
  return tx.put(coll::kRuns, std::move(document), row.seq);
}

Status save_job(Tx& tx, const JobRow& row) {
  tx.note(ChangeKind::Job, row.job.id.str());
  return tx.put(coll::kJobs, to_document(row), row.seq);
}

Status change_progress(Tx& tx, const JobId& id, const std::function<void(JobRow&)>& change) {
  constexpr std::string_view kKept[] = {"fence",     "lastRunAt", "lastSuccessAt",
                                        "lastError", "runCount",  "failures",
                                        "durations", "state",     "runsKept"};
  for (int i = 0; i < kProgressTries; ++i) {
    TG_TRY(auto row, find_job(tx.db, id));
    if (!row) return {};  // removed with its last run
    change(*row);
    const bj::object document = to_document(*row);
    bj::object set, unset;
    for (const auto name : kKept) {
      if (const auto* v = document.if_contains(name)) {
        set[name] = *v;
      } else {
        unset[name] = 1;
      }
    }
    bj::object update{{"$set", std::move(set)}, {"$inc", bj::object{{"seq", 1}}}};
    if (!unset.empty()) update["$unset"] = std::move(unset);
    TG_TRY(const auto matched,
           tx.db.update(coll::kJobs, {{"_id", id.str()}, {"seq", row->seq}}, update));
    if (matched > 0) return {};
  }
  tx.db.lost_race();
  return lost_race();
}

}  // namespace tidegate::store::mongo

#include "control/store/archive_json.h"

#include <array>
#include <boost/json/array.hpp>
#include <string>

#include "control/model/storage_json.h"

namespace tidegate::store {
namespace {

namespace bj = boost::json;

// In the order of ArchiveRecord's alternatives.
constexpr std::array<std::string_view, std::variant_size_v<ArchiveRecord>> kKinds{
    "workspace", "token", "fence", "connection", "slots", "run", "log", "job"};

std::unexpected<Error> malformed(std::string_view kind, std::string_view why) {
  return fail(Code::Malformed, "a record of the kind '" + std::string(kind) + "' " +
                                   std::string(why) + "; the file was altered or is damaged");
}

// ---- writing

bj::object body(const model::Workspace& w) { return model::to_stored(w); }
bj::object body(const model::Token& t) { return model::to_stored(t); }
bj::object body(const model::Connection& c) { return model::to_stored(c); }
bj::object body(const model::SlotRecord& r) { return model::to_stored(r); }
bj::object body(const model::Run& r) { return model::to_stored(r); }
bj::object body(const ArchivedFence& f) { return {{"scheduler", value(f.fence)}}; }
bj::object body(const ArchivedLog& log) {
  bj::array lines;
  for (const auto& line : log.lines) lines.push_back(model::to_stored(line));
  return {{"run", log.run.str()}, {"lines", std::move(lines)}};
}
bj::object body(const ArchivedJob& j) {
  bj::object o = model::to_stored(j.job);
  o["fence"] = value(j.fence);
  if (j.deleted) o["deleted"] = true;
  return o;
}

// ---- reading

std::int64_t number_at(const bj::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v != nullptr && v->is_int64() ? v->get_int64() : 0;
}

template <class T>
Result<ArchiveRecord> with_ids(Result<T> value, std::string_view kind,
                               std::initializer_list<bool> missing) {
  if (!value) return malformed(kind, "has a field of the wrong type");
  for (const bool m : missing) {
    if (m) return malformed(kind, "has no id");
  }
  return ArchiveRecord(std::move(*value));
}

Result<ArchiveRecord> log_from(const bj::object& o) {
  ArchivedLog log;
  const auto* run = o.if_contains("run");
  const auto* lines = o.if_contains("lines");
  if (run == nullptr || !run->is_string() || run->get_string().empty()) {
    return malformed("log", "has no id");
  }
  if (lines == nullptr || !lines->is_array() || lines->get_array().empty()) {
    return malformed("log", "has no lines");
  }
  log.run = RunId(std::string(run->get_string()));
  for (const auto& item : lines->get_array()) {
    auto line = model::log_line_from_stored(item);
    if (!line) return malformed("log", "has a field of the wrong type");
    // They are found by their numbers, which follow one another.
    if (line->seq < 1 || (!log.lines.empty() && line->seq != log.lines.back().seq + 1)) {
      return malformed("log", "has lines that are not in order");
    }
    log.lines.push_back(std::move(*line));
  }
  return log;
}

Result<ArchiveRecord> job_from(const bj::value& v) {
  auto job = model::job_from_stored(v);
  if (!job) return malformed("job", "has a field of the wrong type");
  const auto* deleted = v.get_object().if_contains("deleted");
  ArchivedJob j{.job = std::move(*job),
                .fence = Fence{number_at(v.get_object(), "fence")},
                .deleted = deleted != nullptr && deleted->is_bool() && deleted->get_bool()};
  if (j.job.id.empty() || j.job.workspace.empty()) return malformed("job", "has no id");
  return j;
}

Result<ArchiveRecord> read(std::string_view kind, const bj::value& v) {
  if (kind == "workspace") {
    const auto w = model::workspace_from_stored(v);
    return with_ids(w, kind, {w && w->id.empty()});
  }
  if (kind == "token") {
    const auto t = model::token_from_stored(v);
    return with_ids(t, kind, {t && (t->id.empty() || t->hash.empty())});
  }
  if (kind == "connection") {
    const auto c = model::connection_from_stored(v);
    return with_ids(c, kind, {c && (c->id.empty() || c->workspace.empty())});
  }
  if (kind == "slots") {
    const auto r = model::slot_record_from_stored(v);
    return with_ids(r, kind, {r && r->job.empty()});
  }
  if (kind == "run") {
    const auto r = model::run_from_stored(v);
    return with_ids(r, kind, {r && (r->id.empty() || r->job.empty())});
  }
  if (kind == "fence") {
    return ArchiveRecord(ArchivedFence{Fence{number_at(v.get_object(), "scheduler")}});
  }
  if (kind == "log") return log_from(v.get_object());
  if (kind == "job") return job_from(v);
  return malformed(kind, "is not known");
}

}  // namespace

std::string_view kind_of(const ArchiveRecord& record) { return kKinds[record.index()]; }

bj::object to_json(const ArchiveRecord& record) {
  bj::object o = std::visit([](const auto& r) { return body(r); }, record);
  return {{kind_of(record), std::move(o)}};
}

Result<ArchiveRecord> archive_record_from_json(const bj::value& v) {
  if (!v.is_object() || v.get_object().size() != 1 ||
      !v.get_object().begin()->value().is_object()) {
    return fail(Code::Malformed, "a line is no record of an archive");
  }
  const auto& member = *v.get_object().begin();
  return read(std::string_view(member.key()), member.value());
}

}  // namespace tidegate::store

#include "control/archive/check.h"

#include <fmt/format.h>

#include "base/overloaded.h"
#include "control/plan/slots.h"
#include "control/secrets/config_seal.h"

namespace tidegate::archive {
namespace {

constexpr std::size_t kFaultsKept = 20;

std::string named(std::string_view what, const std::string& name, const std::string& id) {
  return fmt::format("{} '{}' ({})", what, name, id);
}

std::string_view summary(std::string_view reason) {
  if (reason == "secret_unreadable") {
    return "the backup has secrets that the keys of this server do not open; add the keys that it "
           "was made with to TIDEGATE_SECRET_KEY (new,old) or DATA/secret-key. Nothing was changed";
  }
  if (reason == "bad_schedule") {
    return "the backup has schedules that cannot be read here. Nothing was changed";
  }
  return "the backup is not complete: the store changed while it was made. Nothing was changed";
}

}  // namespace

void Check::fault(std::string_view reason, std::string field, std::string message) {
  if (reason_.empty()) reason_ = reason;
  if (reason_ != reason) return;  // one thing to mend at a time
  if (faults_.size() < kFaultsKept) {
    faults_.push_back({std::move(field), std::move(message), std::nullopt});
  } else {
    ++more_;
  }
}

void Check::missing(std::string field, std::string_view what, const std::string& id) {
  fault("backup_incomplete", std::move(field),
        fmt::format("its {} {} is not in the backup", what, id));
}

void Check::see_one(const model::Connection& c) {
  const bool source = c.kind == model::ConnectionKind::Source;
  (source ? sources_ : destinations_).insert(c.id);
  const std::string field = named(source ? "data source" : "destination", c.name, c.id.str());
  if (!workspaces_.contains(c.workspace)) missing(field, "workspace", c.workspace.str());
  if (keys_ == nullptr) return;
  if (const auto opened = secrets::open_config(*keys_, c.id, c.config); !opened) {
    fault("secret_unreadable", field, opened.error().message);
  }
}

void Check::see_one(const model::Run& run) {
  open_jobs_.insert(run.job);
  runs_.insert(run.id);
}

void Check::see_one(const store::ArchivedLog& log) {
  if (!runs_.contains(log.run)) missing("a log", "run", log.run.str());
}

void Check::see_one(const store::ArchivedJob& j) {
  const model::SyncJob& job = j.job;
  open_jobs_.erase(job.id);
  if (open_jobs_.empty()) runs_.clear();
  if (j.deleted) return;  // what it referred to may be gone
  const std::string field = named("job", job.spec.name, job.id.str());
  if (!workspaces_.contains(job.workspace)) missing(field, "workspace", job.workspace.str());
  if (!sources_.contains(job.spec.source_id)) {
    missing(field, "data source", job.spec.source_id.str());
  }
  if (!destinations_.contains(job.spec.destination_id)) {
    missing(field, "destination", job.spec.destination_id.str());
  }
  if (const auto slots = plan::SlotSequence::compile(job.spec.schedule, job.id); !slots) {
    fault("bad_schedule", field, slots.error().message);
  }
}

void Check::see(const store::ArchiveRecord& record) {
  std::visit(Overloaded{[&](const model::Workspace& w) { workspaces_.insert(w.id); },
                        [](const model::Token&) {}, [](const store::ArchivedFence&) {},
                        [&](const model::SlotRecord& r) { open_jobs_.insert(r.job); },
                        [&](const auto& other) { see_one(other); }},
             record);
}

Status Check::finish() {
  for (const JobId& id : open_jobs_) missing("runs or slots", "job", id.str());
  if (reason_.empty()) return {};
  if (more_ > 0) faults_.push_back({"", fmt::format("and {} more", more_), std::nullopt});
  return fail(Error{Code::Invalid, std::string(summary(reason_)), reason_, std::move(faults_)});
}

}  // namespace tidegate::archive

#include "control/store/archive_walk.h"

namespace tidegate::store {
namespace {

class Walk final : public ArchiveReader {
 public:
  explicit Walk(std::unique_ptr<ArchivePages> pages) : pages_(std::move(pages)) {}

  bool is_snapshot() const override { return pages_->is_snapshot(); }

  Result<std::vector<ArchiveRecord>> next() override {
    out_.clear();
    while (out_.empty() && stage_ != Stage::End) TG_CHECK(step());
    return std::move(out_);
  }

 private:
  enum class Stage : std::uint8_t { Head, Connections, Jobs, Slots, Runs, Logs, End };

  Status step() {
    switch (stage_) {
      case Stage::Head: {
        TG_TRY(out_, pages_->head());
        stage_ = Stage::Connections;
        return {};
      }
      case Stage::Connections: {
        TG_TRY(auto page, pages_->connections(connection_));
        if (page.empty()) return go(Stage::Jobs);
        connection_ = page.back().id;
        return give(std::move(page));
      }
      case Stage::Jobs:
        return next_group();
      case Stage::Slots: {
        TG_TRY(auto page, pages_->slots(ids_, slot_));
        if (page.empty()) return go(Stage::Runs);
        slot_ = {page.back().job, page.back().first};
        return give(std::move(page));
      }
      case Stage::Runs:
        return next_runs();
      case Stage::Logs: {
        TG_TRY(auto page, pages_->logs(runs_, log_));
        if (page.empty()) return go(Stage::Runs);
        log_ = {page.back().run, page.back().lines.back().seq};
        return give(std::move(page));
      }
      case Stage::End:
        break;
    }
    return {};
  }

  Status next_group() {
    TG_TRY(group_, pages_->jobs(ids_.empty() ? JobId() : ids_.back()));
    if (group_.empty()) return go(Stage::End);
    ids_.clear();
    for (const ArchivedJob& j : group_) ids_.push_back(j.job.id);
    slot_ = {};
    run_ = {};
    return go(Stage::Slots);
  }

  Status next_runs() {
    TG_TRY(auto page, pages_->runs(ids_, run_));
    if (page.empty()) {
      stage_ = Stage::Jobs;
      return give(std::move(group_));
    }
    run_ = {page.back().job, page.back().created_at, page.back().id};
    runs_.clear();
    for (const model::Run& run : page) runs_.push_back(run.id);
    log_ = {};
    stage_ = Stage::Logs;
    return give(std::move(page));
  }

  Status go(Stage stage) {
    stage_ = stage;
    return {};
  }
  template <class T>
  Status give(std::vector<T> page) {
    out_.reserve(page.size());
    for (T& item : page) out_.emplace_back(std::move(item));
    return {};
  }

  std::unique_ptr<ArchivePages> pages_;
  Stage stage_ = Stage::Head;
  std::vector<ArchiveRecord> out_;
  ConnectionId connection_;
  std::vector<ArchivedJob> group_;
  std::vector<JobId> ids_;
  SlotAfter slot_;
  RunAfter run_;
  std::vector<RunId> runs_;
  LogAfter log_;
};

}  // namespace

std::unique_ptr<ArchiveReader> walk_archive(std::unique_ptr<ArchivePages> pages) {
  return std::make_unique<Walk>(std::move(pages));
}

}  // namespace tidegate::store

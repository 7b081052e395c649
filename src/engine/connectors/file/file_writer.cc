#include "engine/connectors/file/file_writer.h"

#include <arrow/record_batch.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "engine/connectors/file/csv_scanner.h"

namespace tidegate::engine::file {
namespace {

constexpr const char* kRejected = "rejected.csv";

// Reads a file again that this destination wrote. `each` gets the texts of one row; NULL: nullopt.
class OwnRows {
 public:
  using Values = std::vector<std::optional<std::string_view>>;

  OwnRows(int fd, std::string path) : path_(std::move(path)), scanner_(stream(fd, path_), {}) {}

  template <class Each>
  Status for_each(const Each& each) {
    CsvRows rows;
    std::vector<std::string> texts;
    Values values;
    for (;;) {
      TG_TRY(const bool more, scanner_.next(rows));
      if (!more) return {};
      if (!rows.bad.empty()) {
        return fail(Code::Internal,
                    fmt::format("'{}' line {} was changed by somebody: {}; reset the "
                                "job to write the file anew",
                                path_, rows.bad[0].line, rows.bad[0].reason));
      }
      for (std::size_t r = 0; r < rows.count; ++r) {
        texts.resize(rows.columns);
        values.assign(rows.columns, std::nullopt);
        for (std::size_t c = 0; c < rows.columns; ++c) {
          const CsvField& f = rows.field(r, c);
          if (f.bits == 0) continue;
          texts[c] = rows.value(f, '"');
          values[c] = texts[c];
        }
        TG_CHECK(each(values));
      }
    }
  }

 private:
  class Stream final : public ByteStream {
   public:
    Stream(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
    Result<std::size_t> read(std::span<char> out) override {
      for (;;) {
        const ssize_t n = ::read(fd_, out.data(), out.size());
        if (n >= 0) return static_cast<std::size_t>(n);
        if (errno != EINTR) return io_error("read", path_, errno);
      }
    }

   private:
    int fd_;
    std::string path_;
  };
  static std::unique_ptr<ByteStream> stream(int fd, const std::string& path) {
    return std::make_unique<Stream>(fd, path);
  }

  std::string path_;
  CsvScanner scanner_;
};

// Of one rejected row; enough to know it again without keeping its text.
std::size_t hash_of(std::string_view locator, std::string_view row) {
  return std::hash<std::string>()(fmt::format("{}\n{}", locator, row));
}

Fd open_in(const Fd& dir, const std::string& name) {
  return Fd(openat(dir.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
}

}  // namespace

bool FileWriter::appends_to_base() const {
  return load_.kind == LoadKind::Append && base_ && base_->state.has_data;
}

std::string FileWriter::stage_path(const std::string& file) const {
  return fmt::format("{}/{}/{}", folder_.path(), stage_, file);
}

Result<std::vector<std::string>> FileWriter::begin(const LoadPlan& load) {
  load_ = load;
  const FileNow now{.shown = folder_.shown(),
                    .path = folder_.shown_path(),
                    .base = base_ ? &base_->state : nullptr};
  TG_TRY(layout_, plan_layout(now, plan_, load_));
  // A file that its user removed begins anew.
  if (base_ && now.shown != TableFolder::Shown::Ours) base_->state.has_data = false;
  return layout_.sentences;
}

Status FileWriter::open_stage() {
  if (!stage_.empty()) return {};
  stage_ = fmt::format("stage-{}-{}", claim_.fence, ++stages_);
  TG_TRY(stage_dir_, folder_.make_stage(stage_));
  return {};
}

Status FileWriter::open_data() {
  if (data_) return {};
  TG_CHECK(open_stage());
  TG_TRY(CsvWriter made,
         CsvWriter::create(stage_dir_.get(), folder_.csv(), stage_path(folder_.csv())));
  data_.emplace(std::move(made));
  if (appends_to_base() && !layout_.widened) {
    const Fd old = open_in(base_->dir, folder_.csv());
    if (!old) return io_error("read", folder_.shown_path(), errno);
    return data_->append_file(old.get());
  }
  std::vector<std::optional<std::string_view>> names;
  for (const auto& c : layout_.columns) names.emplace_back(c.name);
  TG_CHECK(data_->row(names));
  return appends_to_base() ? copy_base_rows() : Status{};
}

// The old rows, with NULL in the new columns, which come last.
Status FileWriter::copy_base_rows() {
  const Fd old = open_in(base_->dir, folder_.csv());
  if (!old) return io_error("read", folder_.shown_path(), errno);
  bool header = true;
  return OwnRows(old.get(), folder_.shown_path()).for_each([&](OwnRows::Values& values) -> Status {
    if (std::exchange(header, false)) return {};
    values.resize(layout_.columns.size());
    return data_->row(values);
  });
}

Result<std::vector<RejectedRow>> FileWriter::write(const arrow::RecordBatch& batch) {
  TG_CHECK(open_data());
  TG_CHECK(data_->rows(batch, layout_.fields));
  rows_ += batch.num_rows();
  return std::vector<RejectedRow>{};
}

Status FileWriter::open_rejected() {
  if (rejected_) return {};
  TG_CHECK(open_stage());
  TG_TRY(CsvWriter made, CsvWriter::create(stage_dir_.get(), kRejected, stage_path(kRejected)));
  rejected_.emplace(std::move(made));
  return rejected_->row({"run_id", "attempt", "at", "locator", "reason", "row"});
}

// Behind the new ones, without those that were rejected again.
Status FileWriter::copy_base_rejected() {
  const Fd old = base_ ? open_in(base_->dir, kRejected) : Fd();
  if (!old) return {};
  const std::string attempt = std::to_string(plan_.attempt);
  bool header = true;
  return OwnRows(old.get(), folder_.path() + "/current/" + kRejected)
      .for_each([&](OwnRows::Values& values) -> Status {
        if (std::exchange(header, false)) return {};
        const bool own = values[0] == plan_.run_id.str() && values[1] == attempt;
        if (!own &&
            rejected_again_.contains(hash_of(values[3].value_or(""), values[5].value_or(""))))
          return {};
        return rejected_->row(values);
      });
}

Status FileWriter::reject(std::span<const RejectedRow> rows) {
  TG_CHECK(open_rejected());
  const std::string attempt = std::to_string(plan_.attempt);
  const std::string at = format_utc(context_.clock.now());
  for (const RejectedRow& r : rows) {
    TG_CHECK(rejected_->row({plan_.run_id.str(), attempt, at, r.locator, r.reason, r.row}));
    rejected_again_.insert(hash_of(r.locator, r.row));
  }
  return {};
}

Status FileWriter::link_from_base(const std::string& file) {
  if (!base_ || linkat(base_->dir.get(), file.c_str(), stage_dir_.get(), file.c_str(), 0) == 0 ||
      errno == ENOENT) {
    return {};
  }
  return io_error("link", stage_path(file), errno);
}

Status FileWriter::finish_data() {
  if (!data_ && appends_to_base() && !layout_.widened) return link_from_base(folder_.csv());
  TG_CHECK(open_data());
  return data_->finish();
}

// Those of a Replace take the place of all that were kept.
Status FileWriter::finish_rejected() {
  const bool forgets = load_.kind == LoadKind::Replace;
  if (!rejected_ && !forgets) return link_from_base(kRejected);
  if (!rejected_ && base_ && open_in(base_->dir, kRejected)) TG_CHECK(open_rejected());
  if (!rejected_) return {};
  if (!forgets) TG_CHECK(copy_base_rejected());
  return rejected_->finish();
}

Result<CommitReport> FileWriter::flush() {
  TG_CHECK(open_stage());
  TG_CHECK(finish_data());
  TG_CHECK(finish_rejected());
  CommitReport report;
  report.inserted = rows_;
  if (load_.kind == LoadKind::Replace && base_ && base_->state.has_data) {
    report.deleted = base_->state.rows;
  }
  return report;
}

// The stage becomes the current version, if the claim is still this writer's.
Status FileWriter::publish(const TableState& state) {
  TG_TRY(const Fd lock, folder_.lock(claim_, context_));
  TG_TRY(const auto claim, folder_.claim());
  if (claim != claim_) {
    return fail(Code::Fenced,
                fmt::format("another attempt has taken over '{}' (fence {}, mine {}); nothing was "
                            "written",
                            folder_.shown_path(), claim ? claim->fence : 0, claim_.fence));
  }
  TG_CHECK(folder_.in_place());
  // After the claim was compared: who took over has removed the stage.
  TG_CHECK(write_small(stage_dir_.get(), "state.json", encode(state), stage_path("state.json")));
  if (fsync(stage_dir_.get()) != 0) return io_error("write", stage_path(""), errno);
  const auto shown = folder_.shown();
  // Made before the switch, so that the rows appear with it.
  if (state.has_data && shown == TableFolder::Shown::Nothing) TG_CHECK(folder_.show());
  if (rejected_) TG_CHECK(folder_.show_rejected());
  TG_CHECK(folder_.publish(stage_, base_ ? base_->number : 0));
  if (state.has_data && shown == TableFolder::Shown::Foreign) TG_CHECK(folder_.show());
  stage_.clear();
  data_.reset();
  rejected_.reset();
  rejected_again_.clear();
  TG_CHECK(folder_.in_place());
  folder_.tidy();
  TG_TRY(base_, folder_.current());
  return {};
}

Status FileWriter::commit(const std::optional<NewState>& next) {
  const bool keeps_rows = appends_to_base();
  TableState state{.job = plan_.job,
                   .entity = plan_.entity,
                   .epoch = next ? next->epoch : state_.epoch,
                   .sequence = state_.sequence + (next ? 1 : 0),
                   .state = next ? next->state : state_.state,
                   .has_data = true,
                   .rows = rows_ + (keeps_rows ? base_->state.rows : 0),
                   .columns = layout_.columns};
  TG_CHECK(publish(state));
  state_.epoch = state.epoch;
  state_.sequence = state.sequence;
  state_.state = std::move(state.state);
  state_.table_exists = true;
  state_.table_empty = state.rows == 0;
  rows_ = 0;
  layout_.widened = false;
  return {};
}

void FileWriter::drop_stage() {
  data_.reset();
  rejected_.reset();
  rejected_again_.clear();
  if (!stage_.empty()) folder_.drop_stage(stage_);
  stage_.clear();
  rows_ = 0;
}

// The session ends; the fence stays.
Status FileWriter::release() {
  TG_TRY(const Fd lock, folder_.lock(claim_, context_));
  TG_TRY(const auto claim, folder_.claim());
  if (claim != claim_) return {};
  TableClaim idle = claim_;
  idle.session.clear();
  return folder_.set_claim(idle);
}

Status FileWriter::finish() {
  drop_stage();
  return release();
}

Status FileWriter::abort(std::span<const RejectedRow> keep) {
  drop_stage();
  if (keep.empty()) return release();
  const auto record = [&]() -> Status {
    TG_TRY(base_, folder_.current());
    TG_CHECK(reject(keep));
    TG_CHECK(finish_rejected());
    TG_CHECK(link_from_base(folder_.csv()));
    TableState state{.job = plan_.job, .entity = plan_.entity, .state = {}, .columns = {}};
    return publish(base_ ? base_->state : state);
  };
  const Status recorded = record();
  drop_stage();
  TG_CHECK(release());
  return recorded;
}

}  // namespace tidegate::engine::file

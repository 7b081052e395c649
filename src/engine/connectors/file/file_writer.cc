#include "engine/connectors/file/file_writer.h"

#include <arrow/record_batch.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/json.h"
#include "engine/connectors/file/file_types.h"
#include "engine/connectors/file/own_rows.h"
#include "engine/core/rows.h"

namespace tidegate::engine::file {
namespace {

constexpr const char* kRejected = "rejected.csv";

// Of one rejected row; enough to know it again without keeping its text.
std::size_t hash_of(std::string_view locator, std::string_view row) {
  return std::hash<std::string>()(fmt::format("{}\n{}", locator, row));
}

Fd open_in(const Fd& dir, const std::string& name) {
  return Fd(openat(dir.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
}

}  // namespace

FileNow file_now(const TableFolder& folder, Format format, const TableState* base) {
  const Format before = base != nullptr ? base->format : format;
  return {.format = format,
          .foreign = folder.shown(format) == TableFolder::Shown::Foreign,
          .path = folder.shown_path(format),
          .base = base,
          .shown = folder.shown(before) == TableFolder::Shown::Ours,
          .base_path = folder.shown_path(before)};
}

bool FileWriter::appends_to_base() const {
  return load_.kind == LoadKind::Append && base_ && base_->state.has_data &&
         base_->state.format == format_;
}

std::string FileWriter::stage_path(const std::string& file) const {
  return fmt::format("{}/{}/{}", folder_.path(), stage_, file);
}

Result<std::vector<std::string>> FileWriter::begin(const LoadPlan& load) {
  load_ = load;
  const FileNow now = file_now(folder_, format_, base_ ? &base_->state : nullptr);
  TG_TRY(layout_, plan_layout(now, plan_, load_));
  fit_.emplace(layout_, *load_.schema);
  // A file that its user removed begins anew.
  if (base_ && !now.shown) base_->state.has_data = false;
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
  const std::string name = folder_.file(format_), shown = folder_.shown_path(format_);
  Fd old;
  if (appends_to_base()) {
    old = open_in(base_->dir, name);
    if (!old) return io_error("read", shown, errno);
  }
  static constexpr decltype(&make_csv_table) kMakers[] = {make_csv_table, make_jsonl_table,
                                                          make_parquet_table};
  TG_TRY(data_, kMakers[static_cast<std::size_t>(format_)](
                    {.dir = stage_dir_.get(), .name = name, .path = stage_path(name)}, layout_,
                    {.fd = old ? old.get() : -1, .path = shown}));
  return {};
}

Result<std::vector<RejectedRow>> FileWriter::write(const arrow::RecordBatch& batch) {
  TG_TRY(const RowFit::Fitted fitted, fit_->fit(batch));
  TG_CHECK(open_data());
  TG_CHECK(data_->write(*fitted.rows));
  rows_ += fitted.rows->num_rows();
  std::vector<RejectedRow> out;
  for (const RowCheck::Refused& r : fitted.refused) {
    out.push_back({plan_.entity, r.why, json::write(row_json(batch, r.row))});
  }
  refused_ += static_cast<std::int64_t>(out.size());
  return out;
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
  if (!data_ && appends_to_base() && !layout_.widened) {
    return link_from_base(folder_.file(format_));
  }
  TG_CHECK(open_data());
  TG_TRY(const auto rows, data_->finish());
  const std::int64_t wanted = rows_ + (appends_to_base() ? base_->state.rows : 0);
  if (!rows || *rows == wanted) return {};
  return fail(Code::Internal,
              fmt::format("'{}' holds {} rows where {} were to be; nothing was committed. When the "
                          "rows of earlier runs are not all there, reset the job (--reset, or "
                          "`tidegate jobs reset`) to write them anew",
                          stage_path(folder_.file(format_)), *rows, wanted));
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
  report.rejected = refused_;
  if (load_.kind == LoadKind::Replace && base_ && base_->state.has_data) {
    report.deleted = base_->state.rows;
  }
  return report;
}

// The stage becomes the current version, if the claim is still this writer's.
Status FileWriter::publish(const TableState& state, Show show) {
  TG_TRY(const Fd lock, folder_.lock(claim_, context_));
  TG_TRY(const auto claim, folder_.claim());
  if (claim != claim_) {
    return fail(Code::Fenced,
                fmt::format("another attempt has taken over '{}' (fence {}, mine {}); nothing was "
                            "written",
                            folder_.shown_path(format_), claim ? claim->fence : 0, claim_.fence));
  }
  TG_CHECK(folder_.in_place());
  // After the claim was compared: who took over has removed the stage.
  TG_CHECK(write_small(stage_dir_.get(), "state.json", encode(state), stage_path("state.json")));
  if (fsync(stage_dir_.get()) != 0) return io_error("write", stage_path(""), errno);
  const auto shown = folder_.shown(state.format);
  const bool shows = state.has_data && show == Show::Rows;
  // Made before the switch, so that the rows appear with it.
  if (shows && shown == TableFolder::Shown::Nothing) {
    TG_CHECK(folder_.show(state.format));
  }
  if (rejected_) TG_CHECK(folder_.show_rejected());
  TG_CHECK(folder_.publish(stage_, base_ ? base_->number : 0));
  if (shows && shown == TableFolder::Shown::Foreign) {
    TG_CHECK(folder_.show(state.format));
  }
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
                   .format = format_,
                   .rows = rows_ + (keeps_rows ? base_->state.rows : 0),
                   .columns = layout_.columns,
                   .types = {}};
  if (format_ != Format::Csv) {
    TG_TRY(state.types, encode_types(*layout_.schema));
  }
  TG_CHECK(publish(state, Show::Rows));
  state_.epoch = state.epoch;
  state_.sequence = state.sequence;
  state_.state = std::move(state.state);
  state_.table_exists = true;
  state_.table_empty = state.rows == 0;
  rows_ = refused_ = 0;
  layout_.widened = false;
  if (format_ != Format::Csv) layout_.before = layout_.schema;
  return {};
}

void FileWriter::drop_stage() {
  data_.reset();
  rejected_.reset();
  rejected_again_.clear();
  if (!stage_.empty()) folder_.drop_stage(stage_);
  stage_.clear();
  rows_ = refused_ = 0;
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
    if (base_) TG_CHECK(link_from_base(folder_.file(base_->state.format)));
    TableState state{
        .job = plan_.job, .entity = plan_.entity, .state = {}, .columns = {}, .types = {}};
    // No rows are new: a file that is ours stays shown, and what its user put there, or took away,
    // stays as it is.
    return publish(base_ ? base_->state : state, Show::AsItIs);
  };
  const Status recorded = record();
  drop_stage();
  TG_CHECK(release());
  return recorded;
}

}  // namespace tidegate::engine::file

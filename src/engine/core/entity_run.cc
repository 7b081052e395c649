#include "engine/core/entity_run.h"

#include <arrow/array.h>
#include <arrow/array/util.h>
#include <arrow/record_batch.h>
#include <arrow/scalar.h>
#include <arrow/type.h>
#include <arrow/util/byte_size.h>
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "base/json.h"
#include "base/utf8.h"
#include "engine/core/guarded.h"
#include "engine/core/outcome.h"
#include "engine/core/rows.h"
#include "engine/core/schema.h"

namespace tidegate::engine {
namespace {

constexpr std::size_t kQueueBatches = 4;
constexpr std::int64_t kQueueBytes = 32 << 20;
constexpr std::size_t kKeptRejects = 1000;
constexpr std::size_t kShownRejects = 3;
constexpr std::chrono::milliseconds kProgressEvery{200};

std::string more_rejects(const std::vector<RejectedRow>& rows) {
  std::string text;
  for (std::size_t i = 0; i < std::min(rows.size(), kShownRejects); ++i) {
    text += fmt::format("{}{}: {}", i == 0 ? " First: " : "; ", rows[i].locator, rows[i].reason);
  }
  return text;
}

}  // namespace

protocol::EntityResult EntityRun::execute() {
  const auto start = std::chrono::steady_clock::now();
  result_.entity = info_.name;
  result_.warnings = info_.warnings;
  if (const Status status = guarded([&] { return run(); }); !status) fail_with(status.error());
  if (result_.rows_superseded > 0)
    result_.warnings.push_back(superseded_words(result_.rows_superseded, request_.key));
  progress(true);
  result_.duration = std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - start);
  return std::move(result_);
}

void EntityRun::fail_with(const Error& error) {
  result_.outcome = error.code == Code::Cancelled ? protocol::EntityOutcome::Cancelled
                                                  : protocol::EntityOutcome::Failed;
  result_.error_kind = error_kind(error);
  result_.error = error_text(error);
  result_.rows_written = committed_.written;
  result_.rows_updated = committed_.updated;
  result_.rows_deleted = committed_.deleted;
  result_.rows_deduplicated = committed_.deduplicated;
  result_.rows_superseded = committed_.superseded;
  if (error.code == Code::Cancelled) *result_.error += "; " + what_stays();
}

std::string EntityRun::what_stays() const {
  if (committed_.written == 0) return "no row of this run was committed";
  return fmt::format("{} rows were committed and stay, the next run goes on behind them",
                     committed_.written);
}

void EntityRun::keep_counts() {
  committed_ = {.written = result_.rows_written,
                .updated = result_.rows_updated,
                .deleted = result_.rows_deleted,
                .deduplicated = result_.rows_deduplicated,
                .superseded = result_.rows_superseded};
}

Status EntityRun::run() {
  TG_CHECK(env_.lease.check());
  TG_TRY(request_,
         make_request(env_.spec, info_, env_.source.identity(), env_.destination.has_keys()));
  const WritePlan plan{.job = env_.spec.job,
                       .entity = info_.name,
                       .run_id = env_.spec.run_id,
                       .attempt = env_.spec.attempt,
                       .fence = env_.spec.fence,
                       .take_over = env_.spec.take_over};
  TG_TRY(const std::unique_ptr<Writer> writer, env_.destination.open(plan));
  result_.destination_table = writer->state().table;
  TG_TRY(decision_, decide(env_.spec, request_, writer->state(), env_.context.clock.now()));
  for (auto& w : decision_.warnings) result_.warnings.push_back(std::move(w));
  if (decision_.done) {
    count_as_before(0);
    result_.warnings.emplace_back(
        "an earlier attempt of this run had committed it; nothing was read");
    return {};
  }
  count_earlier_attempts();
  Status status = prepare(*writer);
  if (status) status = guarded([&] { return transfer(*writer); });
  if (!status) {
    if (const Status undone = writer->abort(kept_); !undone) {
      env_.context.log(LogLevel::Warn, fmt::format("entity \"{}\": undoing: {}", info_.name,
                                                   undone.error().message));
    }
    return status;
  }
  if (const Status tidy = writer->finish(); !tidy) result_.warnings.push_back(tidy.error().message);
  return {};
}

// What earlier attempts of this run have committed is part of what the run did.
void EntityRun::count_earlier_attempts() {
  const EntityState& known = decision_.known;
  if (env_.spec.attempt <= 1 || !decision_.advance) return;
  if (known.run_id != env_.spec.run_id.str()) return;
  // Behind one that was complete (its answer was lost) rejected rows are met once more: a file is
  // always read from its beginning.
  count_as_before(known.complete ? known.rows_rejected : 0);
}

void EntityRun::count_as_before(std::int64_t rejected_again) {
  const EntityState& known = decision_.known;
  result_.rows_read = known.rows_read - rejected_again;
  result_.rows_written = known.rows_written;
  result_.rows_rejected = known.rows_rejected - rejected_again;
  result_.rows_deduplicated = known.rows_deduplicated;
  result_.rows_superseded = known.rows_superseded;
  keep_counts();
}

Status EntityRun::prepare(Writer& writer) {
  params_ = read_params(env_.spec, request_, decision_);
  intake_ = Intake(bound_filter(request_, decision_), env_.spec.limit);
  TG_TRY(partitions_, env_.source.plan(params_));
  TG_TRY(first_, env_.source.open(params_, partitions_.front()));
  // One ordered part is a position; several in a row are not ordered among each other.
  ordered_ = partitions_.size() == 1 && first_->ordered_by_cursor();
  load_in_checkpoints(writer.state());
  TG_TRY(result_.schema_changes,
         writer.begin({.kind = decision_.load,
                       .schema = request_.schema,
                       .key = request_.keyed() ? request_.key : std::vector<std::string>{},
                       .cursor = request_.cursor,
                       .schema_change = env_.spec.schema_change,
                       .max_rejected = env_.spec.max_rejected}));
  return {};
}

// A first load into an empty table replaces nothing: where the source's order allows it, it is
// committed in parts too, so that a long one that is stopped goes on where it was.
void EntityRun::load_in_checkpoints(const WriterState& found) {
  if (!ordered_ || !intake_.bounded() || !decision_.advance || !found.table_empty) return;
  if (decision_.load != LoadKind::Replace) return;
  decision_.load =
      request_.mode == protocol::SyncMode::Incremental ? LoadKind::Merge : LoadKind::Append;
}

Status EntityRun::transfer(Writer& writer) {
  BatchQueue queue(kQueueBatches, kQueueBytes);
  std::thread reader([&] { queue.finish(guarded([&] { return read_all(queue); })); });
  const Status status = guarded([&] { return write_all(queue, writer); });
  queue.leave();
  reader.join();
  return status;
}

Status EntityRun::read_all(BatchQueue& queue) {
  for (const Partition& partition : partitions_) {
    std::unique_ptr<Reader> reader = std::move(first_);
    if (reader == nullptr) {
      TG_TRY(reader, env_.source.open(params_, partition));
    }
    for (;;) {
      TG_CHECK(env_.lease.check());
      TG_TRY(std::optional<ReadBatch> batch, reader->next());
      if (!batch) break;
      const std::int64_t bytes = arrow::util::TotalBufferSize(*batch->batch);
      if (!queue.push(std::move(*batch), bytes)) return {};
    }
  }
  return {};
}

Status EntityRun::write_all(BatchQueue& queue, Writer& writer) {
  for (;;) {
    TG_CHECK(env_.lease.check());
    TG_TRY(std::optional<ReadBatch> item, queue.pop());
    if (!item) break;
    TG_CHECK(take(*item, writer));
    progress(false);
    if (intake_.full()) break;
    if (ordered_ && intake_.bounded() && decision_.advance && decision_.load != LoadKind::Replace &&
        since_checkpoint_ >= env_.checkpoint_rows) {
      TG_CHECK(checkpoint(writer, false));
    }
  }
  return checkpoint(writer, true);
}

Status EntityRun::take(ReadBatch& item, Writer& writer) {
  TG_TRY(std::shared_ptr<arrow::RecordBatch> batch, intake_.take(item, result_));
  TG_CHECK(reject(std::move(item.rejected), writer));
  if (batch->num_rows() == 0) return {};
  return write_rows(std::move(batch), writer);
}

Status EntityRun::write_rows(std::shared_ptr<arrow::RecordBatch> batch, Writer& writer) {
  std::vector<RejectedRow> rejected;
  if (request_.keyed()) {
    TG_TRY(batch, without_null_keys(batch, rejected));
  }
  if (request_.mode == protocol::SyncMode::FullAppend) {
    auto load =
        arrow::MakeArrayFromScalar(arrow::StringScalar(env_.spec.run_id.str()), batch->num_rows());
    if (!load.ok()) return fail(from_arrow(load.status(), "adding the load id"));
    arrow::ArrayVector columns = batch->columns();
    columns.push_back(*load);
    batch = arrow::RecordBatch::Make(request_.schema, batch->num_rows(), std::move(columns));
  }
  const std::int64_t rows = batch->num_rows();
  handed_ += rows;
  since_checkpoint_ += rows;
  TG_TRY(std::vector<RejectedRow> refused, writer.write(*batch));
  result_.rows_written += rows - static_cast<std::int64_t>(refused.size());
  std::ranges::move(refused, std::back_inserter(rejected));
  return reject(std::move(rejected), writer);
}

Result<std::shared_ptr<arrow::RecordBatch>> EntityRun::without_null_keys(
    const std::shared_ptr<arrow::RecordBatch>& batch, std::vector<RejectedRow>& rejected) const {
  std::vector<std::uint8_t> keep;
  for (const auto& name : request_.key) {
    const auto column = batch->GetColumnByName(name);
    if (column->null_count() == 0) continue;
    keep.resize(static_cast<std::size_t>(batch->num_rows()), 1);
    for (std::int64_t row = 0; row < batch->num_rows(); ++row) {
      auto& kept = keep[static_cast<std::size_t>(row)];
      if (kept == 0 || column->IsValid(row)) continue;
      kept = 0;
      rejected.push_back({request_.entity,
                          fmt::format("column \"{}\" is part of the primary key and is NULL", name),
                          json::write(row_json(*batch, row))});
    }
  }
  if (keep.empty()) return batch;
  return keep_rows(batch, keep);
}

Status EntityRun::reject(std::vector<RejectedRow> rows, Writer& writer) {
  if (rows.empty()) return {};
  // Destinations keep them as text.
  for (RejectedRow& row : rows) {
    for (std::string* text : {&row.locator, &row.reason, &row.row}) *text = escape_bytes(*text);
  }
  result_.rows_rejected += static_cast<std::int64_t>(rows.size());
  const bool too_many = result_.rows_rejected > env_.spec.max_rejected;
  if (!too_many) TG_CHECK(writer.reject(rows));
  for (auto& row : rows) {
    if (kept_.size() < kKeptRejects) kept_.push_back(std::move(row));
  }
  if (!too_many) return {};
  return fail(data_error(fmt::format(
      "{} row(s) were rejected and at most {} are accepted (maxRejected); {}. The "
      "rejected rows are in the destination's _tidegate_rejected.{}",
      result_.rows_rejected, env_.spec.max_rejected, what_stays(), more_rejects(kept_))));
}

Status EntityRun::reconcile(const CommitReport& report) const {
  const std::int64_t settled =
      report.inserted + report.updated + report.superseded + report.rejected;
  if (settled == handed_ - settled_) return {};
  return fail(Code::Internal,
              fmt::format("counts differ: {} rows were handed to the destination and {} arrived "
                          "({} inserted, {} updated, {} superseded, {} rejected); {}",
                          handed_ - settled_, settled, report.inserted, report.updated,
                          report.superseded, report.rejected, what_stays()));
}

void EntityRun::add(const CommitReport& report) {
  result_.rows_updated += report.updated;
  result_.rows_deleted += report.deleted;
  result_.rows_superseded += report.superseded;
  result_.rows_written -= report.superseded;
  settled_ = handed_;
}

Result<std::optional<Writer::NewState>> EntityRun::next_state(const WriterState& found,
                                                              bool last) const {
  if (!decision_.advance) {
    if (!decision_.weakened || handed_ == 0) return std::nullopt;
    return Writer::NewState{encode(*decision_.weakened), found.epoch};
  }
  EntityState state;
  state.mode = request_.mode;
  state.fingerprint = request_.fingerprint;
  state.run_id = env_.spec.run_id.str();
  state.complete = last;
  state.rows_read = result_.rows_read;
  state.rows_written = result_.rows_written;
  state.rows_rejected = result_.rows_rejected;
  state.rows_deduplicated = result_.rows_deduplicated;
  state.rows_superseded = result_.rows_superseded;
  TG_CHECK(intake_.save(state));
  return Writer::NewState{encode(state), decision_.epoch};
}

Status EntityRun::checkpoint(Writer& writer, bool last) {
  TG_TRY(CommitReport report, writer.flush());
  result_.rows_written -= static_cast<std::int64_t>(report.refused.size());
  TG_CHECK(reject(std::move(report.refused), writer));
  TG_CHECK(reconcile(report));
  add(report);
  TG_TRY(const std::optional<Writer::NewState> next, next_state(writer.state(), last));
  // Right before the commit: what came before may have taken long.
  TG_CHECK(env_.lease.before_commit());
  TG_CHECK(writer.commit(next));
  since_checkpoint_ = 0;
  kept_.clear();
  keep_counts();
  if (!next) return {};
  const WriterState& committed = writer.state();
  env_.events.send(protocol::StateCommitted{
      info_.name,
      {committed.destination_id, committed.epoch, committed.sequence, committed.state}});
  return {};
}

void EntityRun::progress(bool now) {
  const auto t = std::chrono::steady_clock::now();
  if (!now && t - last_progress_ < kProgressEvery) return;
  last_progress_ = t;
  // What was only handed over may still be replaced by a later row of its key, refused or undone.
  env_.events.send(
      protocol::Progress{info_.name, result_.rows_read, committed_.written, result_.bytes});
}

}  // namespace tidegate::engine

#include "engine/core/dry_run.h"

#include <arrow/array/util.h>
#include <arrow/record_batch.h>
#include <arrow/scalar.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/json.h"
#include "engine/core/guarded.h"
#include "engine/core/intake.h"
#include "engine/core/outcome.h"
#include "engine/core/plan.h"
#include "engine/core/rows.h"
#include "engine/core/schema.h"
#include "engine/core/shared_keys.h"
#include "protocol/fields.h"

namespace tidegate::engine {
namespace {

namespace bj = boost::json;

constexpr std::size_t kShownRows = 5;
constexpr std::size_t kShownRejects = 3;
constexpr std::string_view kLoadNames[] = {"replace", "append", "merge"};

// One entity: reads what the run would read, and checks what it would write.
class Look {
 public:
  Look(const protocol::RunSpec& run, const EntityInfo& info, Source& source,
       Destination& destination, const Context& context)
      : run_(run), info_(info), source_(source), destination_(destination), context_(context) {
    result_.entity = info.name;
    result_.warnings = info.warnings;
    result_.outcome = protocol::EntityOutcome::Skipped;
  }

  // Null when the run would fail: result() says why.
  bj::value execute() {
    if (const Status status = guarded([&] { return look(); }); !status) {
      result_.outcome = protocol::EntityOutcome::Failed;
      result_.error_kind = error_kind(status.error());
      result_.error = error_text(status.error());
      return nullptr;
    }
    return preview();
  }
  protocol::EntityResult& result() { return result_; }

 private:
  Status look() {
    TG_TRY(request_, make_request(run_, info_, source_.identity(), destination_.has_keys()));
    const WritePlan plan{.job = run_.job,
                         .entity = info_.name,
                         .run_id = run_.run_id,
                         .attempt = run_.attempt,
                         .fence = run_.fence,
                         .take_over = run_.take_over};
    TG_TRY(const WriterState found, destination_.inspect(plan));
    result_.destination_table = found.table;
    TG_TRY(decision_, decide(run_, request_, found, context_.clock.now()));
    for (auto& w : decision_.warnings) result_.warnings.push_back(std::move(w));
    TG_TRY(Destination::Trial trial,
           destination_.trial(plan,
                              {.kind = decision_.load,
                               .schema = request_.schema,
                               .key = request_.keyed() ? request_.key : std::vector<std::string>{},
                               .cursor = request_.cursor,
                               .schema_change = run_.schema_change,
                               .max_rejected = run_.max_rejected}));
    changes_ = std::move(trial.changes);
    check_ = std::move(trial.rows);
    if (request_.keyed() && destination_.has_keys()) keys_.emplace(request_.key);
    TG_CHECK(read());
    count_keys();
    return verdict();
  }

  Status read() {
    const ReadParams params = read_params(run_, request_, decision_);
    Intake intake(bound_filter(request_, decision_), run_.limit);
    TG_TRY(const std::vector<Partition> partitions, source_.plan(params));
    for (const Partition& partition : partitions) {
      TG_TRY(const std::unique_ptr<Reader> reader, source_.open(params, partition));
      while (!intake.full()) {
        if (context_.stop.stop_requested()) return fail(Code::Cancelled, "the run was stopped");
        TG_TRY(std::optional<ReadBatch> read, reader->next());
        if (!read) break;
        TG_TRY(const auto batch, intake.take(*read, result_));
        for (const RejectedRow& row : read->rejected) reject(row.locator, row.reason);
        if (batch->num_rows() > 0) TG_CHECK(check_rows(batch));
      }
    }
    EntityState state;
    return intake.save(state);
  }

  Status check_rows(std::shared_ptr<arrow::RecordBatch> batch) {
    std::vector<std::uint8_t> keep(static_cast<std::size_t>(batch->num_rows()), 1);
    const auto refuse = [&](std::int64_t row, const std::string& why) {
      if (std::exchange(keep[static_cast<std::size_t>(row)], 0) != 0) {
        reject(locator(*batch, row), why);
      }
    };
    for (const auto& name : request_.keyed() ? request_.key : std::vector<std::string>{}) {
      const auto column = batch->GetColumnByName(name);
      for (std::int64_t row = 0; column->null_count() > 0 && row < batch->num_rows(); ++row) {
        if (column->IsNull(row)) {
          refuse(row, fmt::format("column \"{}\" is part of the primary key and is NULL", name));
        }
      }
    }
    if (check_) {
      TG_TRY(const auto written, as_written(batch));
      TG_TRY(const auto refused, check_->check(*written));
      for (const RowCheck::Refused& r : refused) refuse(r.row, r.why);
    }
    for (std::int64_t row = 0; row < batch->num_rows() && rows_.size() < kShownRows; ++row) {
      if (keep[static_cast<std::size_t>(row)] != 0) rows_.push_back(row_json(*batch, row));
    }
    if (keys_) keys_->add(*batch, keep);
    return {};
  }

  void count_keys() {
    if (!keys_) return;
    result_.rows_superseded = keys_->superseded();
    if (result_.rows_superseded > 0)
      result_.warnings.push_back(superseded_words(result_.rows_superseded, request_.key));
    if (keys_->complete()) return;
    result_.warnings.push_back(
        fmt::format("rows that share their key were looked for among the first {} rows only",
                    SharedKeys::kMaxRows));
  }

  // With the load id, of whatever run.
  Result<std::shared_ptr<arrow::RecordBatch>> as_written(
      const std::shared_ptr<arrow::RecordBatch>& batch) const {
    if (request_.schema->num_fields() == batch->num_columns()) return batch;
    auto load =
        arrow::MakeArrayFromScalar(arrow::StringScalar(run_.run_id.str()), batch->num_rows());
    if (!load.ok()) return fail(from_arrow(load.status(), "adding the load id"));
    arrow::ArrayVector columns = batch->columns();
    columns.push_back(*load);
    return arrow::RecordBatch::Make(request_.schema, batch->num_rows(), std::move(columns));
  }

  std::string locator(const arrow::RecordBatch& batch, std::int64_t row) const {
    std::string key;
    for (const auto& name : request_.keyed() ? request_.key : std::vector<std::string>{}) {
      key += fmt::format("{}{}={}", key.empty() ? "" : ", ", name,
                         value_text(*batch.GetColumnByName(name), row).value_or("NULL"));
    }
    return key.empty() ? info_.name : fmt::format("{} ({})", info_.name, key);
  }

  void reject(const std::string& locator, const std::string& reason) {
    if (++result_.rows_rejected > static_cast<std::int64_t>(kShownRejects)) return;
    rejects_ += fmt::format("{}{}: {}", rejects_.empty() ? " First: " : "; ", locator, reason);
  }

  // All rows are looked at first, so that the number to accept is known.
  Status verdict() const {
    if (result_.rows_rejected <= run_.max_rejected) return {};
    return fail(data_error(fmt::format(
        "{} row(s) would be rejected and at most {} are accepted (maxRejected); nothing was "
        "written.{}",
        result_.rows_rejected, run_.max_rejected, rejects_)));
  }

  bj::object preview() {
    bj::array columns;
    for (const auto& field : request_.schema->fields()) {
      columns.push_back(
          bj::object{{"name", protocol::to_utf8(field->name())}, {"type", type_words(*field)}});
    }
    bj::object o{{"entity", protocol::to_utf8(info_.name)},
                 {"table", protocol::to_utf8(result_.destination_table)},
                 {"mode", protocol::kSyncModeNames[static_cast<std::size_t>(request_.mode)]},
                 {"load", kLoadNames[static_cast<std::size_t>(decision_.load)]},
                 {"columns", std::move(columns)},
                 {"primaryKey", protocol::to_array(request_.key)},
                 {"rows", std::move(rows_)}};
    if (decision_.from) o["from"] = protocol::to_utf8(decision_.from->to_string());
    if (decision_.to) o["to"] = protocol::to_utf8(decision_.to->to_string());
    if (info_.rows) o["sourceRows"] = *info_.rows;
    if (!changes_.empty()) o["schemaChanges"] = protocol::to_array(changes_);
    return o;
  }

  const protocol::RunSpec& run_;
  const EntityInfo& info_;
  Source& source_;
  Destination& destination_;
  const Context& context_;
  EntityRequest request_;
  EntityDecision decision_;
  std::unique_ptr<RowCheck> check_;
  std::optional<SharedKeys> keys_;  // none: rows have no key
  std::vector<std::string> changes_;
  bj::array rows_;
  std::string rejects_;  // the first, in words
  protocol::EntityResult result_;
};

}  // namespace

protocol::RunResult dry_run(const protocol::RunSpec& run, const std::vector<Selected>& selected,
                            Source& source, Destination& destination, const Context& context) {
  protocol::RunResult result;
  bj::array entities;
  for (const Selected& s : selected) {
    if (s.info == nullptr) {
      result.entities.push_back(s.error ? failed_entity(s.name, *s.error)
                                        : skipped_entity(s.name, s.note));
      continue;
    }
    if (skipped_without_columns(*s.info, selected.size())) {
      result.entities.push_back(without_columns(*s.info));
      continue;
    }
    Look look(run, *s.info, source, destination, context);
    if (bj::value o = look.execute(); !o.is_null()) entities.push_back(std::move(o));
    result.entities.push_back(std::move(look.result()));
  }
  summarize(result);
  result.reply = bj::object{{"entities", std::move(entities)}};
  return result;
}

}  // namespace tidegate::engine

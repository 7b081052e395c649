#include "engine/connectors/file/batch_reader.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>

namespace tidegate::engine::file {
namespace {

// A batch ends early where rejected rows alone would grow without bound.
constexpr std::size_t kMaxRejected = 1024;

}  // namespace

BatchReader::BatchReader(Params params, std::unique_ptr<RowSource> rows)
    : params_(std::move(params)), source_(std::move(rows)) {
  const std::string& path = params_.file->path();
  label_ = path.substr(path.rfind('/') + 1);
  for (const auto& field : params_.schema->fields()) {
    Column column{make_builder(*field, params_.nulls, params_.quote), {}};
    const auto it = std::ranges::find(params_.names, field->name());
    if (it != params_.names.end()) {
      column.source = static_cast<std::size_t>(it - params_.names.begin());
    }
    columns_.push_back(std::move(column));
  }
}

bool BatchReader::full() const {
  if (length_ >= kBatchRows) return true;
  std::int64_t bytes = 0;
  for (const Column& c : columns_) bytes += c.builder->bytes();
  return bytes >= kBatchBytes;
}

std::string BatchReader::locator(std::int64_t line) const {
  return fmt::format("{} line {}", label_, line);
}

Result<std::optional<ReadBatch>> BatchReader::next() {
  if (end_) return std::nullopt;
  ReadBatch out;
  while (!end_ && !full() && out.rejected.size() < kMaxRejected) {
    if (taken_ == rows_.count) TG_CHECK(refill(out));
    if (taken_ < rows_.count) take_rows(out);
  }
  if (end_ && length_ == 0 && out.rejected.empty()) return std::nullopt;
  std::vector<std::shared_ptr<arrow::Array>> arrays;
  for (Column& c : columns_) {
    TG_TRY(auto array, c.builder->finish());
    arrays.push_back(std::move(array));
  }
  out.batch =
      arrow::RecordBatch::Make(params_.schema, std::exchange(length_, 0), std::move(arrays));
  return out;
}

Status BatchReader::refill(ReadBatch& out) {
  if (params_.stop.stop_requested()) return fail(Code::Cancelled, "stopped while reading files");
  taken_ = 0;
  TG_TRY(const bool more, source_->next(rows_));
  if (!more) {
    rows_.count = 0;
    end_ = true;
    return params_.file->unchanged();
  }
  out.bytes += rows_.bytes;
  for (CsvBadRow& bad : rows_.bad) {
    out.rejected.push_back({locator(bad.line), std::move(bad.reason), std::move(bad.text)});
  }
  return {};
}

void BatchReader::append(std::size_t from, std::size_t to, std::vector<CellFault>& faults) {
  for (Column& c : columns_) {
    if (c.source) {
      c.builder->append(rows_, *c.source, from, to, faults);
    } else {
      for (std::size_t i = from; i < to; ++i) c.builder->append_null();
    }
  }
  if (faults.empty()) length_ += static_cast<std::int64_t>(to - from);
}

void BatchReader::take_rows(ReadBatch& out) {
  const std::size_t from = taken_;
  const auto room = static_cast<std::size_t>(kBatchRows - length_);
  taken_ = std::min(rows_.count, from + room);
  std::vector<CellFault> faults;
  append(from, taken_, faults);
  if (faults.empty()) return;
  for (Column& c : columns_) c.builder->truncate(length_);
  take_without(from, taken_, faults, out);
}

// Appends again, piece by piece, what lies between the rows with faults.
void BatchReader::take_without(std::size_t from, std::size_t to, std::vector<CellFault>& faults,
                               ReadBatch& out) {
  std::ranges::sort(faults, {}, &CellFault::row);
  std::size_t at = from;
  std::vector<CellFault> none;
  for (std::size_t i = 0; i < faults.size();) {
    const std::size_t row = faults[i].row;
    if (row > at) append(at, row, none);
    RejectedRow bad{locator(rows_.lines[row]), "", source_->row_text(rows_, row)};
    for (; i < faults.size() && faults[i].row == row; ++i) {
      bad.reason += (bad.reason.empty() ? "" : "; ") + faults[i].reason;
    }
    bad.row.resize(std::min(bad.row.size(), kMaxShown));
    out.rejected.push_back(std::move(bad));
    at = row + 1;
  }
  if (to > at) append(at, to, none);
}

}  // namespace tidegate::engine::file

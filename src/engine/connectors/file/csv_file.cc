#include "engine/connectors/file/csv_file.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "engine/core/context.h"

namespace tidegate::engine::file {
namespace {

constexpr std::int64_t kShare = 4 << 20;  // bytes of rows from which a second thread pays

Error cancelled() { return {Code::Cancelled, "stopped while reading files", {}, {}}; }

Result<std::vector<std::string>> header_names(const CsvRows& rows, char quote,
                                              const std::string& path) {
  std::vector<std::string> names;
  std::map<std::string, std::size_t, std::less<>> seen;
  for (std::size_t i = 0; i < rows.columns; ++i) {
    std::string name = rows.value(rows.field(0, i), quote);
    if (name.empty()) {
      return fail(
          data_error(fmt::format("'{}' line {}: column {} of the header has no name; name it, or "
                                 "set `header` to false when "
                                 "the file has none",
                                 path, rows.lines[0], i + 1)));
    }
    auto [it, added] = seen.emplace(name, i);
    if (!added) {
      return fail(
          data_error(fmt::format("'{}' line {}: the header has \"{}\" twice (columns {} and {}); "
                                 "rename one, or set `header` "
                                 "to false when the file has none",
                                 path, rows.lines[0], name, it->second + 1, i + 1)));
    }
    names.push_back(std::move(name));
  }
  return names;
}

// What a run of rows says about the columns.
struct Findings {
  std::vector<ColumnGuess> guesses;
  std::int64_t rows = 0;
  bool paused = false;  // stopped at the pause, where a row begins
  Status status;
};

void find(CsvScanner scanner, const CsvOptions& options, std::size_t columns, std::int64_t pause,
          const std::function<bool()>& stop, Findings& out) {
  out.guesses.resize(columns);
  if (pause >= 0) scanner.pause_at(pause);
  CsvRows rows;
  while (!stop()) {
    auto more = scanner.next(rows);
    if (!more) {
      out.status = fail(std::move(more).error());
      return;
    }
    if (!*more) return;
    for (std::size_t c = 0; c < columns; ++c) observe(out.guesses[c], rows, c, options.nulls);
    out.rows += static_cast<std::int64_t>(rows.count);
    if (pause >= 0 && scanner.offset() == pause) {
      out.paused = true;
      return;
    }
  }
}

// The first line end behind the middle: a row most likely begins there. -1: none.
Result<std::int64_t> middle(const InputFile& file, std::int64_t from) {
  std::vector<char> text(64 << 10);
  const std::int64_t at = from + (file.size() - from) / 2;
  TG_TRY(const std::size_t n, file.read_at(at, text));
  const auto it = std::find(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(n), '\n');
  const std::int64_t begin = at + (it - text.begin()) + 1;
  return it - text.begin() >= static_cast<std::ptrdiff_t>(n) || begin >= file.size() ? -1 : begin;
}

// The second half is read on the guess that no quoted field spans the middle. The first half proves
// it: when it comes to a row that begins exactly there, both findings count; else it goes on alone.
Result<Findings> find_in_halves(const std::shared_ptr<const InputFile>& file, const CsvScan& scan,
                                const CsvOptions& options, const std::stop_token& stop) {
  const std::size_t columns = scan.names.size();
  Findings first, second;
  std::int64_t split = -1;
  if (file->size() - scan.data.offset >= kShare) {
    TG_TRY(split, middle(*file, scan.data.offset));
  }
  std::atomic<bool> useless = false;
  {
    std::jthread helper;
    if (split >= 0) {
      helper = std::jthread([&] {
        find(
            CsvScanner(stream_range(file, split, file->size()), options.dialect, columns,
                       {split, 0}),
            options, columns, -1, [&] { return useless || stop.stop_requested(); }, second);
      });
    }
    find(
        CsvScanner(stream_range(file, scan.data.offset, file->size()), options.dialect, columns,
                   scan.data),
        options, columns, split, [&] { return stop.stop_requested(); }, first);
    useless = !first.paused;
  }
  TG_CHECK(first.status);
  if (!first.paused) return first;
  TG_CHECK(second.status);
  for (std::size_t c = 0; c < columns; ++c) first.guesses[c].add(second.guesses[c]);
  first.rows += second.rows;
  return first;
}

Result<Findings> find_in_stream(const std::shared_ptr<const InputFile>& file, const CsvScan& scan,
                                const CsvOptions& options, const std::stop_token& stop) {
  Findings out;
  CsvScanner scanner(stream_file(file, true), options.dialect);
  CsvRows rows;
  while (scanner.offset() < scan.data.offset) TG_CHECK(scanner.next(rows, 1));
  find(
      std::move(scanner), options, scan.names.size(), -1, [&] { return stop.stop_requested(); },
      out);
  TG_CHECK(out.status);
  return out;
}

// The names, and where the rows begin.
Result<CsvScan> scan_header(const std::shared_ptr<const InputFile>& file, bool gzip,
                            const CsvOptions& options) {
  CsvScan scan;
  CsvScanner scanner(stream_file(file, gzip), options.dialect);
  CsvRows rows;
  rows.count = 0;
  scan.data = {scanner.offset(), scanner.line()};
  for (;;) {
    TG_TRY(const bool more, scanner.next(rows, 1));
    if (!rows.bad.empty()) {
      return fail(data_error(fmt::format("'{}' line {}: the {} cannot be read: {}", file->path(),
                                         rows.bad[0].line, options.header ? "header" : "first row",
                                         rows.bad[0].reason)));
    }
    if (!more) return scan;
    if (rows.count > 0) break;
    scan.data = {scanner.offset(), scanner.line()};
  }
  if (options.header) {
    TG_TRY(scan.names, header_names(rows, options.dialect.quote, file->path()));
    scan.data = {scanner.offset(), scanner.line()};
  } else {
    for (std::size_t i = 0; i < rows.columns; ++i)
      scan.names.push_back(fmt::format("column{}", i + 1));
  }
  return scan;
}

// A scanner at the first row of data.
CsvScanner at_data(const CsvReader::Params& p, const CsvOptions& options) {
  if (!p.gzip) {
    return {stream_range(p.file, p.scan.data.offset, p.file->size()), options.dialect,
            p.scan.names.size(), p.scan.data};
  }
  return {stream_file(p.file, true), options.dialect, p.scan.names.size()};
}

}  // namespace

Result<CsvScan> scan_csv(const std::shared_ptr<const InputFile>& file, bool gzip,
                         const CsvOptions& options, const DeclaredType& declared,
                         std::stop_token stop) {
  TG_TRY(CsvScan scan, scan_header(file, gzip, options));
  scan.guesses.resize(scan.names.size());
  if (std::ranges::all_of(scan.names, [&](const auto& n) { return declared(n) != nullptr; })) {
    if (scan.names.empty()) scan.rows = 0;
    return scan;
  }
  TG_TRY(Findings found, gzip ? find_in_stream(file, scan, options, stop)
                              : find_in_halves(file, scan, options, stop));
  if (stop.stop_requested()) return fail(cancelled());
  TG_CHECK(file->unchanged());
  scan.guesses = std::move(found.guesses);
  scan.rows = found.rows;
  return scan;
}

CsvReader::CsvReader(Params params, const CsvOptions& options)
    : params_(std::move(params)), options_(options), scanner_(at_data(params_, options)) {
  for (const auto& field : params_.schema->fields()) {
    Column column{make_builder(*field, options.nulls, options.dialect.quote), {}};
    const auto it = std::ranges::find(params_.scan.names, field->name());
    if (it != params_.scan.names.end()) {
      column.source = static_cast<std::size_t>(it - params_.scan.names.begin());
    }
    columns_.push_back(std::move(column));
  }
}

bool CsvReader::full() const {
  if (length_ >= kBatchRows) return true;
  std::int64_t bytes = 0;
  for (const Column& c : columns_) bytes += c.builder->bytes();
  return bytes >= kBatchBytes;
}

Result<std::optional<ReadBatch>> CsvReader::next() {
  if (end_) return std::nullopt;
  ReadBatch out;
  // A batch ends early where rejected rows alone would grow without bound.
  while (!full() && out.rejected.size() < 1024) {
    if (taken_ == rows_.count) {
      if (params_.stop.stop_requested()) return fail(cancelled());
      const bool header = scanner_.offset() < params_.scan.data.offset;
      TG_TRY(const bool more, scanner_.next(rows_, header ? 1 : SIZE_MAX));
      taken_ = header ? rows_.count : 0;
      out.bytes += rows_.bytes;
      if (!more) {
        TG_CHECK(params_.file->unchanged());
        end_ = true;
        break;
      }
      for (CsvBadRow& bad : rows_.bad) {
        out.rejected.push_back({fmt::format("{} line {}", params_.label, bad.line),
                                std::move(bad.reason), std::move(bad.text)});
      }
    }
    if (taken_ < rows_.count) take_rows(out);
  }
  if (end_ && length_ == 0 && out.rejected.empty() && out.bytes == 0) return std::nullopt;
  std::vector<std::shared_ptr<arrow::Array>> arrays;
  for (Column& c : columns_) {
    TG_TRY(auto array, c.builder->finish());
    arrays.push_back(std::move(array));
  }
  out.batch =
      arrow::RecordBatch::Make(params_.schema, std::exchange(length_, 0), std::move(arrays));
  return out;
}

std::int64_t CsvReader::append(std::size_t from, std::size_t to, std::vector<CellFault>& faults) {
  for (Column& c : columns_) {
    if (c.source) {
      c.builder->append(rows_, *c.source, from, to, faults);
    } else {
      for (std::size_t i = from; i < to; ++i) c.builder->append_null();
    }
  }
  return static_cast<std::int64_t>(to - from);
}

void CsvReader::take_rows(ReadBatch& out) {
  const std::size_t from = taken_;
  const std::size_t to =
      std::min(rows_.count, from + static_cast<std::size_t>(kBatchRows - length_));
  taken_ = to;
  std::vector<CellFault> faults;
  const std::int64_t added = append(from, to, faults);
  if (faults.empty()) {
    length_ += added;
    return;
  }
  for (Column& c : columns_) c.builder->truncate(length_);
  take_without(from, to, faults, out);
}

// Appends again, run by run, what lies between the rows with faults.
void CsvReader::take_without(std::size_t from, std::size_t to, std::vector<CellFault>& faults,
                             ReadBatch& out) {
  std::ranges::sort(faults, {}, &CellFault::row);
  std::size_t at = from;
  std::vector<CellFault> none;
  for (std::size_t i = 0; i < faults.size();) {
    const std::size_t row = faults[i].row;
    if (row > at) length_ += append(at, row, none);
    RejectedRow bad{fmt::format("{} line {}", params_.label, rows_.lines[row]), "", ""};
    for (; i < faults.size() && faults[i].row == row; ++i) {
      bad.reason += (bad.reason.empty() ? "" : "; ") + faults[i].reason;
    }
    for (std::size_t c = 0; c < rows_.columns && bad.row.size() < 4096; ++c) {
      if (c > 0) bad.row += options_.dialect.delimiter;
      bad.row += rows_.value(rows_.field(row, c), options_.dialect.quote);
    }
    bad.row.resize(std::min<std::size_t>(bad.row.size(), 4096));
    out.rejected.push_back(std::move(bad));
    at = row + 1;
  }
  if (to > at) length_ += append(at, to, none);
}

}  // namespace tidegate::engine::file

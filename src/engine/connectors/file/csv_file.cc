#include "engine/connectors/file/csv_file.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <map>
#include <thread>

#include "engine/core/context.h"
#include "engine/core/guarded.h"
#include "engine/core/names.h"

namespace tidegate::engine::file {
namespace {

constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();
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
    if (!name_fault(name).empty()) {
      return fail(data_error(
          fmt::format("'{}' line {}: {}", path, rows.lines[0], bad_column(i + 1, name))));
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

// A file whose lines end with CR alone is one long first row: taken for a header without rows, it
// would empty the table.
Status check_line_ends(const CsvRows& rows, const std::string& path) {
  for (std::size_t i = 0; i < rows.columns; ++i) {
    const CsvField& field = rows.field(0, i);
    if (field.quoted() || rows.text(field).find('\r') == std::string_view::npos) continue;
    return fail(data_error(fmt::format(
        "'{}' line {}: column {} holds a carriage return outside of quotes; lines must "
        "end with LF or CRLF. Convert the file first: tr '\\r' '\\n' < IN.csv > OUT.csv",
        path, rows.lines[0], i + 1)));
  }
  return {};
}

// What a run of rows says about the columns.
struct Findings {
  std::vector<ColumnGuess> guesses;
  std::int64_t rows = 0;
  bool paused = false;  // stopped at the pause, where a row begins
  bool cut = false;     // the sample is full
};

Status find(CsvScanner scanner, const CsvOptions& options, std::size_t columns, std::int64_t pause,
            const std::function<bool()>& stop, Findings& out, std::int64_t sample = kAll) {
  const std::int64_t start = scanner.offset();
  out.guesses.resize(columns);
  if (pause >= 0) scanner.pause_at(pause);
  CsvRows rows;
  while (!stop()) {
    TG_TRY(const bool more, scanner.next(rows));
    if (!more) break;
    for (std::size_t c = 0; c < columns; ++c) observe(out.guesses[c], rows, c, options.nulls);
    out.rows += static_cast<std::int64_t>(rows.count);
    if (pause >= 0 && scanner.offset() == pause) {
      out.paused = true;
      break;
    }
    if (scanner.offset() - start >= sample) {
      out.cut = true;
      break;
    }
  }
  return {};
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
  Status first_status, second_status;
  std::int64_t split = -1;
  if (file->size() - scan.data.offset >= kShare) {
    TG_TRY(split, middle(*file, scan.data.offset));
  }
  std::atomic<bool> useless = false;
  {
    std::jthread helper;
    if (split >= 0) {
      helper = std::jthread([&] {
        second_status = guarded([&] {
          return find(
              CsvScanner(stream_range(file, split, file->size()), options.dialect, columns,
                         {split, 0}),
              options, columns, -1, [&] { return useless || stop.stop_requested(); }, second);
        });
      });
    }
    first_status = guarded([&] {
      return find(
          CsvScanner(stream_range(file, scan.data.offset, file->size()), options.dialect, columns,
                     scan.data),
          options, columns, split, [&] { return stop.stop_requested(); }, first);
    });
    useless = !first_status || !first.paused;
  }
  TG_CHECK(first_status);
  if (!first.paused) return first;
  TG_CHECK(second_status);
  for (std::size_t c = 0; c < columns; ++c) first.guesses[c].add(second.guesses[c]);
  first.rows += second.rows;
  return first;
}

// Until `sample` bytes of rows, or the end.
Result<Findings> find_in_stream(const std::shared_ptr<const InputFile>& file, bool gzip,
                                const CsvScan& scan, const CsvOptions& options, std::int64_t sample,
                                const std::stop_token& stop) {
  Findings out;
  CsvScanner scanner(stream_file(file, gzip), options.dialect);
  CsvRows rows;
  while (scanner.offset() < scan.data.offset) TG_CHECK(scanner.next(rows, 1));
  TG_CHECK(find(
      std::move(scanner), options, scan.names.size(), -1, [&] { return stop.stop_requested(); },
      out, sample));
  return out;
}

// The scanner does not know the file, and a stream that fails does.
Error named(Error error, const InputFile& file) {
  if (error.message.find(file.path()) == std::string::npos) {
    error.message = fmt::format("'{}': {}", file.path(), error.message);
  }
  return error;
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
    const auto more = scanner.next(rows, 1);
    if (!more) return fail(named(more.error(), *file));
    if (!rows.bad.empty()) {
      return fail(data_error(fmt::format("'{}' line {}: the {} cannot be read: {}", file->path(),
                                         rows.bad[0].line, options.header ? "header" : "first row",
                                         rows.bad[0].reason)));
    }
    if (!*more) return scan;
    if (rows.count > 0) break;
    scan.data = {scanner.offset(), scanner.line()};
  }
  TG_CHECK(check_line_ends(rows, file->path()));
  if (options.header) {
    TG_TRY(scan.names, header_names(rows, options.dialect.quote, file->path()));
    scan.data = {scanner.offset(), scanner.line()};
  } else {
    for (std::size_t i = 0; i < rows.columns; ++i)
      scan.names.push_back(fmt::format("column{}", i + 1));
  }
  return scan;
}

class CsvRowSource final : public RowSource {
 public:
  CsvRowSource(CsvScanner scanner, std::int64_t data, CsvDialect dialect)
      : scanner_(std::move(scanner)), data_(data), dialect_(dialect) {}

  Result<bool> next(CsvRows& rows) override {
    while (scanner_.offset() < data_) TG_CHECK(scanner_.next(rows, 1));
    return scanner_.next(rows);
  }

  std::string row_text(const CsvRows& rows, std::size_t row) const override {
    std::string out;
    for (std::size_t c = 0; c < rows.columns && out.size() < kMaxShown; ++c) {
      if (c > 0) out += dialect_.delimiter;
      out += rows.value(rows.field(row, c), dialect_.quote);
    }
    return out;
  }

 private:
  CsvScanner scanner_;
  std::int64_t data_;
  CsvDialect dialect_;
};

}  // namespace

Result<CsvScan> scan_csv(const std::shared_ptr<const InputFile>& file, bool gzip,
                         const CsvOptions& options, const DeclaredType& declared,
                         std::optional<std::int64_t> sample, std::stop_token stop) {
  TG_TRY(CsvScan scan, scan_header(file, gzip, options));
  scan.guesses.resize(scan.names.size());
  if (std::ranges::all_of(scan.names, [&](const auto& n) { return declared(n) != nullptr; })) {
    if (scan.names.empty()) scan.rows = 0;
    return scan;
  }
  auto found = gzip || sample
                   ? find_in_stream(file, gzip, scan, options, sample.value_or(kAll), stop)
                   : find_in_halves(file, scan, options, stop);
  if (!found) return fail(named(found.error(), *file));
  if (stop.stop_requested()) return fail(cancelled());
  TG_CHECK(file->unchanged());
  scan.guesses = std::move(found->guesses);
  if (!found->cut) scan.rows = found->rows;
  return scan;
}

std::unique_ptr<RowSource> csv_rows(const std::shared_ptr<const InputFile>& file, bool gzip,
                                    const CsvOptions& options, const CsvScan& scan) {
  const std::size_t columns = scan.names.size();
  CsvScanner scanner = gzip ? CsvScanner(stream_file(file, true), options.dialect, columns)
                            : CsvScanner(stream_range(file, scan.data.offset, file->size()),
                                         options.dialect, columns, scan.data);
  return std::make_unique<CsvRowSource>(std::move(scanner), scan.data.offset, options.dialect);
}

}  // namespace tidegate::engine::file

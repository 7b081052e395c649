#pragma once
// CSV text cut into rows and fields (RFC 4180, and what real files do beside it).
//
//  - A row ends with LF or CRLF. An empty line is skipped, but is a row of one empty field where
//  the
//    file has one column.
//  - A field whose first byte is the quote may hold delimiters, line ends and doubled quotes. A
//  quote
//    anywhere else is an ordinary byte (`24" screen`).
//  - Rows that cannot be trusted come back beside the good ones, with line and reason: the wrong
//  number
//    of fields, text after a closing quote, bytes that are not UTF-8, NUL bytes outside quotes. A
//    quote that is never closed costs its own line, not the rest of the file.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/connectors/file/bytes.h"

namespace tidegate::engine::file {

struct CsvDialect {
  char delimiter = ',';
  char quote = '"';  // '\0': none
};

// Where one field stands in CsvRows::base, without its quotes.
struct CsvField {
  std::uint32_t begin = 0;
  std::uint32_t bits = 0;  // size, with two marks on top
  static constexpr std::uint32_t kQuoted = 1U << 31;
  static constexpr std::uint32_t kEscaped = 1U << 30;  // holds doubled quotes
  std::uint32_t size() const { return bits & ~(kQuoted | kEscaped); }
  bool quoted() const { return (bits & kQuoted) != 0; }
  bool escaped() const { return (bits & kEscaped) != 0; }
};

struct CsvBadRow {
  std::int64_t line = 0;
  std::string reason;
  std::string text;  // at most 4 KiB
};

// Some rows in a row. Texts are valid until the scanner's next call.
struct CsvRows {
  const char* base = nullptr;
  std::size_t columns = 0;
  std::size_t count = 0;
  std::vector<CsvField> fields;     // row by row; may be longer than count × columns
  std::vector<std::int64_t> lines;  // where each row begins, from 1
  std::vector<CsvBadRow> bad;
  std::int64_t bytes = 0;  // of the text these rows were cut from

  const CsvField& field(std::size_t row, std::size_t column) const {
    return fields[row * columns + column];
  }
  std::string_view text(const CsvField& f) const { return {base + f.begin, f.size()}; }
  // With doubled quotes made single.
  std::string value(const CsvField& f, char quote) const;
};

// Used by one thread.
class CsvScanner {
 public:
  static constexpr std::size_t kBlock = 256 << 10;  // bytes; rows of one call fit the L2 cache
  static constexpr std::size_t kMaxRow = 16 << 20;  // bytes
  static constexpr std::size_t kPadding = 64;       // bytes readable after every text
  // Text read twice because a quote was never closed: bounds the time of a hostile file.
  static constexpr std::int64_t kMaxRescan = 256 << 20;  // bytes

  // Where in a file the stream begins. Only at the start is a byte order mark looked for.
  struct Start {
    std::int64_t offset = 0, line = 1;
  };
  // `columns` 0: the first row decides.
  CsvScanner(std::unique_ptr<ByteStream> in, CsvDialect dialect, std::size_t columns, Start start);
  CsvScanner(std::unique_ptr<ByteStream> in, CsvDialect dialect, std::size_t columns = 0)
      : CsvScanner(std::move(in), dialect, columns, Start{}) {}

  // At most `max_rows` good rows; false at the end, with nothing in `rows`. Invalid ("bad_data"):
  // not UTF-8 at all, or too many quotes that are never closed.
  Result<bool> next(CsvRows& rows, std::size_t max_rows = SIZE_MAX);

  // Stops once at this offset when a row begins there: next() gives no row from beyond it before
  // offset() has been seen to equal it.
  void pause_at(std::int64_t offset) { pause_ = offset; }

  std::int64_t offset() const { return offset_; }  // of the next row, in bytes
  std::int64_t line() const { return line_; }      // of the next row
  std::size_t columns() const { return columns_; }

 private:
  struct Cut;
  Status refill();
  Status start();
  void scan(CsvRows& rows, std::size_t max_rows);
  void scan_plain_block(CsvRows& rows, Cut& cut, std::uint64_t separators);
  void scan_quoted_block(CsvRows& rows, Cut& cut, std::uint64_t separators, std::uint64_t quotes);
  void end_field(CsvRows& rows, Cut& cut, std::size_t at);
  void end_row(CsvRows& rows, Cut& cut, std::size_t at, std::size_t next);
  bool has_stray_nul(const CsvRows& rows, const Cut& cut, std::size_t at) const;
  std::string fault_of(const CsvRows& rows, const Cut& cut, std::size_t at) const;
  void end_of_text(CsvRows& rows, Cut& cut);
  void reject(CsvRows& rows, const Cut& cut, std::size_t to, std::string reason) const;
  void reject_line(CsvRows& rows, Cut& cut, std::size_t seen, std::string reason);
  void skip_long_line();

  std::unique_ptr<ByteStream> in_;
  CsvDialect dialect_;
  std::size_t columns_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // unread text in buffer_
  std::int64_t offset_, line_, pause_ = -1, rescanned_ = 0;
  bool at_start_, eof_ = false, needs_more_ = true, skipping_ = false;
};

}  // namespace tidegate::engine::file

#include "engine/connectors/file/csv_scanner.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/utf8.h"
#include "engine/core/context.h"

namespace tidegate::engine::file {
namespace {

// Which of 64 bytes are what: bit n is byte n.
struct Masks {
  std::uint64_t delimiters, line_ends, quotes;
  std::uint64_t odd;  // NUL, or a byte of a longer UTF-8 sequence
};

// In the compiler's own vectors: SSE2, AVX2 or NEON, whatever the target has.
Masks masks(const char* p, const CsvDialect& dialect) {
  using Bytes64 = signed char __attribute__((ext_vector_type(64)));
  using Bools64 = bool __attribute__((ext_vector_type(64)));
  Bytes64 v;
  std::memcpy(&v, p, sizeof v);
  // Not in functions of their own: a vector this wide has no portable way to be passed.
  const Bools64 delimiters =
      __builtin_convertvector(v == static_cast<signed char>(dialect.delimiter), Bools64);
  const Bools64 line_ends = __builtin_convertvector(v == static_cast<signed char>('\n'), Bools64);
  const Bools64 quotes =
      __builtin_convertvector(v == static_cast<signed char>(dialect.quote), Bools64);
  const Bools64 odd = __builtin_convertvector(v <= 0, Bools64);
  return {__builtin_bit_cast(std::uint64_t, delimiters),
          __builtin_bit_cast(std::uint64_t, line_ends),
          dialect.quote == '\0' ? 0 : __builtin_bit_cast(std::uint64_t, quotes),
          __builtin_bit_cast(std::uint64_t, odd)};
}

constexpr std::size_t kMaxShown = 4096;  // bytes of a rejected row
constexpr std::string_view kOpenQuote = "a quote is opened and not closed within 16 MiB";

}  // namespace

// How far a scan is.
struct CsvScanner::Cut {
  enum State : std::uint8_t { kPlain, kQuoted, kMaybeEnd, kAfter };
  const char* base = nullptr;
  std::size_t size = 0;
  std::size_t block = 0;
  std::size_t row = 0, field = 0;  // where they begin
  std::size_t first = 0, fields = 0;
  std::size_t quote_at = 0;
  std::size_t odd_end = 0;  // end of the last block with an odd byte
  std::int64_t newlines = 0;
  std::size_t max_rows = 0;
  std::uint32_t marks = 0;
  State state = kPlain;
  bool broken = false;    // text after a closing quote
  bool overflow = false;  // far more fields than columns; not all were kept
  bool restart = false, stop = false;

  void begin_row(std::size_t at) {
    row = field = at;
    fields = first;
    newlines = 0;
    marks = 0;
    state = kPlain;
    broken = overflow = false;
  }
};

std::string CsvRows::value(const CsvField& f, char quote) const {
  std::string out(text(f));
  if (!f.escaped()) return out;
  std::size_t to = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[to++] = out[i];
    if (out[i] == quote) ++i;
  }
  out.resize(to);
  return out;
}

CsvScanner::CsvScanner(std::unique_ptr<ByteStream> in, CsvDialect dialect, std::size_t columns,
                       Start start)
    : in_(std::move(in)),
      dialect_(dialect),
      columns_(columns),
      buffer_(kBlock + kPadding),
      offset_(start.offset),
      line_(start.line),
      at_start_(start.offset == 0) {}

Result<bool> CsvScanner::next(CsvRows& rows, std::size_t max_rows) {
  rows.count = 0;
  rows.bytes = 0;
  rows.lines.clear();
  rows.bad.clear();
  for (;;) {
    if (needs_more_) TG_CHECK(refill());
    const std::int64_t before = offset_;
    if (skipping_) {
      skip_long_line();
      rows.bytes += offset_ - before;
      if (skipping_ && !eof_) continue;
    }
    if (begin_ == end_) {
      needs_more_ = true;
      if (eof_) return rows.bytes > 0;
      return true;  // paused exactly here, or the skipped line ended here
    }
    scan(rows, max_rows);
    rows.bytes += offset_ - before;
    if (rescanned_ > kMaxRescan) {
      return fail(data_error(fmt::format(
          "line {}: too many quotes are opened and never closed; set `quote` to the character that "
          "the file uses, or to \"\" when it uses none",
          line_)));
    }
    if (rows.bytes > 0) return true;
  }
}

Status CsvScanner::refill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  if (end_ * 2 > buffer_.size()) buffer_.resize(end_ * 2 + kBlock + kPadding);
  std::size_t room = buffer_.size() - kPadding - end_;
  if (pause_ >= 0) {
    const std::int64_t left = pause_ - (offset_ + static_cast<std::int64_t>(end_));
    if (left > 0) room = std::min(room, static_cast<std::size_t>(left));
    if (left <= 0) pause_ = -1;
  }
  while (room > 0 && !eof_) {
    TG_TRY(const std::size_t n, in_->read(std::span(buffer_.data() + end_, room)));
    eof_ = n == 0;
    end_ += n;
    room -= n;
  }
  std::memset(buffer_.data() + end_, 'x', kPadding);
  return at_start_ ? start() : Status{};
}

Status CsvScanner::start() {
  at_start_ = false;
  const std::string_view text(buffer_.data(), end_);
  if (text.starts_with("\xEF\xBB\xBF")) {
    begin_ = 3;
    offset_ = 3;
  }
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    return fail(data_error(
        "the file is UTF-16; convert it first: iconv -f UTF-16 -t UTF-8 IN.csv > OUT.csv"));
  }
  return {};
}

void CsvScanner::skip_long_line() {
  const char* from = buffer_.data() + begin_;
  const void* found = std::memchr(from, '\n', end_ - begin_);
  const std::size_t skipped =
      found == nullptr ? end_ - begin_
                       : static_cast<std::size_t>(static_cast<const char*>(found) - from) + 1;
  begin_ += skipped;
  offset_ += static_cast<std::int64_t>(skipped);
  needs_more_ = found == nullptr;
  if (found != nullptr) skipping_ = false, ++line_;
}

void CsvScanner::scan(CsvRows& rows, std::size_t max_rows) {
  Cut cut;
  cut.base = rows.base = buffer_.data() + begin_;
  cut.size = end_ - begin_;
  cut.max_rows = max_rows;
  do {
    cut.restart = false;
    for (cut.block = cut.row; cut.block < cut.size && !cut.restart && !cut.stop; cut.block += 64) {
      if (rows.fields.size() < cut.fields + 66) {
        if (columns_ > 0 && cut.fields - cut.first > 2 * columns_ + 4096) {
          cut.fields = cut.first + columns_;  // hopeless already: only its text is still wanted
          cut.overflow = true;
        } else {
          rows.fields.resize(std::max<std::size_t>(4096, rows.fields.size() * 2));
        }
      }
      const std::size_t left = cut.size - cut.block;
      const std::uint64_t valid = left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
      const Masks m = masks(cut.base + cut.block, dialect_);
      const std::uint64_t separators = (m.delimiters | m.line_ends) & valid;
      const std::uint64_t quotes = m.quotes & valid;
      if ((m.odd & valid) != 0) cut.odd_end = cut.block + 64;
      if (quotes == 0 && cut.state == Cut::kPlain) {
        scan_plain_block(rows, cut, separators);
      } else {
        scan_quoted_block(rows, cut, separators, quotes);
      }
    }
    if (!cut.stop && !cut.restart) end_of_text(rows, cut);
  } while (cut.restart && !cut.stop && rescanned_ <= kMaxRescan);
  rows.columns = columns_;
  needs_more_ = !cut.stop;
  begin_ += cut.row;
  offset_ += static_cast<std::int64_t>(cut.row);
}

void CsvScanner::scan_plain_block(CsvRows& rows, Cut& cut, std::uint64_t separators) {
  while (separators != 0) {
    const std::size_t at = cut.block + static_cast<std::size_t>(std::countr_zero(separators));
    separators &= separators - 1;
    rows.fields[cut.fields++] = {static_cast<std::uint32_t>(cut.field),
                                 static_cast<std::uint32_t>(at - cut.field)};
    cut.field = at + 1;
    if (cut.base[at] == '\n') {
      end_row(rows, cut, at, at + 1);
      if (cut.restart || cut.stop) return;
    }
  }
}

void CsvScanner::scan_quoted_block(CsvRows& rows, Cut& cut, std::uint64_t separators,
                                   std::uint64_t quotes) {
  for (std::uint64_t bits = separators | quotes; bits != 0; bits &= bits - 1) {
    const int index = std::countr_zero(bits);
    const std::size_t at = cut.block + static_cast<std::size_t>(index);
    const bool is_quote = ((quotes >> index) & 1) != 0;
    if (cut.state == Cut::kQuoted) {
      if (is_quote) {
        cut.state = Cut::kMaybeEnd;
        cut.quote_at = at;
      } else if (cut.base[at] == '\n') {
        ++cut.newlines;
      }
      continue;
    }
    if (is_quote) {
      if (cut.state == Cut::kPlain && at == cut.field) {
        cut.state = Cut::kQuoted;
        cut.marks = CsvField::kQuoted;
      } else if (cut.state == Cut::kMaybeEnd && at == cut.quote_at + 1) {
        cut.state = Cut::kQuoted;
        cut.marks |= CsvField::kEscaped;
      } else if (cut.state == Cut::kMaybeEnd) {
        cut.state = Cut::kAfter;
      }
      continue;
    }
    end_field(rows, cut, at);
    if (cut.base[at] == '\n') {
      end_row(rows, cut, at, at + 1);
      if (cut.restart || cut.stop) return;
    }
  }
}

// Ends the field before `at`, where a separator or the end of the file stands.
void CsvScanner::end_field(CsvRows& rows, Cut& cut, std::size_t at) {
  std::size_t begin = cut.field, size = at - cut.field;
  if (cut.state == Cut::kMaybeEnd) {
    const bool line_end = at == cut.size || cut.base[at] == '\n';
    const std::size_t after = cut.quote_at + 1;
    if (at != after && !(line_end && at == after + 1 && cut.base[after] == '\r')) cut.broken = true;
    begin = cut.field + 1;
    size = cut.quote_at - begin;
  } else if (cut.state == Cut::kAfter) {
    cut.broken = true;
  }
  rows.fields[cut.fields++] = {static_cast<std::uint32_t>(begin),
                               static_cast<std::uint32_t>(size) | cut.marks};
  cut.marks = 0;
  cut.state = Cut::kPlain;
  cut.field = at + 1;
}

void CsvScanner::end_row(CsvRows& rows, Cut& cut, std::size_t at, std::size_t next) {
  CsvField& last = rows.fields[cut.fields - 1];
  if (!last.quoted() && last.size() > 0 && cut.base[at - 1] == '\r') --last.bits;
  const std::size_t count = cut.fields - cut.first;
  if (count == 1 && last.bits == 0 && columns_ != 1) {
    ++line_;
    cut.begin_row(next);
    return;
  }
  if (columns_ == 0) columns_ = count;
  if (count != columns_ || cut.broken || cut.overflow || cut.odd_end > cut.row ||
      at - cut.row > kMaxRow) {
    std::string fault = fault_of(rows, cut, at);
    if (!fault.empty()) {
      if (cut.broken && cut.newlines > 0) return reject_line(rows, cut, at, std::move(fault));
      reject(rows, cut, at, std::move(fault));
      line_ += 1 + cut.newlines;
      cut.begin_row(next);
      return;
    }
  }
  rows.lines.push_back(line_);
  ++rows.count;
  line_ += 1 + cut.newlines;
  cut.first = cut.fields;
  cut.begin_row(next);
  cut.stop = rows.count == cut.max_rows;
}

// NUL bytes are data inside quotes, where a writer put them; outside they are what is left of a
// file that was not written to its end.
bool CsvScanner::has_stray_nul(const CsvRows& rows, const Cut& cut, std::size_t at) const {
  if (std::memchr(cut.base + cut.row, '\0', at - cut.row) == nullptr) return false;
  if (cut.broken || cut.overflow) return true;
  for (std::size_t i = cut.first; i < cut.fields; ++i) {
    const CsvField& f = rows.fields[i];
    if (!f.quoted() && std::memchr(cut.base + f.begin, '\0', f.size()) != nullptr) return true;
  }
  return false;
}

std::string CsvScanner::fault_of(const CsvRows& rows, const Cut& cut, std::size_t at) const {
  const std::size_t fields = cut.fields - cut.first;
  const char* text = cut.base + cut.row;
  const std::size_t size = at - cut.row;
  if (has_stray_nul(rows, cut, at)) {
    return "it holds a NUL byte outside quotes; remove it (tr -d '\\000')";
  }
  if (cut.odd_end > cut.row && !is_utf8({text, size})) {
    return "it is not valid UTF-8; convert the file (iconv -t UTF-8)";
  }
  if (size > kMaxRow) return "it is longer than 16 MiB";
  if (cut.broken) {
    return "text follows a closing quote; write a quote inside a quoted field twice";
  }
  if (cut.overflow)
    return fmt::format("it has far more fields than the {} of the header", columns_);
  if (fields != columns_) {
    return fmt::format("it has {} field{} instead of {}; quote fields that hold the delimiter",
                       fields, fields == 1 ? "" : "s", columns_);
  }
  return {};
}

// The loaded text ends inside a row, or the file does.
void CsvScanner::end_of_text(CsvRows& rows, Cut& cut) {
  const bool open = cut.state == Cut::kQuoted || (!eof_ && cut.state == Cut::kMaybeEnd);
  if (!eof_) {
    if (cut.row > 0 || cut.size <= kMaxRow) return;
    const bool line_ends = std::memchr(cut.base + cut.row, '\n', cut.size - cut.row) != nullptr;
    if (open && line_ends) return reject_line(rows, cut, cut.size, std::string(kOpenQuote));
    reject(rows, cut, cut.size, std::string(open ? kOpenQuote : "it is longer than 16 MiB"));
    skipping_ = true;  // to the end of this line
    cut.row = cut.size;
    return;
  }
  if (cut.row >= cut.size) return;
  if (open) return reject_line(rows, cut, cut.size, "a quote is opened and never closed");
  end_field(rows, cut, cut.size);
  end_row(rows, cut, cut.size, cut.size);
}

void CsvScanner::reject(CsvRows& rows, const Cut& cut, std::size_t to, std::string reason) const {
  rows.bad.push_back({line_, std::move(reason),
                      std::string(cut.base + cut.row, std::min(kMaxShown, to - cut.row))});
}

// Gives up the line that the row begins on; what follows is read again as rows of its own.
void CsvScanner::reject_line(CsvRows& rows, Cut& cut, std::size_t seen, std::string reason) {
  rescanned_ += static_cast<std::int64_t>(seen - cut.row);
  const void* end = std::memchr(cut.base + cut.row, '\n', cut.size - cut.row);
  const std::size_t to = end == nullptr
                             ? cut.size
                             : static_cast<std::size_t>(static_cast<const char*>(end) - cut.base);
  reject(rows, cut, to, std::move(reason));
  ++line_;
  cut.begin_row(std::min(to + 1, cut.size));
  cut.restart = true;
}

}  // namespace tidegate::engine::file

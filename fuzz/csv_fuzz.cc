// Any bytes as CSV and as JSON lines. Beside crashes it looks for rows that depend on where the
// reader's buffer ends, and for values that the inferred type cannot hold.

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "engine/connectors/file/csv_file.h"
#include "engine/connectors/file/table.h"

namespace {

using namespace tidegate;
using namespace tidegate::engine;
using namespace tidegate::engine::file;

void require(bool ok) {
  if (!ok) std::abort();
}

class Pieces final : public ByteStream {
 public:
  Pieces(std::string_view text, std::size_t piece) : text_(text), piece_(piece) {}
  Result<std::size_t> read(std::span<char> out) override {
    const std::size_t n = std::min({out.size(), piece_, text_.size()});
    std::copy_n(text_.data(), n, out.data());
    text_.remove_prefix(n);
    return n;
  }

 private:
  std::string_view text_;
  std::size_t piece_;
};

// Every row and every rejected row, as one text.
std::string scanned(std::string_view text, CsvDialect dialect, std::size_t piece,
                    std::size_t max_rows) {
  CsvScanner scanner(std::make_unique<Pieces>(text, piece), dialect);
  CsvRows rows;
  std::string out;
  for (;;) {
    const auto more = scanner.next(rows, max_rows);
    if (!more) return out + "error";
    if (!*more) return out;
    // Good and bad rows of one call keep their own order only.
    for (std::size_t r = 0; r < rows.count; ++r) {
      out += fmt::format("\n{}:", rows.lines[r]);
      for (std::size_t c = 0; c < rows.columns; ++c) {
        const CsvField& f = rows.field(r, c);
        out += f.bits == 0 ? std::string("-") : "[" + rows.value(f, dialect.quote) + "]";
      }
    }
  }
}

// A file that was just written without a last line end is waited for; none of these is.
class LaterClock final : public Clock {
 public:
  Instant now() const override { return SystemClock().now() + std::chrono::hours(1); }
  BootInstant boot_now() const override { return SystemClock().boot_now(); }
};

// Reads a whole table of one file in memory; no inferred type may refuse a value.
void read_all(std::string_view text, Format format) {
  static const LaterClock clock;
  static SystemRng rng;
  static const PathPolicy paths;
  static const Context context{.clock = clock, .rng = rng, .paths = paths, .stop = {}};
  const std::string name = fmt::format("/dev/shm/tidegate-fuzz-{}", getpid());
  const int named = open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  require(named >= 0 &&
          write(named, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  close(named);
  auto file = InputFile::open(paths, name);
  require(file.has_value());
  const SourceConfig config;
  const FileEntity entity{"t", format, {name}};
  auto table = format == Format::Csv
                   ? scan_csv_table(entity, {*file}, config, context, std::nullopt)
                   : scan_jsonl_table(entity, {*file}, config, context, std::nullopt);
  if (!table) return;
  auto reader = (*table)->open(0, (*table)->schema());
  require(reader.has_value());
  std::int64_t rows = 0;
  for (;;) {
    auto batch = (*reader)->next();
    if (!batch || !*batch) break;
    require((*batch)->batch->ValidateFull().ok());
    for (const auto& r : (*batch)->rejected) require(!r.reason.starts_with("column "));
    rows += (*batch)->batch->num_rows();
  }
  require(rows == (*table)->rows().value_or(rows));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 4096) return 0;
  static constexpr CsvDialect kDialects[] = {{',', '"'}, {';', '\''}, {'\t', '\0'}};
  const CsvDialect dialect = kDialects[data[0] % 3];
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  require(scanned(text, dialect, SIZE_MAX, SIZE_MAX) ==
          scanned(text, dialect, 1 + data[1] % 70, 1));
  read_all(text, data[0] < 128 ? Format::Csv : Format::Jsonl);
  return 0;
}

#pragma once
// A CSV file that this destination wrote, read again.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/connectors/file/csv_scanner.h"

namespace tidegate::engine::file {

// Used by one thread.
class OwnRows {
 public:
  using Values = std::vector<std::optional<std::string_view>>;

  // `fd` stays the caller's, and is read from where it stands.
  OwnRows(int fd, std::string path);

  // `each` gets the texts of one row, the header too; NULL: nullopt.
  template <class Each>
  Status for_each(const Each& each) {
    CsvRows rows;
    std::vector<std::string> texts;
    Values values;
    for (;;) {
      TG_TRY(const bool more, scanner_.next(rows));
      if (!more) return {};
      if (!rows.bad.empty()) return damaged(rows.bad[0].line, rows.bad[0].reason);
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
  std::unexpected<Error> damaged(std::int64_t line, const std::string& reason) const;

  std::string path_;
  CsvScanner scanner_;
};

// The bytes of an open file that stays the caller's.
std::unique_ptr<ByteStream> stream_fd(int fd, std::string path);

}  // namespace tidegate::engine::file

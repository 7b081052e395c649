#pragma once
// Columns of text values: which type they have, and Arrow arrays of them.

#include <arrow/type_fwd.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/connectors/file/csv_scanner.h"
#include "engine/connectors/file/values.h"

namespace tidegate::engine::file {

// A name for a type in the configuration: text, integer, double, boolean, date, timestamp,
// timestamptz, json, decimal(p,s). Nullopt: no such type.
std::shared_ptr<arrow::Field> field_of_type(const std::string& name, std::string_view type);
inline constexpr std::string_view kTypeNames =
    "text, integer, double, boolean, date, timestamp, timestamptz, json or decimal(p,s)";

// Unquoted texts that mean NULL. An empty unquoted field always does; a quoted one never does.
class NullWords {
 public:
  NullWords() = default;
  explicit NullWords(std::vector<std::string> words);
  bool is_null(const CsvField& f, const char* base) const {
    if (f.bits == 0) return true;
    if (words_.empty() || f.quoted()) return false;
    return first_[static_cast<unsigned char>(base[f.begin])] && matches({base + f.begin, f.size()});
  }

 private:
  bool matches(std::string_view text) const;
  std::vector<std::string> words_;
  std::array<bool, 256> first_{};
};

// What one column's texts have in common so far.
struct ColumnGuess {
  std::uint16_t types = kAllTypes;
  bool any = false;  // a value that is not NULL
  bool fits_ns = true;
  std::uint8_t int_digits = 0, scale = 0, fraction = 0;

  void add(const ValueClass& c);
  void add(const ColumnGuess& other);  // of other rows
  // Text when nothing else is left, and when there was no value.
  std::shared_ptr<arrow::Field> field(const std::string& name) const;
};

// Looks at one column of the rows. REQUIRES: 8 bytes readable after every text.
void observe(ColumnGuess& guess, const CsvRows& rows, std::size_t column, const NullWords& nulls);

// A value that is not of its column's type.
struct CellFault {
  std::size_t row;     // in the CsvRows
  std::string reason;  // `column "dep_time": 'x' is no whole number`
};

// Collects one column of a batch. Used by one thread.
class ColumnBuilder {
 public:
  virtual ~ColumnBuilder() = default;
  // Appends column `column` of rows [from, to). A bad value becomes a fault, and a NULL in the
  // array: the caller then truncates and comes again without that row.
  virtual void append(const CsvRows& rows, std::size_t column, std::size_t from, std::size_t to,
                      std::vector<CellFault>& faults) = 0;
  virtual void append_null() = 0;
  virtual void truncate(std::int64_t rows) = 0;
  virtual std::int64_t length() const = 0;
  virtual std::int64_t bytes() const = 0;
  virtual Result<std::shared_ptr<arrow::Array>> finish() = 0;  // and starts anew
};

// REQUIRES: the field came from field_of_type() or ColumnGuess::field().
std::unique_ptr<ColumnBuilder> make_builder(const arrow::Field& field, const NullWords& nulls,
                                            char quote);

}  // namespace tidegate::engine::file

#pragma once
// From one Arrow value to one SQLite value. Internal to the SQLite connector.

#include <arrow/type_fwd.h>
#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/connectors/sqlite/types.h"

namespace tidegate::engine::sqlite {

enum class Form : std::uint8_t {
  Bool,
  Int8,
  Int16,
  Int32,
  Int64,
  UInt8,
  UInt16,
  UInt32,
  UInt64,
  Float,
  Double,
  Decimal,
  String,
  LargeString,
  Binary,
  LargeBinary,
  FixedBinary,
  Date32,
  Date64,
  Time,
  Timestamp,
  Null,
};

// Raw pointers into the current batch; the innermost loop of a load.
struct Encoder {
  Form form = Form::Null;
  bool as_text = false;     // the column is text: write the value's text
  bool plain_json = false;  // JSON for a column of text: a JSON string is written as what it holds
  bool midnight = false;    // a date for a timestamp column
  bool zone = false;        // a timestamp with zone
  int scale = 0;            // of a decimal
  int width = 0;            // of fixed-size bytes
  std::int64_t ticks = 1;   // per second, of times and timestamps
  ColumnType target;

  const std::uint8_t* validity = nullptr;  // bitmap; null: no NULLs
  std::int64_t offset = 0;                 // of the array
  const void* values = nullptr;
  const std::uint8_t* bytes = nullptr;  // of texts
  std::shared_ptr<arrow::Array> array;  // for what is not on the fast path

  static Result<Encoder> make(const arrow::Field& field, const ColumnType& target);
  Status attach(const std::shared_ptr<arrow::Array>& column);

  bool is_null(std::int64_t row) const {
    const std::int64_t i = offset + row;
    return validity != nullptr && ((validity[i >> 3] >> (i & 7)) & 1) == 0;
  }
  // Puts the value at `row` into `context`. REQUIRES: not NULL, storable.
  void put(sqlite3_context* context, std::int64_t row) const;

  // True when some values of this form may be unstorable; then ask why_not() of each.
  bool may_fail() const;
  // Quick and certain: the value has a form. False: ask why_not().
  bool surely_fine(std::int64_t row) const;
  // Why the value has no form in the column; "": it has.
  std::string why_not(std::int64_t row) const;
  // Bytes of the texts, or bytes, at the rows [begin, end).
  std::int64_t length(std::int64_t begin, std::int64_t end) const;
  // The value for people, cut short.
  std::string shown(std::int64_t row) const;

 private:
  template <class T>
  T at(std::int64_t row) const {
    return static_cast<const T*>(values)[offset + row];
  }
  std::optional<std::int64_t> whole(std::int64_t row) const;
  std::optional<double> real(std::int64_t row) const;
  void put_text(sqlite3_context* context, std::int64_t row) const;
  void put_date(sqlite3_context* context, std::int64_t days) const;
  std::string text(std::int64_t row) const;
  std::string_view string(std::int64_t row) const;
};

// The first `rows` rows that hold a value SQLite cannot store in its column (row, why), ascending.
// REQUIRES: attached; one name per encoder.
std::vector<std::pair<std::int64_t, std::string>> unstorable(const std::vector<Encoder>& encoders,
                                                             const std::vector<std::string>& names,
                                                             std::int64_t rows);

}  // namespace tidegate::engine::sqlite

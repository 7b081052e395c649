#pragma once
// Arrow columns into the texts that MySQL reads, for LOAD DATA or as the rows of an INSERT.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/connectors/mysql/target_types.h"

namespace tidegate::engine::mysql {

// Of one column.
class ValueEncoder {
 public:
  virtual ~ValueEncoder() = default;
  virtual void attach(const std::shared_ptr<arrow::Array>& column) = 0;
  // Why the value has no form in MySQL; "": it has one. REQUIRES: not NULL.
  virtual std::string why_not(std::int64_t row) const = 0;
  // The value as text, or as its bytes. REQUIRES: why_not() is empty.
  virtual void put(std::string& out, std::int64_t row) const = 0;
  virtual bool needs_escapes() const { return false; }

  // For a column of `type`, which target_type() or key_type() gave to the field.
  static Result<std::unique_ptr<ValueEncoder>> make(const arrow::Field& field,
                                                    const TargetType& type);
};

enum class RowFormat : std::uint8_t { Load, Insert };

// How LOAD DATA is told to read RowFormat::Load.
inline constexpr const char* kLoadFormat =
    "CHARACTER SET binary FIELDS TERMINATED BY '\\t' ENCLOSED BY '' ESCAPED BY '\\\\' LINES "
    "TERMINATED BY '\\n'";

class RowEncoder {
 public:
  // `types`: one for each field. `max_row`: bytes of a row that the server takes.
  static Result<RowEncoder> make(const arrow::Schema& schema, const std::vector<TargetType>& types,
                                 std::int64_t max_row);

  // A NULL there is refused, by the index of the field.
  void refuse_null(std::size_t field) { no_null_[field] = true; }

  struct Refused {
    std::int64_t row;
    std::string why;
  };
  struct Encoded {
    std::vector<std::string> pieces;  // of whole rows, each of about `piece` bytes
    std::int64_t rows = 0;
    std::vector<Refused> refused;  // ascending; they are in no piece
  };
  // Each row begins with its number, from `first` on. Pieces of Insert go behind VALUES.
  Encoded put(const arrow::RecordBatch& batch, RowFormat format, std::int64_t first,
              std::size_t piece);

 private:
  std::string row(const arrow::RecordBatch& batch, std::int64_t row, RowFormat format,
                  std::string& out);

  std::vector<std::string> names_;
  std::vector<bool> no_null_;
  std::vector<std::unique_ptr<ValueEncoder>> columns_;
  std::int64_t max_row_ = 0;
  std::string value_;
};

}  // namespace tidegate::engine::mysql
